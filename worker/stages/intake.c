// intake.c: the held lists, who finds room, and whose turn it is.
#include "worker/stages/intake.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "worker/group/marks.h"

enum {
    ALL_TURNS = 100, // percent
    URGENT_PART = 8  // one in so many is kept for urgent jobs
};

// A partition's records keep their order: a later offset that is taken first makes the earlier one answered.
struct held {
    struct job *jobs[INTAKE_HELD_JOBS]; // ring
    int head, count;
    size_t bytes;
    bool draining; // it was full, and more than half of it is left
};

struct intake {
    struct worker *worker;
    struct held held[TOPIC_COUNT];
    int urgent_share; // percent of the turns while routine jobs wait
    int credit;       // turns that routine jobs have saved up, in percent
};

struct intake *intake_new(struct worker *worker)
{
    struct intake *intake = memory_alloc(sizeof *intake);
    intake->worker = worker;
    intake->urgent_share = (int)config_integer(worker->config, "urgent_share");
    return intake;
}

void intake_free(struct intake *intake)
{
    free(intake);
}

static size_t size_of(const struct job *job)
{
    return job->key.size + job->value.size;
}

static bool is_full(const struct held *held)
{
    return held->count == INTAKE_HELD_JOBS || held->bytes >= INTAKE_HELD_BYTES;
}

static void append(struct held *held, struct job *job)
{
    held->jobs[(held->head + held->count++) % INTAKE_HELD_JOBS] = job;
    held->bytes += size_of(job);
}

bool intake_hold(struct intake *intake, struct job *job)
{
    struct held *held = &intake->held[job->topic];
    if (is_full(held))
        return false;
    job->epoch = assignment_epoch(&intake->worker->assignment, job->topic, job->partition);
    append(held, job);
    return true;
}

static void remove_first(struct held *held, size_t size)
{
    held->head = (held->head + 1) % INTAKE_HELD_JOBS;
    held->count--;
    held->bytes -= size;
}

bool intake_is_empty(const struct intake *intake)
{
    return intake->held[TOPIC_ROUTINE].count + intake->held[TOPIC_URGENT].count == 0;
}

bool intake_wants_pause(struct intake *intake, enum job_topic topic)
{
    struct held *held = &intake->held[topic];
    bool half = held->count <= INTAKE_HELD_JOBS / 2 && held->bytes <= INTAKE_HELD_BYTES / 2;
    held->draining = is_full(held) || (held->draining && !half);
    return held->draining;
}

static void drop(struct worker *worker, struct job *job)
{
    if (job->taken)
        worker_end_job(worker, job);
    else
        job_free(job);
}

void intake_forget(struct intake *intake)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        struct held *held = &intake->held[topic];
        for (; held->count > 0; remove_first(held, 0))
            drop(intake->worker, held->jobs[held->head]);
        held->bytes = 0;
    }
}

void intake_forget_left_out(struct intake *intake)
{
    struct worker *worker = intake->worker;
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        struct held *held = &intake->held[topic];
        for (int left = held->count; left > 0; left--) { // once around: the others keep their order
            struct job *job = held->jobs[held->head];
            remove_first(held, size_of(job));
            if (assignment_holds(&worker->assignment, job->topic, job->partition))
                append(held, job);
            else
                drop(worker, job);
        }
    }
}

// How many jobs may wait for their answer, and how many bytes. After deaths few jobs may be in the process,
// and then one alone. Routine jobs leave room: those that wait for an object store which is away may
// be many.
static bool has_room(struct worker *worker, enum job_topic topic)
{
    const int cautious[] = {INT32_MAX, OFFSETS_WARY_JOBS, 1};
    int routine = atomic_load(&worker->inside[TOPIC_ROUTINE]);
    int urgent = atomic_load(&worker->inside[TOPIC_URGENT]);
    int unfinished = atomic_load(&worker->unfinished), limit = worker->intake_limit_jobs;
    return (unfinished == 0 || worker_has_bytes(worker)) &&
           unfinished < cautious[assignment_caution(&worker->assignment)] && routine + urgent < limit &&
           (topic == TOPIC_URGENT || routine < limit - limit / URGENT_PART);
}

// It will be answered unseen: even reading it may be what kills.
static void convict(struct worker *worker, struct job *job)
{
    LOG_ERROR("job_convicted", "topic=%s partition=%d offset=%" PRId64, job_topic_name(worker, job->topic),
              job->partition, job->offset);
    job_request_id_read(buffer_bytes(&job->key), job->record.request_id);
    job_fail(job, JOB_WORKER_KILLED, "the worker process ended each of the %d times it had only this job",
             OFFSETS_CONVICTION);
}

enum placing { PLACED, DROPPED, HOLD };

// PLACED, DROPPED: the job is off our hands; dropped because it is answered or not ours.
static enum placing place(struct worker *worker, struct job *job)
{
    if (job->taken && !assignment_is_current(&worker->assignment, job)) {
        worker_end_job(worker, job);
        return DROPPED;
    }
    if (!job->taken) {
        if (!has_room(worker, job->topic))
            return HOLD;
        enum assignment_take take = assignment_take(&worker->assignment, job);
        if (take == TAKE_NO_ROOM)
            return HOLD;
        if (take != TAKE_NEW) {
            job_free(job);
            return DROPPED;
        }
        worker_begin_job(worker, job);
        if (job->convicted)
            convict(worker, job);
    }
    bool unseen = job->convicted || job->oversized;
    if (!unseen && job->careful && !job->marked && !marks_alone(worker, job))
        return HOLD;
    return worker_offer(worker, job, unseen ? STAGE_POSTPROCESS : STAGE_FETCH) == QUEUE_OK ? PLACED : HOLD;
}

// The topic whose turn it is while jobs of both wait.
static enum job_topic next_topic(const struct intake *intake)
{
    return intake->credit >= intake->urgent_share ? TOPIC_ROUTINE : TOPIC_URGENT;
}

// A turn is paid for only where the other topic waited. One saved turn is the most: where one topic could not
// go for a while, the other's turns are not taken from it later.
static void pay(struct intake *intake, enum job_topic topic)
{
    if (intake->held[TOPIC_COUNT - 1 - topic].count == 0)
        return;
    intake->credit += topic == TOPIC_URGENT ? ALL_TURNS - intake->urgent_share : -intake->urgent_share;
    intake->credit = intake->credit < 0 ? 0 : intake->credit > ALL_TURNS ? ALL_TURNS : intake->credit;
}

static void reach_end(struct worker *worker, enum job_topic topic, int32_t partition)
{
    if (assignment_reach_end(&worker->assignment, topic, partition))
        marks_forgiven(worker);
}

static struct job *last_of(const struct held *held, int32_t partition)
{
    for (int i = held->count - 1; i >= 0; i--) {
        struct job *job = held->jobs[(held->head + i) % INTAKE_HELD_JOBS];
        if (job->partition == partition)
            return job;
    }
    return NULL;
}

void intake_reach_end(struct intake *intake, enum job_topic topic, int32_t partition)
{
    struct job *job = last_of(&intake->held[topic], partition);
    if (job)
        job->ends_log = true;
    else
        reach_end(intake->worker, topic, partition);
}

// The job may be gone once it is placed.
static bool place_first(struct intake *intake, enum job_topic topic)
{
    struct held *held = &intake->held[topic];
    if (held->count == 0)
        return false;
    struct job *job = held->jobs[held->head];
    int32_t partition = job->partition;
    bool ends_log = job->ends_log;
    size_t size = size_of(job);
    enum placing placing = place(intake->worker, job);
    if (placing == HOLD)
        return false;
    remove_first(held, size);
    if (placing == PLACED)
        pay(intake, topic);
    if (ends_log && !last_of(held, partition))
        reach_end(intake->worker, topic, partition);
    return true;
}

void intake_place(struct intake *intake)
{
    for (;;) {
        enum job_topic topic = next_topic(intake);
        if (!place_first(intake, topic) && !place_first(intake, TOPIC_COUNT - 1 - topic))
            return;
    }
}
