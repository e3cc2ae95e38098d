// consume.c: stage 0. Copies each record into a job, destroys the Kafka message at once, and gives the job to
// the intake, which holds it while the pipeline is full.
#include "worker/stages/consume.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/shutdown.h"
#include "worker/group/member.h"
#include "worker/group/rebalance.h"
#include "worker/stages/arrival.h"
#include "worker/stages/careful.h"
#include "worker/stages/intake.h"
#include "worker/stages/unreadable.h"

enum {
    POLL_MS = 100,
    POLL_SOON_MS = 2,
    PING_MS = 2000,
    SEEK_TIMEOUT_MS = 1000,
};

struct consume {
    struct worker *worker;
    struct intake *intake;
    struct unreadable *unreadable;
    bool paused[TOPIC_COUNT];
    struct careful *careful;
};

static void switch_topic(struct consume *consume, enum job_topic topic, bool pause)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    struct assigned entry;
    for (int i = 0; assignment_at(&consume->worker->assignment, i, &entry); i++)
        if (entry.topic == topic)
            rd_kafka_topic_partition_list_add(list, job_topic_name(consume->worker, topic), entry.partition);
    rd_kafka_resp_err_t result = pause ? rd_kafka_pause_partitions(consume->worker->consumer, list)
                                       : rd_kafka_resume_partitions(consume->worker->consumer, list);
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
        LOG_WARN("pause_failed", "reason=\"%s\"", rd_kafka_err2str(result));
    rd_kafka_topic_partition_list_destroy(list);
    consume->paused[topic] = pause;
}

// Only where something changes: librdkafka 2.0 reads a partition that is resumed without having been paused
// again from where it was assigned.
static void apply_pauses(struct consume *consume)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        bool pause = intake_wants_pause(consume->intake, (enum job_topic)topic) || consume->worker->stopping;
        if (pause != consume->paused[topic])
            switch_topic(consume, (enum job_topic)topic, pause);
    }
}

// librdkafka keeps a partition paused that comes back to this worker.
static void begin_assignment(struct consume *consume)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        switch_topic(consume, (enum job_topic)topic, false);
    apply_pauses(consume);
}

// worker->blocked has changed. librdkafka is given its partitions anew: pause and seek would not do, since
// behind a damaged batch it may ask for an offset that it made of damaged bytes, and a partition that is
// refused so takes no seek any more.
static void read_anew(struct consume *consume)
{
    rebalance_read_again(consume->worker);
    begin_assignment(consume);
}

static void forget(struct consume *consume)
{
    intake_forget(consume->intake);
    unreadable_forget(consume->unreadable);
}

// What was taken from a partition that is left out must not outlive it: the partition may be taken in again
// further back, or as another log, and an offset from before would make records in front of it look answered.
static void begin_without_left_out(struct consume *consume)
{
    intake_forget_left_out(consume->intake);
    unreadable_forget_left_out(consume->unreadable);
    begin_assignment(consume);
}

// Every assignment begins anew. A held job is of the one before: placed into the next, its offset could make
// records in front of it look taken.
static void on_rebalance(void *context, rd_kafka_t *consumer, rd_kafka_resp_err_t event,
                         rd_kafka_topic_partition_list_t *partitions)
{
    struct worker *worker = context;
    struct consume *consume = worker->consume;
    forget(consume);
    if (event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        member_is_assigned(worker);
        rebalance_assign(worker, consumer, partitions);
        begin_assignment(consume);
    } else {
        member_is_revoked(worker);
        rebalance_revoke(worker, consumer);
    }
}

enum status consume_open(struct consume **consume, struct worker *worker, struct error *err)
{
    struct consume *made = memory_alloc(sizeof *made);
    made->worker = worker;
    worker->callbacks = (struct kafka_callbacks){.signs = &worker->signs,
                                                 .rebalanced = on_rebalance,
                                                 .statistics = reading_take_statistics,
                                                 .context = worker};
    worker->reader_callbacks = (struct kafka_callbacks){.signs = &worker->signs};
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        worker->signs.topics[topic].name = job_topic_name(worker, (enum job_topic)topic);
    enum status status = member_open(worker, err);
    if (status != STATUS_OK) {
        free(made);
        return status;
    }
    made->intake = intake_new(worker);
    made->careful = careful_new(worker, made->intake);
    made->unreadable = unreadable_new(worker, made->intake);
    worker->consume = *consume = made;
    return STATUS_OK;
}

// Why no broker answers: that the brokers refuse the password, perhaps. Polling has the error told.
static void say_newest_error(struct worker *worker, struct error *complaint)
{
    char said[128];
    rd_kafka_message_t *message = rd_kafka_consumer_poll(worker->consumer, 0);
    if (message)
        rd_kafka_message_destroy(message);
    if (!kafka_error_lately(said, sizeof said))
        return;
    size_t length = strlen(complaint->message);
    snprintf(complaint->message + length, sizeof complaint->message - length, "; newest error: %s", said);
}

// Whether everything is there; *complaint says what is not.
static bool topics_are_there(struct consume *consume, struct error *complaint)
{
    struct worker *worker = consume->worker;
    struct kafka_topic topics[WORKER_TOPIC_COUNT] = {0};
    for (int i = 0; i < WORKER_TOPIC_COUNT; i++)
        topics[i].name = config_text(worker->config, worker_topic_options[i]);
    enum status status =
        kafka_topics_require(worker->consumer, topics, WORKER_TOPIC_COUNT, PING_MS, complaint);
    if (status == STATUS_OK)
        return true;
    atomic_store(&worker->phase, status == STATUS_REJECTED ? PHASE_NO_TOPICS : PHASE_NO_BROKER);
    if (status != STATUS_REJECTED) {
        error_prefix(complaint, "%s", config_text(worker->config, "brokers"));
        say_newest_error(worker, complaint);
    }
    return false;
}

bool consume_wait_for_topics(struct consume *consume)
{
    struct error complaint;
    int64_t told_ms = 0;
    while (!topics_are_there(consume, &complaint)) {
        worker_complain(consume->worker, &complaint, &told_ms);
        if (shutdown_wait_ms(500))
            return false;
    }
    return !shutdown_requested();
}

// The record will come again, once its partition is resumed.
static void put_back(struct consume *consume, struct job *job)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *entry =
        rd_kafka_topic_partition_list_add(list, job_topic_name(consume->worker, job->topic), job->partition);
    entry->offset = job->offset;
    rd_kafka_error_t *error = rd_kafka_seek_partitions(consume->worker->consumer, list, SEEK_TIMEOUT_MS);
    bool current = assignment_holds(&consume->worker->assignment, job->topic, job->partition);
    if (current && (error || entry->err != RD_KAFKA_RESP_ERR_NO_ERROR))
        worker_fail(consume->worker, "record %" PRId64 " of %s partition %d can't be put back: %s",
                    job->offset, entry->topic, job->partition,
                    error ? rd_kafka_error_string(error) : rd_kafka_err2str(entry->err));
    rd_kafka_error_destroy(error);
    rd_kafka_topic_partition_list_destroy(list);
    job_free(job);
}

static void take_record(struct consume *consume, const rd_kafka_message_t *message)
{
    struct job *job = arrival_job(consume->worker, message);
    if (!job)
        worker_fail(consume->worker, "no memory for a record of %zu bytes", message->len);
    else if (!intake_hold(consume->intake, job)) // a rebalance undid the pause
        put_back(consume, job);
}

// What it holds is dropped or published; then it joins again and asks anew where its partitions stand.
static void join_again(struct consume *consume, const char *reason)
{
    struct error err;
    LOG_WARN("joins_again", "reason=\"%s\"", reason);
    forget(consume);
    if (member_renew(consume->worker, &err) != STATUS_OK)
        worker_fail(consume->worker, "%s", err.message);
    atomic_store(&consume->worker->reads_again, false); // what asked for it meanwhile went with the member
}

// Ends the worker where joining again can't help.
static void take_fatal_error(struct consume *consume)
{
    struct worker *worker = consume->worker;
    char reason[256];
    rd_kafka_fatal_error(worker->consumer, reason, sizeof reason);
    if (!member_fenced_by_outage(worker)) {
        worker_fail(worker, "Kafka ended this consumer: %s", reason);
        return;
    }
    metrics_add(METRIC_FENCES, 0, 1);
    join_again(consume, reason);
}

static void take_error(struct consume *consume, const rd_kafka_message_t *message)
{
    struct worker *worker = consume->worker;
    kafka_note_error(message->err);
    reading_note_error(worker, message);
    LOG_WARN("consume_error", "reason=\"%s\"", rd_kafka_message_errstr(message));
    if (!message->rkt || worker->stopping)
        return;
    enum job_topic topic = job_topic_of(worker, rd_kafka_topic_name(message->rkt));
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        rebalance_leave_out(worker, topic, message->partition);
        begin_without_left_out(consume);
    } else if (message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
               message->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
               message->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION) {
        kafka_note_unknown_topic(&worker->signs.topics[topic]);
    }
}

static void take_message(struct consume *consume, rd_kafka_message_t *message)
{
    struct worker *worker = consume->worker;
    if (unreadable_takes(consume->unreadable, message))
        return;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (!worker->stopping)
            take_record(consume, message);
    } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        intake_reach_end(consume->intake, job_topic_of(worker, rd_kafka_topic_name(message->rkt)),
                         message->partition);
    } else {
        take_error(consume, message);
    }
}

// A careful worker reads for itself.
static void read_alone(struct consume *consume)
{
    enum careful_step step = careful_step(consume->careful);
    if (step == CAREFUL_LEFT_OUT)
        begin_without_left_out(consume);
    else if (step == CAREFUL_ENDED)
        read_anew(consume);
}

static void begin_stop(struct consume *consume)
{
    atomic_store(&consume->worker->stopping, true);
    atomic_store(&consume->worker->phase, PHASE_STOPPING);
    apply_pauses(consume);
    intake_forget(consume->intake);
}

// True: the next poll is not to wait for long.
static bool work_between_polls(struct consume *consume)
{
    if (rebalance_look_again(consume->worker))
        begin_assignment(consume); // a held record that comes again is dropped then
    read_alone(consume);
    reading_look_for_topics(consume->worker);
    intake_place(consume->intake);
    apply_pauses(consume);
    bool soon = unreadable_step(consume->unreadable);
    if (unreadable_asks(consume->unreadable))
        read_anew(consume);
    return soon || consume->worker->reads_alone || !intake_is_empty(consume->intake);
}

void consume_run(struct consume *consume)
{
    struct worker *worker = consume->worker;
    struct error err;
    atomic_store(&worker->phase, PHASE_JOINING);
    if (member_subscribe(worker, &err) != STATUS_OK)
        worker_fail(worker, "%s", err.message);
    while (!atomic_load(&worker->pipeline_done)) {
        if (shutdown_requested() && !worker->stopping)
            begin_stop(consume);
        bool soon = work_between_polls(consume);
        rd_kafka_message_t *message =
            rd_kafka_consumer_poll(consume->worker->consumer, soon ? POLL_SOON_MS : POLL_MS);
        if (rebalance_verify(worker))
            begin_without_left_out(consume);
        bool fatal = message && rd_kafka_fatal_error(worker->consumer, NULL, 0);
        if (message && !fatal)
            take_message(consume, message);
        if (message)
            rd_kafka_message_destroy(message);
        if (fatal && !atomic_load(&worker->failed))
            take_fatal_error(consume);
        else if (atomic_exchange(&worker->reads_again, false) && !shutdown_requested())
            join_again(consume, "deadlines were refused by a clock that is wrong");
    }
}

void consume_close(struct consume *consume)
{
    if (!consume)
        return;
    member_close(consume->worker);
    unreadable_free(consume->unreadable);
    careful_free(consume->careful);
    intake_free(consume->intake);
    free(consume);
}
