// rebalance.c: hands partitions over without losing or repeating an answer.
#include "worker/rebalance.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/shutdown.h"
#include "worker/committed.h"
#include "worker/publisher.h"

enum { TRIES = 3, PAUSE_MS = 200, HANDOVER_MS = 2000, HANDOVER_POLL_MS = 1 };

// Whether the log holds what is committed, and where to begin in it. A broker that has lost the end of its
// log, or not read it yet, gives offsets again: to records that would pass for answered. What lies before the
// log's start is gone by retention.
static enum status fit_to_log(struct worker *worker, rd_kafka_topic_partition_t *entry, bool found,
                              struct offsets *offsets, struct error *err)
{
    int64_t low, high;
    rd_kafka_resp_err_t result = rd_kafka_query_watermark_offsets(
        worker->consumer, entry->topic, entry->partition, &low, &high, (int)worker->transaction_timeout_ms);
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, STATUS_RETRY, "first and last offset of '%s' %d: %s", entry->topic,
                         entry->partition, rd_kafka_err2str(result));
    if (!found)
        offsets_init(offsets, low, worker->window);
    if (offsets->next > high) {
        int64_t safe = offsets->first < high ? offsets->first : high;
        metrics_add(METRIC_OFFSETS_REFUSED, 0, 1);
        return error_set(
            err, STATUS_RETRY,
            "%s partition %d ends at offset %lld, but records before %lld are committed as answered: the "
            "broker has not read all of its log yet, or has lost the end; if that is lost, stop all workers, "
            "set the group's offset to %lld with empty metadata, start them: records in between get no "
            "answer",
            entry->topic, entry->partition, (long long)high, (long long)offsets->next, (long long)safe);
    }
    entry->offset = offsets->first;
    if (offsets->first < low) {
        LOG_WARN("records_expired", "topic=%s partition=%d from=%lld to=%lld", entry->topic, entry->partition,
                 (long long)offsets->first, (long long)low);
        entry->offset = low;
    }
    return STATUS_OK;
}

// Where the partition stands. Tries until it is known: starting anywhere else would repeat or lose answers.
static bool read_offsets(struct worker *worker, rd_kafka_topic_partition_t *entry, struct committed *place)
{
    int64_t told_ms = 0;
    for (;;) {
        struct error err;
        bool found = false;
        enum status status =
            committed_read(worker, place->topic, place->partition, &place->offsets, &found, &err);
        if (status == STATUS_OK)
            status = fit_to_log(worker, entry, found, &place->offsets, &err);
        if (status == STATUS_OK && found)
            assignment_remember(&worker->assignment, place);
        if (status == STATUS_OK)
            return true;
        atomic_store(&worker->phase, PHASE_NO_OFFSETS);
        worker_complain(worker, &err, &told_ms);
        if (shutdown_wait_ms(PAUSE_MS))
            return false;
    }
}

// A few tries: what is not published now is published by whoever gets the partitions.
static void publish_marks(struct worker *worker, bool running)
{
    for (int i = 0; i < TRIES; i++) {
        struct error err;
        if (publisher_mark(worker->publisher, running, &err) == STATUS_OK)
            return;
        LOG_WARN("mark_not_committed", "running=%d reason=\"%s\"", running, err.message);
    }
}

static void give_up_if_hopeless(struct worker *worker, const rd_kafka_topic_partition_t *entry,
                                const struct offsets *offsets)
{
    struct error err;
    if (offsets_is_hopeless(offsets) &&
        error_set(&err, STATUS_FATAL,
                  "%d workers died one after another near %s partition %d offset %lld, at different records: "
                  "this build or device is bad",
                  offsets->deaths, entry->topic, entry->partition, (long long)offsets->first) != STATUS_OK)
        worker_fail(worker, &err);
}

void rebalance_assign(struct worker *worker, rd_kafka_t *consumer,
                      rd_kafka_topic_partition_list_t *partitions)
{
    struct assignment *assignment = &worker->assignment;
    pthread_mutex_lock(&assignment->rebalance);
    assignment_clear(assignment);
    blocked_clear(&worker->blocked);
    for (int i = 0; i < partitions->cnt; i++) {
        rd_kafka_topic_partition_t *entry = &partitions->elems[i];
        struct committed place = {.topic = job_topic_of(worker, entry->topic), .partition = entry->partition};
        struct offsets *offsets = &place.offsets;
        if (!read_offsets(worker, entry, &place))
            break; // a stop was asked for
        offsets_new_owner(offsets, worker->owner);
        give_up_if_hopeless(worker, entry, offsets);
        assignment_add(assignment, place.topic, place.partition, offsets);
        LOG_INFO("assigned", "topic=%s partition=%d offset=%lld deaths=%d", entry->topic, entry->partition,
                 (long long)entry->offset, offsets->deaths);
    }
    if (!worker->stopping)
        atomic_store(&worker->phase, PHASE_RUNNING);
    rd_kafka_resp_err_t result = rd_kafka_assign(consumer, partitions);
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
        LOG_ERROR("assign_failed", "reason=\"%s\"", rd_kafka_err2str(result));
    metrics_set(METRIC_PARTITIONS, 0, partitions->cnt);
    if (partitions->cnt > 0)
        publish_marks(worker, true);
    pthread_mutex_unlock(&assignment->rebalance);
}

// A publisher that could not publish for a while is full already. What it can't publish now the next owner
// does.
static void make_room(struct worker *worker)
{
    struct error err;
    if (!publisher_has_room(worker->publisher) && publisher_publish(worker->publisher, &err) != STATUS_OK) {
        LOG_WARN("revoke_publish_failed", "reason=\"%s\"", err.message);
        publisher_drop(worker->publisher);
    }
}

// Moves every finished answer that is on its way to the publisher into it.
static void take_ready_answers(struct worker *worker)
{
    void *job;
    make_room(worker);
    while (queue_pop(&worker->inboxes[STAGE_PUBLISH], &job, 0) == QUEUE_OK)
        if (!publisher_add(worker->publisher, job))
            make_room(worker);
}

// What the device has begun is finished and published before its partition goes: the next owner would compute
// it once more. Without the rebalance lock, which the publish stage needs meanwhile.
static void finish_computing(struct worker *worker)
{
    int64_t until_ms = clock_monotonic_ms() + HANDOVER_MS;
    atomic_store(&worker->handing_over, true);
    while (atomic_load(&worker->computing) > 0 && clock_monotonic_ms() < until_ms)
        clock_sleep_ms(HANDOVER_POLL_MS);
}

void rebalance_revoke(struct worker *worker, rd_kafka_t *consumer)
{
    struct assignment *assignment = &worker->assignment;
    bool lost = rd_kafka_assignment_lost(consumer); // before unassigning, which forgets it
    if (!lost)
        finish_computing(worker);
    pthread_mutex_lock(&assignment->rebalance);
    if (lost) {
        metrics_add(METRIC_ASSIGNMENTS_LOST, 0, 1);
        LOG_WARN("assignment_lost", "partitions=%d", assignment_count(assignment));
        publisher_drop(worker->publisher);
    } else if (assignment_count(assignment) > 0) {
        take_ready_answers(worker);
        publish_marks(worker, false);
        publisher_drop(worker->publisher);
    }
    assignment_clear(assignment);
    blocked_clear(&worker->blocked);
    metrics_set(METRIC_PARTITIONS, 0, 0);
    rd_kafka_assign(consumer, NULL);
    pthread_mutex_unlock(&assignment->rebalance);
    atomic_store(&worker->handing_over, false);
}
