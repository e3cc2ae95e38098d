// consume.c: stage 0. Copies each record into a job, destroys the Kafka message at once, and gives the job to
// the intake, which holds it while the pipeline is full.
#include "worker/stages/consume.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/shutdown.h"
#include "worker/group/marks.h"
#include "worker/group/member.h"
#include "worker/group/reader.h"
#include "worker/group/rebalance.h"
#include "worker/group/unreadable.h"
#include "worker/stages/arrival.h"
#include "worker/stages/intake.h"

enum {
    POLL_MS = 100,
    POLL_SOON_MS = 2,
    PING_MS = 2000,
    SEEK_TIMEOUT_MS = 1000,
    READ_ALONE_MS = 5000, // of a careful worker for one record
};

struct consume {
    struct worker *worker;
    struct intake *intake;
    struct unreadable *unreadable;
    bool paused[TOPIC_COUNT];
    struct reader *reader;   // of a careful worker; NULL: not needed
    unsigned careful_turn;   // which partition is read next by a careful worker
    uint32_t unread_epoch;   // of the partition that could not be read last: passed over, for others' sake,
    int64_t unread_until_ms; // until then, monotonic
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
    made->careful_turn = worker->owner; // another one in each life
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

static void hold(struct consume *consume, struct job *job)
{
    if (!intake_hold(consume->intake, job)) // a rebalance undid the pause
        put_back(consume, job);
}

static void take_record(struct consume *consume, const rd_kafka_message_t *message)
{
    struct job *job = arrival_job(consume->worker, message);
    if (job)
        hold(consume, job);
    else
        fail(consume->worker, "no memory for a record of %zu bytes", message->len);
}

// What it holds is dropped or published; then it joins again and asks anew where its partitions stand.
static void join_again(struct consume *consume, const char *reason)
{
    struct error err;
    LOG_WARN("joins_again", "reason=\"%s\"", reason);
    forget(consume);
    if (member_renew(consume->worker, &err) != STATUS_OK)
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

static void leave_out(struct consume *consume, enum job_topic topic, int32_t partition)
{
    rebalance_leave_out(consume->worker, topic, partition);
    begin_without_left_out(consume);
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
        leave_out(consume, topic, message->partition);
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

// What can't be decompressed was read all the same, and by a process that lives.
static bool is_harmless(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__PARTITION_EOF || code == RD_KAFKA_RESP_ERR__BAD_MSG ||
           code == RD_KAFKA_RESP_ERR__BAD_COMPRESSION;
}

// The read gave no record.
static void end_empty_read(struct consume *consume, const struct assigned *held, rd_kafka_resp_err_t code,
                           bool marked)
{
    if (is_harmless(code)) {
        intake_reach_end(consume->intake, held->topic, held->partition);
    } else {
        LOG_WARN("consume_error", "reason=\"%s\"", rd_kafka_err2str(code));
        consume->unread_epoch = held->epoch;
        consume->unread_until_ms = clock_monotonic_ms() + READ_ALONE_MS;
    }
    if (marked)
        marks_reading(consume->worker, held, false); // the next death may be another partition's
    if (code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
        leave_out(consume, held->topic, held->partition);
}

static void close_reader(struct consume *consume)
{
    reader_close(consume->reader);
    consume->reader = NULL;
}

static enum status begin_reading(struct consume *consume, const struct assigned *held, struct error *err)
{
    struct worker *worker = consume->worker;
    const struct reader_place place = {held->topic, held->partition, held->offsets.first};
    enum status status = STATUS_OK;
    if (!consume->reader)
        status = reader_open(&consume->reader, worker, &worker->reader_callbacks, err);
    return status == STATUS_OK ? reader_begin(consume->reader, &place, err) : status;
}

// Nothing else is on its way before the record runs: whatever kills then is that record.
static void read_one(struct consume *consume, const struct assigned *held)
{
    struct worker *worker = consume->worker;
    struct error err;
    bool marks = offsets_marks_reading(&held->offsets);
    if ((marks || worker->marks_are_stale) && !marks_reading(worker, held, marks))
        return;
    if (begin_reading(consume, held, &err) != STATUS_OK) {
        worker_fail(worker, &err);
        return;
    }
    rd_kafka_message_t *message = reader_wait(consume->reader, READ_ALONE_MS);
    rd_kafka_resp_err_t code = message ? message->err : RD_KAFKA_RESP_ERR__TIMED_OUT;
    size_t size = message ? message->len : 0;
    struct job *job = code == RD_KAFKA_RESP_ERR_NO_ERROR ? arrival_job(worker, message) : NULL;
    if (message)
        rd_kafka_message_destroy(message);
    else
        close_reader(consume);
    if (job)
        hold(consume, job);
    else if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        fail(worker, "no memory for a record of %zu bytes", size);
    else
        end_empty_read(consume, held, code, marks);
}

// False: there is nothing to read, or it is not its turn.
static bool read_partition(struct consume *consume, const struct assigned *held)
{
    struct worker *worker = consume->worker;
    int64_t low, high;
    if (offsets_marks_reading(&held->offsets) && offsets_is_convicted(&held->offsets)) {
        hold(consume, arrival_unread_job(held));
        return true;
    }
    bool passed_over =
        held->epoch == consume->unread_epoch && clock_monotonic_ms() < consume->unread_until_ms;
    if (passed_over ||
        rd_kafka_query_watermark_offsets(worker->consumer, job_topic_name(worker, held->topic),
                                         held->partition, &low, &high, PING_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    if (held->offsets.first > high) { // the log is not the one that was read
        leave_out(consume, held->topic, held->partition);
        return false;
    }
    if (held->offsets.first == high) {
        intake_reach_end(consume->intake, held->topic, held->partition);
        return false;
    }
    read_one(consume, held);
    return true;
}

// A careful worker reads one record, of the partition whose turn it is, when the one before is answered.
static void read_alone(struct consume *consume)
{
    struct worker *worker = consume->worker;
    struct assigned held;
    if (!worker->reads_alone)
        close_reader(consume);
    if (!worker->reads_alone || worker->stopping || !intake_is_empty(consume->intake) ||
        atomic_load(&worker->unfinished) > 0)
        return;
    int count = assignment_count(&worker->assignment);
    if (count == 0)
        return; // the next assignment decides anew
    for (int i = 0; i < count && assignment_caution(&worker->assignment) == CAUTION_CAREFUL; i++)
        if (assignment_at(&worker->assignment, (int)(consume->careful_turn++ % (unsigned)count), &held) &&
            read_partition(consume, &held))
            return;
    if (assignment_caution(&worker->assignment) != CAUTION_CAREFUL)
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
        worker_fail(worker, &err);
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
    close_reader(consume);
    intake_free(consume->intake);
    free(consume);
}
