// intake.c: a record that finds no room is held and its topic paused; polling goes on, so the group never
// takes this worker for dead.
#include "worker/intake.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "worker/pipeline.h"
#include "worker/publisher.h"

enum {
    SEEK_TIMEOUT_MS = 1000,
    ROUTINE_TURN = 5,
    URGENT_PLACES = 8 // one in so many is kept for urgent jobs
};

struct intake {
    struct worker *worker;
    struct job *held[TOPIC_COUNT]; // a job that found no room; its topic is paused
    bool paused[TOPIC_COUNT];
    unsigned turns; // of intake_retry
};

struct intake *intake_new(struct worker *worker)
{
    struct intake *intake = memory_alloc(sizeof *intake);
    intake->worker = worker;
    return intake;
}

void intake_free(struct intake *intake)
{
    free(intake);
}

static void forget_held(struct intake *intake, enum job_topic topic)
{
    struct job *job = intake->held[topic];
    intake->held[topic] = NULL;
    if (job && job->taken)
        worker_end_job(intake->worker, job);
    else
        job_free(job);
}

void intake_forget(struct intake *intake)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        forget_held(intake, (enum job_topic)topic);
}

static void switch_topic(struct intake *intake, enum job_topic topic, bool pause)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    struct assigned entry;
    for (int i = 0; assignment_at(&intake->worker->assignment, i, &entry); i++)
        if (entry.topic == topic)
            rd_kafka_topic_partition_list_add(list, job_topic_name(intake->worker, topic), entry.partition);
    rd_kafka_resp_err_t result = pause ? rd_kafka_pause_partitions(intake->worker->consumer, list)
                                       : rd_kafka_resume_partitions(intake->worker->consumer, list);
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
        LOG_WARN("pause_failed", "reason=\"%s\"", rd_kafka_err2str(result));
    rd_kafka_topic_partition_list_destroy(list);
    intake->paused[topic] = pause;
}

// Pauses and resumes so that no record comes from a topic with a held job. Only where something changes:
// librdkafka 2.0 reads a partition that is resumed without having been paused again from where it was
// assigned.
static void apply_pauses(struct intake *intake)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        bool pause = intake->held[topic] || intake->worker->stopping;
        if (pause != intake->paused[topic])
            switch_topic(intake, (enum job_topic)topic, pause);
    }
}

// The record will come again, once its partition is resumed.
static void put_back(struct intake *intake, struct job *job)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *entry =
        rd_kafka_topic_partition_list_add(list, job_topic_name(intake->worker, job->topic), job->partition);
    entry->offset = job->offset;
    rd_kafka_error_t *error = rd_kafka_seek_partitions(intake->worker->consumer, list, SEEK_TIMEOUT_MS);
    bool current = assignment_holds(&intake->worker->assignment, job->topic, job->partition);
    struct error err;
    if (current && (error || entry->err != RD_KAFKA_RESP_ERR_NO_ERROR) &&
        error_set(&err, STATUS_FATAL, "record %" PRId64 " of %s partition %d can't be put back: %s",
                  job->offset, entry->topic, job->partition,
                  error ? rd_kafka_error_string(error) : rd_kafka_err2str(entry->err)) != STATUS_OK)
        worker_fail(intake->worker, &err);
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
static enum placing place(struct intake *intake, struct job *job)
{
    struct worker *worker = intake->worker;
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
void intake_retry(struct intake *intake)
{
    bool routine_first = ++intake->turns % ROUTINE_TURN == 0;
    for (int i = 0; i < TOPIC_COUNT; i++) {
        int topic = routine_first ? i : TOPIC_COUNT - 1 - i;
        struct job *job = intake->held[topic];
        if (!job)
            continue;
        if (job->taken && !assignment_is_current(&intake->worker->assignment, job))
            forget_held(intake, (enum job_topic)topic);
        else if (place(intake, job) == PLACED)
            intake->held[topic] = NULL;
        if (!intake->held[topic])
            apply_pauses(intake);
    }
}

void intake_take(struct intake *intake, struct job *job)
{
    enum job_topic topic = job->topic;
    if (intake->held[topic]) { // a rebalance undid the pause
        put_back(intake, job);
        apply_pauses(intake);
    } else if (place(intake, job) == HOLD) {
        intake->held[topic] = job;
        apply_pauses(intake);
    }
}

bool intake_is_holding(const struct intake *intake)
{
    return intake->held[TOPIC_ROUTINE] || intake->held[TOPIC_URGENT];
}

// librdkafka keeps a partition paused that comes back to this worker.
void intake_begin_assignment(struct intake *intake)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        switch_topic(intake, (enum job_topic)topic, false);
    apply_pauses(intake);
}

void intake_stop(struct intake *intake)
{
    apply_pauses(intake);
    intake_forget(intake);
}
