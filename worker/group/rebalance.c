// rebalance.c: hands partitions over without losing or repeating an answer.
#include "worker/group/rebalance.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/group/marks.h"
#include "worker/group/places.h"
#include "worker/group/publisher.h"

enum {
    HANDOVER_MS = 2000,
    HANDOVER_POLL_MS = 1,
    LOOK_MS = 500,  // between two looks for the places of partitions,
    LOOK_SHARE = 9, // or so many times what the last look took, for records wait meanwhile,
    LOOK_MOST_MS = 20000,
    LOOK_ASK_MS = 500 // for each answer
};

static void give_up_if_hopeless(struct worker *worker, const struct committed *place)
{
    if (offsets_is_hopeless(&place->offsets))
        worker_fail(worker,
                    "%d workers died one after another near %s partition %d offset %lld, at different "
                    "records: this build or device is bad",
                    place->offsets.deaths, job_topic_name(worker, place->topic), place->partition,
                    (long long)place->offsets.first);
}

static void take_in(struct worker *worker, struct committed *place)
{
    offsets_new_owner(&place->offsets, worker->owner);
    give_up_if_hopeless(worker, place);
    assignment_add(&worker->assignment, place->topic, place->partition, &place->offsets);
    bool waited = blocked_remove(&worker->blocked, place->topic, place->partition, BLOCKED_PLACE_UNKNOWN);
    LOG_INFO("assigned", "topic=%s partition=%d offset=%lld deaths=%d waited=%d",
             job_topic_name(worker, place->topic), place->partition, (long long)place->offsets.first,
             place->offsets.deaths, waited);
}

// The partition stays this worker's and is not read: starting anywhere else would repeat or lose answers.
static void leave_out(struct worker *worker, const struct place *place)
{
    const struct committed *which = &place->committed;
    if (blocked_add(&worker->blocked, which->topic, which->partition, BLOCKED_PLACE_UNKNOWN, &place->reason))
        LOG_WARN("partition_waits", "topic=%s partition=%d reason=\"%s\"",
                 job_topic_name(worker, which->topic), which->partition, place->reason.message);
}

// Gives the number of partitions that were taken in. Caller holds membership.
static int take_in_known(struct worker *worker, struct place *places, int count)
{
    int taken = 0;
    for (int i = 0; i < count; i++) {
        if (places[i].status != STATUS_OK) {
            leave_out(worker, &places[i]);
            continue;
        }
        take_in(worker, &places[i].committed);
        taken++;
    }
    return taken;
}

// Tells librdkafka to read what is held and not blocked, each partition behind the last record taken from it.
// A careful worker reads for itself.
static void read_assignment(struct worker *worker, rd_kafka_t *consumer)
{
    struct assigned held;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    worker->reads_alone = assignment_caution(&worker->assignment) == CAUTION_CAREFUL;
    for (int i = 0; !worker->reads_alone && assignment_at(&worker->assignment, i, &held); i++)
        if (!blocked_holds(&worker->blocked, held.topic, held.partition))
            rd_kafka_topic_partition_list_add(list, job_topic_name(worker, held.topic), held.partition)
                ->offset = held.offsets.seen;
    rd_kafka_resp_err_t result = rd_kafka_assign(consumer, list);
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
        LOG_ERROR("assign_failed", "reason=\"%s\"", rd_kafka_err2str(result));
    rd_kafka_topic_partition_list_destroy(list);
}

// Marks what is held as running, and then reads it: a record may end the process while librdkafka fetches it,
// and that death counts only where the owner is named. Caller holds membership.
static void begin_assignment(struct worker *worker, rd_kafka_t *consumer)
{
    int count = assignment_count(&worker->assignment);
    metrics_set(METRIC_PARTITIONS, 0, count);
    if (count > 0)
        marks_commit(worker, COMMIT_RUNNING);
    read_assignment(worker, consumer);
}

static void forget_partitions(struct worker *worker)
{
    assignment_clear(&worker->assignment);
    blocked_clear(&worker->blocked);
    metrics_set(METRIC_PARTITIONS, 0, 0);
}

void rebalance_assign(struct worker *worker, rd_kafka_t *consumer,
                      const rd_kafka_topic_partition_list_t *partitions)
{
    struct assignment *assignment = &worker->assignment;
    int count = partitions->cnt;
    struct place *places = memory_alloc((size_t)count * sizeof *places);
    for (int i = 0; i < count; i++) {
        places[i].committed.topic = job_topic_of(worker, partitions->elems[i].topic);
        places[i].committed.partition = partitions->elems[i].partition;
    }
    pthread_mutex_lock(&assignment->membership);
    forget_partitions(worker);
    places_find(worker, places, count, PLACES_ASK_MS);
    worker->look_next_ms = 0;
    take_in_known(worker, places, count);
    if (!worker->stopping)
        atomic_store(&worker->phase, PHASE_RUNNING);
    begin_assignment(worker, consumer);
    pthread_mutex_unlock(&assignment->membership);
    free(places);
}

// Answers are published meanwhile: the partitions asked about are nobody's until they are taken in.
static bool look_again(struct worker *worker)
{
    struct blocked_partition waiting;
    struct place *places = NULL;
    int count = 0;
    for (int i = 0; blocked_at(&worker->blocked, i, &waiting); i++) {
        if (waiting.cause != BLOCKED_PLACE_UNKNOWN)
            continue;
        places = memory_realloc(places, (size_t)(count + 1) * sizeof *places);
        places[count++] =
            (struct place){.committed = {.topic = waiting.topic, .partition = waiting.partition}};
    }
    if (count == 0)
        return false;
    places_find(worker, places, count, LOOK_ASK_MS);
    pthread_mutex_lock(&worker->assignment.membership);
    // A lost assignment must not be taken for held again: rd_kafka_assign would forget that it is lost.
    bool taken = !rd_kafka_assignment_lost(worker->consumer) && take_in_known(worker, places, count) > 0;
    if (taken)
        begin_assignment(worker, worker->consumer);
    pthread_mutex_unlock(&worker->assignment.membership);
    free(places);
    return taken;
}

bool rebalance_look_again(struct worker *worker)
{
    int64_t begun_ms = clock_monotonic_ms();
    if (begun_ms < worker->look_next_ms || worker->stopping)
        return false;
    bool taken = look_again(worker);
    int64_t now_ms = clock_monotonic_ms();
    int64_t pause_ms = LOOK_SHARE * (now_ms - begun_ms);
    if (pause_ms < LOOK_MS)
        pause_ms = LOOK_MS;
    worker->look_next_ms = now_ms + (pause_ms < LOOK_MOST_MS ? pause_ms : LOOK_MOST_MS);
    return taken;
}

// Without the lock, which a transaction may hold for seconds: only this thread changes what is held.
void rebalance_read_again(struct worker *worker)
{
    if (!rd_kafka_assignment_lost(worker->consumer))
        read_assignment(worker, worker->consumer);
}

// A publisher that could not publish for a while is full already. False: it stays so; what it holds is kept,
// for partitions that stay.
static bool make_room(struct worker *worker)
{
    struct error err;
    if (!publisher_has_room(worker->publisher) &&
        publisher_publish(worker->publisher, COMMIT_ANSWERED, &err) != STATUS_OK)
        LOG_WARN("revoke_publish_failed", "reason=\"%s\"", err.message);
    return publisher_has_room(worker->publisher);
}

// Moves every finished answer that is on its way to the publisher into it, as far as there is room. The
// publish stage gets the others: it drops those of partitions that went.
static void take_ready_answers(struct worker *worker)
{
    void *job;
    while (make_room(worker) && queue_pop(&worker->inboxes[STAGE_PUBLISH], &job, 0) == QUEUE_OK)
        publisher_add(worker->publisher, job);
}

// What the device has begun is finished and published before its partition goes: the next owner would compute
// it once more. Without the membership lock, which the publish stage needs meanwhile.
static void finish_computing(struct worker *worker)
{
    int64_t until_ms = clock_monotonic_ms() + HANDOVER_MS;
    atomic_store(&worker->handing_over, true);
    while (atomic_load(&worker->computing) > 0 && clock_monotonic_ms() < until_ms)
        clock_sleep_ms(HANDOVER_POLL_MS);
}

// What was taken from these partitions is dropped.
static void leave_out_unknown(struct worker *worker, const struct place *places, int count)
{
    pthread_mutex_lock(&worker->assignment.membership);
    if (!rd_kafka_assignment_lost(worker->consumer)) {
        for (const struct place *place = places; place < places + count; place++) {
            if (place->status == STATUS_OK)
                continue;
            assignment_remove(&worker->assignment, place->committed.topic, place->committed.partition);
            leave_out(worker, place);
        }
        read_assignment(worker, worker->consumer);
    }
    pthread_mutex_unlock(&worker->assignment.membership);
}

// Nothing is taken meanwhile: this thread would have to. Without the membership lock, as above.
static void finish_taken(struct worker *worker)
{
    int64_t until_ms = clock_monotonic_ms() + HANDOVER_MS;
    while (atomic_load(&worker->unfinished) > 0 && clock_monotonic_ms() < until_ms)
        clock_sleep_ms(HANDOVER_POLL_MS);
}

// Records that were taken and have expired since can't be taken again: what can still be answered is. Nobody
// runs the partition from then on; a revoke does not list it any more.
static void publish_last(struct worker *worker, enum job_topic topic, int32_t partition)
{
    struct error err;
    finish_taken(worker);
    pthread_mutex_lock(&worker->assignment.membership);
    take_ready_answers(worker);
    assignment_disown(&worker->assignment, topic, partition);
    if (publisher_publish(worker->publisher, COMMIT_RUNNING, &err) != STATUS_OK)
        LOG_WARN("revoke_publish_failed", "reason=\"%s\"", err.message);
    pthread_mutex_unlock(&worker->assignment.membership);
}

void rebalance_leave_out(struct worker *worker, enum job_topic topic, int32_t partition)
{
    struct place place = {.committed = {.topic = topic, .partition = partition}};
    if (!assignment_holds(&worker->assignment, topic, partition))
        return;
    place.status = error_set(&place.reason, STATUS_RETRY,
                             "%s partition %d has no record where reading goes on: it expired, or the topic "
                             "was made again",
                             job_topic_name(worker, topic), partition);
    publish_last(worker, topic, partition);
    leave_out_unknown(worker, &place, 1);
}

// Those whose commits the publisher has refused.
static bool leave_out_refused(struct worker *worker)
{
    bool any = false;
    struct assigned held;
    for (int i = 0; assignment_at(&worker->assignment, i, &held);) {
        struct place place = {.committed = {.topic = held.topic, .partition = held.partition}};
        if (!held.refused || rd_kafka_assignment_lost(worker->consumer)) {
            i++;
            continue;
        }
        place.status = error_set(&place.reason, STATUS_REJECTED,
                                 "what is committed of %s partition %d does not fit what was read of it",
                                 job_topic_name(worker, held.topic), held.partition);
        leave_out_unknown(worker, &place, 1);
        any = true;
    }
    return any;
}

static bool verify(struct worker *worker)
{
    unsigned refused = atomic_load(&worker->signs.refused_fetches);
    if (refused == worker->refused_seen)
        return false;
    worker->refused_seen = refused;
    struct place *places = NULL;
    struct assigned held;
    int count = 0, other = 0;
    for (; assignment_at(&worker->assignment, count, &held); count++) {
        places = memory_realloc(places, (size_t)(count + 1) * sizeof *places);
        places[count] = (struct place){.committed = {held.topic, held.partition, held.offsets}};
        offsets_note(&places[count].committed.offsets, held.taken, held.taken_digest);
    }
    places_verify(worker, places, count);
    for (int i = 0; i < count; i++)
        other += places[i].status != STATUS_OK;
    if (other > 0)
        leave_out_unknown(worker, places, count);
    free(places);
    return other > 0;
}

bool rebalance_verify(struct worker *worker)
{
    if (worker->stopping)
        return false;
    bool refused = leave_out_refused(worker);
    return verify(worker) || refused;
}

void rebalance_revoke(struct worker *worker, rd_kafka_t *consumer)
{
    struct assignment *assignment = &worker->assignment;
    bool lost = rd_kafka_assignment_lost(consumer); // before unassigning, which forgets it
    if (!lost)
        finish_computing(worker);
    pthread_mutex_lock(&assignment->membership);
    if (lost) {
        metrics_add(METRIC_ASSIGNMENTS_LOST, 0, 1);
        LOG_WARN("assignment_lost", "partitions=%d", assignment_count(assignment));
        publisher_drop(worker->publisher);
    } else if (assignment_count(assignment) > 0) {
        take_ready_answers(worker);
        marks_commit(worker, COMMIT_RELEASED);
        publisher_drop(worker->publisher);
    }
    forget_partitions(worker);
    rd_kafka_assign(consumer, NULL);
    pthread_mutex_unlock(&assignment->membership);
    atomic_store(&worker->handing_over, false);
}

void rebalance_change_member(struct worker *worker, rd_kafka_t *next)
{
    pthread_mutex_lock(&worker->assignment.membership);
    if (assignment_count(&worker->assignment) > 0)
        publisher_drop(worker->publisher);
    forget_partitions(worker);
    kafka_consumer_end(worker->consumer);
    worker->consumer = next;
    pthread_mutex_unlock(&worker->assignment.membership);
}
