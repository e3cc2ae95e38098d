// careful.c: whose turn it is, and one record of it by a reader that is kept from one to the next.
#include "worker/stages/careful.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/group/marks.h"
#include "worker/group/reader.h"
#include "worker/group/rebalance.h"
#include "worker/stages/arrival.h"

// The record that killed may have been fetched ahead, far behind those that careful lives clear of suspicion:
// given back to the consumer at once, it would end two lives for every 8 records in front of it. So when no
// partition asks for care any more, this many records are still read one by one, as many as the consumer
// fetches ahead of 64 KiB each, while so few jobs are in the process that the next careful life reaches it.
enum { PING_MS = 2000, READ_MS = 5000, READS_ON = 512, JOBS_MOST = OFFSETS_WARY_JOBS - 1 };

struct careful {
    struct worker *worker;
    struct intake *intake;
    struct reader *reader;   // NULL: not needed
    unsigned turn;           // which partition is read next
    int reads_on;            // of READS_ON, those that are left
    uint32_t unread_epoch;   // of the partition that could not be read last: passed over, for others' sake,
    int64_t unread_until_ms; // until then, monotonic
};

enum outcome { NOTHING_READ_OF_IT, TRIED, LEFT_OUT };

struct careful *careful_new(struct worker *worker, struct intake *intake)
{
    struct careful *careful = memory_alloc(sizeof *careful);
    careful->worker = worker;
    careful->intake = intake;
    careful->turn = worker->owner; // another one in each life
    return careful;
}

static void close_reader(struct careful *careful)
{
    reader_close(careful->reader);
    careful->reader = NULL;
}

void careful_free(struct careful *careful)
{
    close_reader(careful);
    free(careful);
}

static void hold(struct careful *careful, struct job *job)
{
    if (!intake_hold(careful->intake, job)) // it was empty
        job_free(job);                      // and comes again
}

static enum outcome leave_out(struct careful *careful, const struct assigned *held)
{
    rebalance_leave_out(careful->worker, held->topic, held->partition);
    return LEFT_OUT;
}

// What can't be decoded was read all the same, and by a process that lives.
static bool is_harmless(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__PARTITION_EOF || reader_means_damaged(code);
}

// The read gave no record.
static enum outcome end_empty_read(struct careful *careful, const struct assigned *held,
                                   rd_kafka_resp_err_t code, bool marked)
{
    if (reader_means_damaged(code))
        careful->reads_on = 0; // the consumer finds it and has it answered
    if (is_harmless(code)) {
        intake_reach_end(careful->intake, held->topic, held->partition);
    } else {
        LOG_WARN("consume_error", "reason=\"%s\"", rd_kafka_err2str(code));
        careful->unread_epoch = held->epoch;
        careful->unread_until_ms = clock_monotonic_ms() + READ_MS;
    }
    if (marked)
        marks_reading(careful->worker, held, false); // the next death may be another partition's
    return code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ? leave_out(careful, held) : TRIED;
}

static int64_t next_of(const struct assigned *held)
{
    const struct offsets *offsets = &held->offsets;
    return offsets->first > offsets->seen ? offsets->first : offsets->seen;
}

static enum status begin_reading(struct careful *careful, const struct assigned *held, struct error *err)
{
    struct worker *worker = careful->worker;
    const struct reader_place place = {held->topic, held->partition, next_of(held)};
    enum status status = STATUS_OK;
    if (!careful->reader)
        status = reader_open(&careful->reader, worker, &worker->reader_callbacks, err);
    return status == STATUS_OK ? reader_begin(careful->reader, &place, err) : status;
}

// Nothing else is on its way before the record runs: whatever kills then is that record.
static enum outcome read_one(struct careful *careful, const struct assigned *held)
{
    struct worker *worker = careful->worker;
    struct error err;
    bool marks = offsets_marks_reading(&held->offsets);
    if ((marks || worker->marks_are_stale) && !marks_reading(worker, held, marks))
        return TRIED;
    if (begin_reading(careful, held, &err) != STATUS_OK) {
        worker_fail(worker, "%s", err.message);
        return TRIED;
    }
    struct reader_answer answer;
    if (!reader_wait(careful->reader, READ_MS, &answer)) {
        close_reader(careful);
        return end_empty_read(careful, held, RD_KAFKA_RESP_ERR__TIMED_OUT, marks);
    }
    rd_kafka_resp_err_t code = answer.code;
    size_t size = answer.record ? answer.record->len : 0;
    struct job *job = code == RD_KAFKA_RESP_ERR_NO_ERROR ? arrival_job(worker, answer.record) : NULL;
    reader_answer_release(&answer);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return end_empty_read(careful, held, code, marks);
    if (job)
        hold(careful, job);
    else
        worker_fail(worker, "no memory for a record of %zu bytes", size);
    return TRIED;
}

static enum outcome read_partition(struct careful *careful, const struct assigned *held)
{
    struct worker *worker = careful->worker;
    int64_t low, high;
    if (offsets_marks_reading(&held->offsets) && offsets_is_convicted(&held->offsets)) {
        hold(careful, arrival_unread_job(held));
        return TRIED;
    }
    bool passed_over =
        held->epoch == careful->unread_epoch && clock_monotonic_ms() < careful->unread_until_ms;
    if (passed_over ||
        rd_kafka_query_watermark_offsets(worker->consumer, job_topic_name(worker, held->topic),
                                         held->partition, &low, &high, PING_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return NOTHING_READ_OF_IT;
    if (next_of(held) > high) // the log is not the one that was read
        return leave_out(careful, held);
    if (next_of(held) == high) {
        intake_reach_end(careful->intake, held->topic, held->partition);
        return NOTHING_READ_OF_IT;
    }
    return read_one(careful, held);
}

static bool is_ready(const struct careful *careful, bool alone)
{
    struct worker *worker = careful->worker;
    return worker->reads_alone && !worker->stopping && intake_is_empty(careful->intake) &&
           atomic_load(&worker->unfinished) < (alone ? 1 : JOBS_MOST);
}

enum careful_step careful_step(struct careful *careful)
{
    struct worker *worker = careful->worker;
    struct assigned held;
    if (!worker->reads_alone)
        close_reader(careful);
    int count = assignment_count(&worker->assignment);
    bool alone = assignment_caution(&worker->assignment) == CAUTION_CAREFUL;
    if (alone)
        careful->reads_on = READS_ON;
    if (!is_ready(careful, alone) || count == 0)
        return CAREFUL_GOES_ON; // with no partition the next assignment decides anew
    for (int i = 0; i < count && careful->reads_on > 0; i++) {
        int turn = (int)(careful->turn++ % (unsigned)count);
        enum outcome outcome = assignment_at(&worker->assignment, turn, &held)
                                   ? read_partition(careful, &held)
                                   : NOTHING_READ_OF_IT;
        careful->reads_on -= outcome == TRIED && careful->reads_on > 0;
        if (outcome != NOTHING_READ_OF_IT)
            return outcome == LEFT_OUT ? CAREFUL_LEFT_OUT : CAREFUL_GOES_ON;
    }
    return assignment_caution(&worker->assignment) == CAUTION_CAREFUL ? CAREFUL_GOES_ON : CAREFUL_ENDED;
}
