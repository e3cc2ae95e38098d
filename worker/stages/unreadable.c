// unreadable.c: a list of damaged batches, each with the step it is at. One reader serves them all.
#include "worker/stages/unreadable.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/group/reader.h"

enum {
    AGAIN_FIRST_MS = 250, // then ever later, up to
    AGAIN_MOST_MS = 5000,
    RETRY_MS = 250,   // after the broker did not tell
    LOOK_MS = 5000,   // that it is waited for
    ANSWERS_MS = 50,  // so often
    ANSWERS_MOST = 16 // so many: answering a long batch leaves room for other partitions' jobs
};

enum step {
    STEP_DORMANT, // its partition is read, or another worker's: only since_ms is remembered
    STEP_READ_AGAIN,
    STEP_SEARCH, // for its end
    STEP_ANSWER
};

struct damaged {
    struct damaged *following;
    enum job_topic topic;
    int32_t partition;
    enum step step;
    int64_t base;      // its first offset, as the client tells
    int64_t since_ms;  // monotonic: when this process met it first
    int64_t due_ms;    // monotonic: of the next thing to do
    int64_t looked_at; // the offset looked at
    int64_t low;       // of the search: lies in the batch
    int64_t high;      // lies behind it; 0: not known
    int64_t stride;    // from low to the next look, while high is not known
    int64_t end;       // behind the batch; 0: not known
    int64_t next;      // the next offset to answer
    struct error reason;
};

struct unreadable {
    struct worker *worker;
    struct intake *intake;
    int64_t after_ms; // 0: a person decides
    bool asks;
    struct damaged *list;
    struct reader *reader;   // NULL: not needed yet
    struct damaged *looking; // whose place is being looked at; NULL: none
    int64_t look_until_ms;   // monotonic
};

struct unreadable *unreadable_new(struct worker *worker, struct intake *intake)
{
    struct unreadable *unreadable = memory_alloc(sizeof *unreadable);
    unreadable->worker = worker;
    unreadable->intake = intake;
    unreadable->after_ms = config_integer(worker->config, "unreadable_after_s") * 1000;
    return unreadable;
}

void unreadable_free(struct unreadable *unreadable)
{
    if (!unreadable)
        return;
    while (unreadable->list) {
        struct damaged *damaged = unreadable->list;
        unreadable->list = damaged->following;
        free(damaged);
    }
    reader_close(unreadable->reader);
    free(unreadable);
}

static void give_look_up(struct unreadable *unreadable)
{
    reader_close(unreadable->reader);
    unreadable->reader = NULL;
    unreadable->looking = NULL;
}

static void let_rest(struct unreadable *unreadable, struct damaged *damaged)
{
    if (damaged == unreadable->looking)
        give_look_up(unreadable);
    damaged->step = STEP_DORMANT;
}

void unreadable_forget(struct unreadable *unreadable)
{
    for (struct damaged *damaged = unreadable->list; damaged; damaged = damaged->following)
        let_rest(unreadable, damaged);
}

void unreadable_forget_left_out(struct unreadable *unreadable)
{
    struct assignment *assignment = &unreadable->worker->assignment;
    for (struct damaged *damaged = unreadable->list; damaged; damaged = damaged->following)
        if (!assignment_holds(assignment, damaged->topic, damaged->partition))
            let_rest(unreadable, damaged);
}

// One for each partition that ever had any.
static struct damaged *damaged_of(struct unreadable *unreadable, enum job_topic topic, int32_t partition)
{
    struct damaged *damaged = unreadable->list;
    while (damaged && (damaged->topic != topic || damaged->partition != partition))
        damaged = damaged->following;
    if (!damaged) {
        damaged = memory_alloc(sizeof *damaged);
        *damaged = (struct damaged){
            .following = unreadable->list, .topic = topic, .partition = partition, .base = -1};
        unreadable->list = damaged;
    }
    return damaged;
}

// Waits as long again as it has waited, but looks when the time is over.
static void read_again_later(const struct unreadable *unreadable, struct damaged *damaged)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t waited_ms = now_ms - damaged->since_ms;
    int64_t wait_ms = waited_ms < AGAIN_FIRST_MS  ? AGAIN_FIRST_MS
                      : waited_ms > AGAIN_MOST_MS ? AGAIN_MOST_MS
                                                  : waited_ms;
    int64_t left_ms = unreadable->after_ms - waited_ms;
    damaged->step = STEP_READ_AGAIN;
    damaged->due_ms = now_ms + (left_ms > 0 && left_ms < wait_ms ? left_ms : wait_ms);
}

static void meet(struct unreadable *unreadable, enum job_topic topic, const rd_kafka_message_t *message)
{
    struct worker *worker = unreadable->worker;
    struct damaged *damaged = damaged_of(unreadable, topic, message->partition);
    const char *name = job_topic_name(worker, topic);
    if (damaged->base != message->offset) {
        damaged->base = message->offset;
        damaged->since_ms = clock_monotonic_ms();
    }
    damaged->end = 0;
    const char *text = rd_kafka_message_errstr(message);
    LOG_WARN("unreadable", "topic=%s partition=%d offset=%" PRId64 " reason=\"%s\"", name, damaged->partition,
             damaged->base, text);
    if (error_set(&damaged->reason, STATUS_RETRY,
                  "the batch of records at offset %" PRId64 " of %s partition %d can't be read: %s",
                  damaged->base, name, damaged->partition, text) != STATUS_OK)
        blocked_add(&worker->blocked, topic, damaged->partition, BLOCKED_UNREADABLE, &damaged->reason);
    unreadable->asks = true;
    read_again_later(unreadable, damaged);
}

bool unreadable_asks(struct unreadable *unreadable)
{
    bool asks = unreadable->asks;
    unreadable->asks = false;
    return asks;
}

// Refused for an offset that is not the next one: librdkafka made it of damaged bytes, and may say so when
// the partition has been given to it anew.
static bool is_led_astray(struct worker *worker, enum job_topic topic, const rd_kafka_message_t *message)
{
    return message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET &&
           message->offset != assignment_next(&worker->assignment, topic, message->partition);
}

bool unreadable_takes(struct unreadable *unreadable, const rd_kafka_message_t *message)
{
    struct worker *worker = unreadable->worker;
    if (!message->rkt)
        return false;
    enum job_topic topic = job_topic_of(worker, rd_kafka_topic_name(message->rkt));
    if (blocked_holds(&worker->blocked, topic, message->partition))
        return true;
    if (is_led_astray(worker, topic, message)) {
        unreadable->asks = true;
        return true;
    }
    if (!reader_means_damaged(message->err))
        return false;
    if (!worker->stopping && assignment_holds(&worker->assignment, topic, message->partition))
        meet(unreadable, topic, message);
    return true;
}

static int64_t place_to_look_at(const struct unreadable *unreadable, const struct damaged *damaged)
{
    if (damaged->step == STEP_SEARCH)
        return damaged->high ? damaged->low + (damaged->high - damaged->low) / 2
                             : damaged->low + damaged->stride;
    int64_t next = assignment_next(&unreadable->worker->assignment, damaged->topic, damaged->partition);
    return next > damaged->base ? next : damaged->base;
}

static void search_end(struct damaged *damaged)
{
    damaged->step = STEP_SEARCH;
    damaged->low = damaged->looked_at;
    damaged->high = 0;
    damaged->stride = 1;
}

static void narrow(struct damaged *damaged, bool inside)
{
    if (inside) {
        damaged->low = damaged->looked_at;
        damaged->stride *= 2;
    } else {
        damaged->high = damaged->looked_at;
    }
    if (damaged->high != damaged->low + 1)
        return;
    damaged->end = damaged->high;
    damaged->step = STEP_READ_AGAIN; // the last time
}

static void give_up(struct unreadable *unreadable, struct damaged *damaged)
{
    LOG_ERROR("unreadable_answered", "topic=%s partition=%d from=%" PRId64 " to=%" PRId64,
              job_topic_name(unreadable->worker, damaged->topic), damaged->partition, damaged->looked_at,
              damaged->end - 1);
    damaged->step = STEP_ANSWER;
    damaged->next = damaged->looked_at;
}

static void go_on(struct unreadable *unreadable, struct damaged *damaged)
{
    struct worker *worker = unreadable->worker;
    LOG_INFO("reads_on", "topic=%s partition=%d offset=%" PRId64, job_topic_name(worker, damaged->topic),
             damaged->partition, assignment_next(&worker->assignment, damaged->topic, damaged->partition));
    blocked_remove(&worker->blocked, damaged->topic, damaged->partition, BLOCKED_UNREADABLE);
    unreadable->asks = true;
    damaged->step = STEP_DORMANT;
}

// inside: the place that was looked at lies in the batch.
static void conclude(struct unreadable *unreadable, struct damaged *damaged, bool inside)
{
    bool late = unreadable->after_ms > 0 && clock_monotonic_ms() - damaged->since_ms >= unreadable->after_ms;
    if (damaged->step == STEP_SEARCH) {
        narrow(damaged, inside);
    } else if (!inside) {
        go_on(unreadable, damaged);
    } else if (damaged->end) {
        give_up(unreadable, damaged);
    } else if (late) {
        search_end(damaged);
    } else {
        read_again_later(unreadable, damaged);
    }
}

// Whether the reader's answer tells what there is at the place: a record, the log's end, no place in the log,
// or a damaged batch. librdkafka also tells of offsets that it made of damaged bytes and that are refused,
// where that belongs to an earlier look too; then nothing may come of this one.
static bool tells(const struct reader_answer *answer, int64_t looked_at)
{
    if (answer->code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
        return answer->offset == looked_at;
    return answer->code == RD_KAFKA_RESP_ERR_NO_ERROR || answer->code == RD_KAFKA_RESP_ERR__PARTITION_EOF ||
           reader_means_damaged(answer->code);
}

static void look(struct unreadable *unreadable)
{
    struct damaged *damaged = unreadable->looking;
    struct reader_answer answer;
    bool came = reader_poll(unreadable->reader, &answer);
    if (!came && clock_monotonic_ms() < unreadable->look_until_ms)
        return;
    if (came)
        unreadable->looking = NULL;
    else
        give_look_up(unreadable);
    if (!came || !tells(&answer, damaged->looked_at))
        damaged->due_ms = clock_monotonic_ms() + RETRY_MS;
    else
        conclude(unreadable, damaged, reader_means_damaged(answer.code) && answer.offset == damaged->base);
    reader_answer_release(&answer);
}

static void begin_look(struct unreadable *unreadable, struct damaged *damaged)
{
    struct error err;
    enum status status = STATUS_OK;
    if (!unreadable->reader)
        status = reader_open(&unreadable->reader, unreadable->worker, NULL, &err);
    damaged->looked_at = place_to_look_at(unreadable, damaged);
    const struct reader_place place = {damaged->topic, damaged->partition, damaged->looked_at};
    if (status == STATUS_OK)
        status = reader_begin(unreadable->reader, &place, &err);
    if (status != STATUS_OK) {
        LOG_WARN("look_failed", "reason=\"%s\"", err.message);
        damaged->due_ms = clock_monotonic_ms() + RETRY_MS;
        return;
    }
    unreadable->look_until_ms = clock_monotonic_ms() + LOOK_MS;
    unreadable->looking = damaged;
}

// Nothing is known of the record but its place.
static struct job *make_job(const struct damaged *damaged)
{
    struct job *job = job_new(0, 0);
    job->topic = damaged->topic;
    job->partition = damaged->partition;
    job->offset = damaged->next;
    job->null_key = job->key_omitted = true;
    job->null_value = job->oversized = true;
    job_fail(job, JOB_RECORD_UNREADABLE, "%s", damaged->reason.message);
    job_stamp(job, MOMENT_CONSUMED);
    return job;
}

static void answer(struct unreadable *unreadable, struct damaged *damaged)
{
    for (int i = 0; i < ANSWERS_MOST && damaged->next < damaged->end; i++) {
        struct job *job = make_job(damaged);
        if (!intake_hold(unreadable->intake, job)) {
            job_free(job);
            break;
        }
        damaged->next++;
    }
    damaged->due_ms = clock_monotonic_ms() + ANSWERS_MS;
    if (assignment_next(&unreadable->worker->assignment, damaged->topic, damaged->partition) >= damaged->end)
        go_on(unreadable, damaged);
}

static void advance(struct unreadable *unreadable, struct damaged *damaged)
{
    if (damaged->step == STEP_DORMANT || damaged == unreadable->looking ||
        clock_monotonic_ms() < damaged->due_ms)
        return;
    if (damaged->step == STEP_ANSWER)
        answer(unreadable, damaged);
    else if (!unreadable->looking)
        begin_look(unreadable, damaged);
}

bool unreadable_step(struct unreadable *unreadable)
{
    bool soon = false;
    if (unreadable->worker->stopping)
        return false;
    if (unreadable->looking)
        look(unreadable);
    for (struct damaged *damaged = unreadable->list; damaged; damaged = damaged->following) {
        advance(unreadable, damaged);
        soon |= damaged->step == STEP_ANSWER;
    }
    return soon || unreadable->looking;
}
