// consume.c: stage 0. Copies each record into a job and destroys the Kafka message at once. A full pipeline
// pauses the topic whose job has no room and polling goes on, so the group never takes this worker for dead.
#include "worker/consume.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/shutdown.h"
#include "worker/member.h"
#include "worker/pipeline.h"
#include "worker/publisher.h"
#include "worker/rebalance.h"

enum {
    POLL_MS = 100,
    POLL_HELD_MS = 2,
    PING_MS = 2000,
    SEEK_TIMEOUT_MS = 1000,
    KEY_LIMIT = 64 * 1024, // a prediction is this and a few KiB: far from what a broker refuses
    ROUTINE_TURN = 5,
    URGENT_PLACES = 8 // one in so many is kept for urgent jobs
};

struct consume {
    struct worker *worker;
    struct job *held[TOPIC_COUNT]; // a job that found no room; its topic is paused
    bool paused[TOPIC_COUNT];
    bool astray;    // a partition's log has no record where this worker reads
    unsigned turns; // of retry_held
};

static void switch_topic(struct consume *consume, enum job_topic topic, bool pause);
static void apply_pauses(struct consume *consume);

static void forget_held(struct consume *consume, enum job_topic topic)
{
    struct job *job = consume->held[topic];
    consume->held[topic] = NULL;
    if (job && job->taken)
        worker_end_job(consume->worker, job);
    else
        job_free(job);
}

static void forget_all_held(struct consume *consume)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        forget_held(consume, (enum job_topic)topic);
}

// Every assignment begins anew. A held job is of the one before: placed into the next, its offset could make
// records in front of it look taken. And librdkafka keeps a partition paused that comes back to this worker.
static void on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t event,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    struct consume *consume = ((struct worker *)opaque)->consume;
    forget_all_held(consume);
    if (event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        member_is_assigned(consume->worker);
        rebalance_assign(consume->worker, consumer, partitions);
        for (int topic = 0; topic < TOPIC_COUNT; topic++)
            switch_topic(consume, (enum job_topic)topic, false);
        apply_pauses(consume);
    } else {
        member_is_revoked(consume->worker);
        rebalance_revoke(consume->worker, consumer);
    }
}

enum status consume_open(struct consume **consume, struct worker *worker, struct error *err)
{
    struct consume *made = memory_alloc(sizeof *made);
    made->worker = worker;
    enum status status = member_open(worker, on_rebalance, err);
    if (status != STATUS_OK) {
        free(made);
        return status;
    }
    worker->publisher = publisher_new(worker);
    worker->consume = *consume = made;
    return STATUS_OK;
}

// Whether everything is there; *complaint says what is not.
static bool topics_are_there(struct consume *consume, struct error *complaint)
{
    struct worker *worker = consume->worker;
    struct kafka_topic topics[WORKER_TOPIC_COUNT] = {0};
    for (int i = 0; i < WORKER_TOPIC_COUNT; i++)
        topics[i].name = config_text(worker->config, worker_topic_options[i]);
    if (kafka_topics_describe(worker->consumer, topics, WORKER_TOPIC_COUNT, PING_MS, complaint) !=
        STATUS_OK) {
        atomic_store(&worker->phase, PHASE_NO_BROKER);
        error_prefix(complaint, "%s", config_text(worker->config, "brokers"));
        return false;
    }
    for (int i = 0; i < WORKER_TOPIC_COUNT; i++) {
        if (topics[i].partitions > 0)
            continue;
        atomic_store(&worker->phase, PHASE_NO_TOPICS);
        enum status status = error_set(
            complaint, STATUS_RETRY,
            "topic '%s' does not exist; 'skinsight-producer topics --create' makes it", topics[i].name);
        return status == STATUS_OK;
    }
    return true;
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

// Whether the record was sent again from the dead letters: it says so in a header.
static bool is_replayed(const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    return rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
           rd_kafka_header_get_last(headers, "replayed", &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR &&
           size == 4 && memcmp(value, "true", 4) == 0;
}

// NULL: no memory.
static struct job *copy_message(struct worker *worker, const rd_kafka_message_t *message)
{
    bool key_omitted = message->key_len > KEY_LIMIT;
    size_t key_size = key_omitted ? 0 : message->key_len;
    struct job *job = job_new(key_size, message->len);
    struct error err;
    job->topic = job_topic_of(worker, rd_kafka_topic_name(message->rkt));
    job->partition = message->partition;
    job->offset = message->offset;
    job->key_omitted = key_omitted;
    job->null_key = message->key == NULL || key_omitted;
    job->null_value = message->payload == NULL;
    job->replayed = is_replayed(message);
    if (key_omitted)
        job_fail(job, JOB_INVALID_FIELD, "the record's key has %zu bytes, %d are allowed", message->key_len,
                 KEY_LIMIT);
    job_stamp(job, MOMENT_CONSUMED);
    if (buffer_append(&job->key, message->key, key_size, &err) == STATUS_OK &&
        buffer_append(&job->value, message->payload, message->len, &err) == STATUS_OK)
        return job;
    job_free(job);
    return NULL;
}

// What would lose a record if this process went on.
static void PRINTF_LIKE(2, 3) fail(struct worker *worker, const char *format, ...)
{
    struct error err;
    char sentence[sizeof err.message];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    if (error_set(&err, STATUS_FATAL, "%s", sentence) != STATUS_OK)
        worker_fail(worker, &err);
}

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

// Pauses and resumes so that no record comes from a topic with a held job. Only where something changes:
// librdkafka 2.0 reads a partition that is resumed without having been paused again from where it was
// assigned.
static void apply_pauses(struct consume *consume)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        bool pause = consume->held[topic] || consume->worker->stopping;
        if (pause != consume->paused[topic])
            switch_topic(consume, (enum job_topic)topic, pause);
    }
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
        fail(consume->worker, "record %" PRId64 " of %s partition %d can't be put back: %s", job->offset,
             entry->topic, job->partition,
             error ? rd_kafka_error_string(error) : rd_kafka_err2str(entry->err));
    rd_kafka_error_destroy(error);
    rd_kafka_topic_partition_list_destroy(list);
    job_free(job);
}

static void count_taken(struct worker *worker, struct job *job)
{
    job->taken = true;
    atomic_fetch_add(&worker->unfinished, 1);
    worker_count_bytes(worker, job);
    metrics_add(METRIC_JOBS_CONSUMED, job->topic, 1);
}

// How many jobs may be in the pipeline, and how many bytes. After deaths few; then one, alone in the process.
// Routine jobs leave places free: those that wait for an object store which is away may be many.
static bool has_room(struct worker *worker, enum job_topic topic)
{
    int places = worker->intake_limit_jobs;
    if (topic == TOPIC_ROUTINE)
        places -= places / URGENT_PLACES;
    const int limits[] = {places, OFFSETS_WARY_JOBS, 1};
    int unfinished = atomic_load(&worker->unfinished);
    return (unfinished == 0 || worker_has_bytes(worker)) &&
           unfinished < limits[assignment_caution(&worker->assignment)];
}

// Writes down that the record is about to run alone, so that a death from now on counts against it.
static bool mark_alone(struct worker *worker, struct job *job)
{
    struct error err;
    pthread_mutex_lock(&worker->assignment.rebalance);
    assignment_set_alone(&worker->assignment, job);
    enum status status = publisher_mark(worker->publisher, true, &err);
    pthread_mutex_unlock(&worker->assignment.rebalance);
    if (status != STATUS_OK)
        LOG_WARN("mark_not_committed", "reason=\"%s\"", err.message);
    job->marked = status == STATUS_OK;
    return job->marked;
}

// Answered unseen: even reading it may be what kills.
static void convict(struct worker *worker, struct job *job)
{
    LOG_ERROR("job_convicted", "topic=%s partition=%d offset=%" PRId64, job_topic_name(worker, job->topic),
              job->partition, job->offset);
    job_request_id_read(buffer_bytes(&job->key), job->record.request_id);
    job_fail(job, JOB_WORKER_KILLED, "the worker process ended each of the %d times it ran this job alone",
             OFFSETS_CONVICTION);
    worker_pass(worker, job, STAGE_POSTPROCESS);
}

enum placing { PLACED, HOLD };

// PLACED: the job is off our hands: in the pipeline, or dropped because it is answered or not ours.
static enum placing place(struct consume *consume, struct job *job)
{
    struct worker *worker = consume->worker;
    if (!job->taken) {
        if (!has_room(worker, job->topic))
            return HOLD;
        enum assignment_take take = assignment_take(&worker->assignment, job);
        if (take == TAKE_NO_ROOM)
            return HOLD;
        if (take != TAKE_NEW) {
            job_free(job);
            return PLACED;
        }
        count_taken(worker, job);
    }
    if (job->convicted) {
        convict(worker, job);
        return PLACED;
    }
    if (job->careful && !job->marked && !mark_alone(worker, job))
        return HOLD;
    return pipeline_offer(worker, job) == QUEUE_OK ? PLACED : HOLD;
}

// Urgent first, but one turn in five routine first: what room there is may be for one job only.
static void retry_held(struct consume *consume)
{
    bool routine_first = ++consume->turns % ROUTINE_TURN == 0;
    for (int i = 0; i < TOPIC_COUNT; i++) {
        int topic = routine_first ? i : TOPIC_COUNT - 1 - i;
        struct job *job = consume->held[topic];
        if (!job)
            continue;
        if (job->taken && !assignment_is_current(&consume->worker->assignment, job))
            forget_held(consume, (enum job_topic)topic);
        else if (place(consume, job) == PLACED)
            consume->held[topic] = NULL;
        if (!consume->held[topic])
            apply_pauses(consume);
    }
}

static void take_record(struct consume *consume, const rd_kafka_message_t *message)
{
    struct job *job = copy_message(consume->worker, message);
    if (!job) {
        fail(consume->worker, "no memory for a record of %zu bytes", message->len);
        return;
    }
    enum job_topic topic = job->topic;
    if (consume->held[topic]) { // a rebalance undid the pause
        put_back(consume, job);
        apply_pauses(consume);
    } else if (place(consume, job) == HOLD) {
        consume->held[topic] = job;
        apply_pauses(consume);
    }
}

// The partition has been read to its end. What that clears is committed at once: where nothing comes in,
// nothing else would commit it, and the next death would count on top.
static void reach_end(struct worker *worker, enum job_topic topic, int32_t partition)
{
    struct error err;
    if (!assignment_reach_end(&worker->assignment, topic, partition))
        return;
    pthread_mutex_lock(&worker->assignment.rebalance);
    if (publisher_mark(worker->publisher, true, &err) != STATUS_OK)
        LOG_WARN("mark_not_committed", "reason=\"%s\"", err.message);
    pthread_mutex_unlock(&worker->assignment.rebalance);
}

// What it holds is dropped or published; then it joins again and asks anew where its partitions stand.
static void join_again(struct consume *consume, const char *reason)
{
    struct error err;
    LOG_WARN("joins_again", "reason=\"%s\"", reason);
    forget_all_held(consume);
    consume->astray = false;
    if (member_renew(consume->worker, on_rebalance, &err) != STATUS_OK)
        worker_fail(consume->worker, &err);
}

// Ends the worker where joining again can't help.
static void take_fatal_error(struct consume *consume)
{
    struct worker *worker = consume->worker;
    char reason[256];
    rd_kafka_fatal_error(worker->consumer, reason, sizeof reason);
    if (!member_fenced_by_outage(worker)) {
        fail(worker, "Kafka ended this consumer: %s", reason);
        return;
    }
    metrics_add(METRIC_FENCES, 0, 1);
    join_again(consume, reason);
}

static void take_message(struct consume *consume, rd_kafka_message_t *message)
{
    struct worker *worker = consume->worker;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (!worker->stopping)
            take_record(consume, message);
    } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        reach_end(worker, job_topic_of(worker, rd_kafka_topic_name(message->rkt)), message->partition);
    } else if (message->err == RD_KAFKA_RESP_ERR__BAD_MSG ||
               message->err == RD_KAFKA_RESP_ERR__BAD_COMPRESSION) {
        // librdkafka would go on behind it, and the records in it would look like a gap: answered.
        fail(worker, "records of %s partition %d are damaged: %s", rd_kafka_topic_name(message->rkt),
             message->partition, rd_kafka_message_errstr(message));
    } else {
        consume->astray |= message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET;
        LOG_WARN("consume_error", "reason=\"%s\"", rd_kafka_message_errstr(message));
    }
}

static void begin_stop(struct consume *consume)
{
    atomic_store(&consume->worker->stopping, true);
    atomic_store(&consume->worker->phase, PHASE_STOPPING);
    apply_pauses(consume);
    forget_all_held(consume);
}

void consume_run(struct consume *consume)
{
    struct worker *worker = consume->worker;
    struct error err;
    atomic_store(&worker->phase, PHASE_JOINING);
    if (member_subscribe(worker, &err) != STATUS_OK)
        worker_fail(worker, &err);
    while (!atomic_load(&worker->pipeline_done)) {
        if (shutdown_requested() && !worker->stopping)
            begin_stop(consume);
        retry_held(consume);
        bool holding = consume->held[TOPIC_ROUTINE] || consume->held[TOPIC_URGENT];
        rd_kafka_message_t *message =
            rd_kafka_consumer_poll(consume->worker->consumer, holding ? POLL_HELD_MS : POLL_MS);
        bool fatal = message && rd_kafka_fatal_error(worker->consumer, NULL, 0);
        if (message && !fatal)
            take_message(consume, message);
        if (message)
            rd_kafka_message_destroy(message);
        if (fatal && !atomic_load(&worker->failed))
            take_fatal_error(consume);
        else if (consume->astray && !shutdown_requested()) // its message is destroyed: the consumer can be
            join_again(consume, "a partition's log does not hold the offset that is read next");
    }
}

void consume_close(struct consume *consume)
{
    if (!consume)
        return;
    member_close(consume->worker);
    publisher_free(consume->worker->publisher);
    consume->worker->publisher = NULL;
    free(consume);
}
