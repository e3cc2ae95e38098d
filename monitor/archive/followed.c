// followed.c: a reader without a group: the offsets are in the archive, with what was read.
#include "monitor/archive/followed.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/memory.h"

enum { TOLD_MOST = 20 };

// ---- where to start ----

static bool was_read(const struct archive_position *position)
{
    return position->next > 0; // with 0 no record stands in front of it
}

// first and end: what the broker has.
static int64_t choose_start(const struct followed *followed, int partition, int64_t first)
{
    const struct archive_position *known = &followed->places[partition].known;
    if (known->next >= 0 && first > known->next)
        LOG_WARN("records_expired",
                 "topic=%s partition=%d from=%" PRId64 " to=%" PRId64
                 " reason=\"retention removed them before they were read\"",
                 followed->options.topic, partition, known->next, first);
    int64_t wanted = followed->options.again ? 0 : was_read(known) ? known->next - 1 : 0;
    return wanted > first ? wanted : first;
}

static enum status find_starts(struct followed *followed, struct archive *archive, struct topic_range *ranges,
                               struct error *err)
{
    enum status status =
        topic_reader_find_bounds(followed->reader, followed->options.timeout_ms, ranges, err);
    for (int i = 0; i < followed->partitions && status == STATUS_OK; i++) {
        struct followed_place *place = &followed->places[i];
        status = archive_position(archive, followed->log, i, &place->known, err);
        if (status != STATUS_OK)
            break;
        place->reached = place->known;
        place->asked = was_read(&place->known) && ranges[i].first < place->known.next;
        followed->made_anew |= place->known.next > ranges[i].end;
        ranges[i] = (struct topic_range){choose_start(followed, i, ranges[i].first), INT64_MAX};
    }
    return status;
}

static enum status start(struct followed *followed, struct archive *archive, struct error *err)
{
    struct topic_range *ranges = memory_alloc((size_t)followed->partitions * sizeof *ranges);
    followed->places = memory_alloc((size_t)followed->partitions * sizeof *followed->places);
    enum status status = find_starts(followed, archive, ranges, err);
    if (status == STATUS_OK)
        status = topic_reader_start(followed->reader, ranges, err);
    if (status == STATUS_OK)
        topic_reader_wake(followed->reader, followed->options.wake_fd);
    free(ranges);
    return status;
}

enum status followed_open(struct followed *followed, const struct followed_options *options,
                          struct archive *archive, struct error *err)
{
    const struct topic_reader_options reader = {
        .cluster = options->cluster, .topic = options->topic, .follow = !options->to_the_end, .quiet = true};
    *followed = (struct followed){.options = *options};
    enum status status = archive_log(archive, options->topic, &followed->log, err);
    if (status == STATUS_OK)
        status = topic_reader_open(&followed->reader, &reader, err);
    if (status == STATUS_OK)
        status = topic_reader_connect(followed->reader, options->timeout_ms, &followed->partitions, err);
    if (status == STATUS_OK && followed->partitions > ARCHIVE_PARTITIONS_MOST)
        status = error_set(err, STATUS_REJECTED, "topic '%s' has %d partitions; the archive takes %d",
                           options->topic, followed->partitions, ARCHIVE_PARTITIONS_MOST);
    return status == STATUS_OK ? start(followed, archive, err) : status;
}

void followed_close(struct followed *followed)
{
    topic_reader_close(followed->reader);
    free(followed->places);
    *followed = (struct followed){.reader = NULL};
}

// ---- what comes ----

// The sentence names fields and no values. A record that comes again, as its transaction failed, was told of.
static void refuse(struct followed *followed, const struct topic_record *record, const struct error *reason)
{
    int64_t *told = &followed->options.told->refused[record->partition];
    if (record->offset < *told)
        return;
    *told = record->offset + 1;
    if (followed->told < TOLD_MOST)
        LOG_WARN("record_refused", "topic=%s partition=%" PRId32 " offset=%" PRId64 " reason=\"%s\"",
                 followed->options.topic, record->partition, record->offset, reason->message);
    else if (followed->told == TOLD_MOST)
        LOG_WARN("record_refused", "topic=%s reason=\"more of them are counted and not told\"",
                 followed->options.topic);
    followed->told++;
}

static enum status add(struct followed *followed, const struct topic_record *record, struct error *err)
{
    const struct archive_origin origin = {
        .log = followed->log,
        .partition = record->partition,
        .offset = record->offset,
        .received_at = record->timestamp,
    };
    return followed->options.kind == FOLLOWED_PREDICTIONS
               ? archive_batch_add_prediction(followed->batch, record->value, &origin, err)
               : archive_batch_add_feedback(followed->batch, record->value, &origin, err);
}

// The record in front of the place where reading goes on, once more. Where another one stands there, or none,
// as the mark of a transaction, this is another log.
static void look_again(struct followed *followed, struct followed_place *place,
                       const struct topic_record *record)
{
    if (!place->asked || record->offset < place->known.next - 1)
        return;
    if (record->offset == place->known.next - 1 && archive_witness(record->value) == place->known.witness)
        place->asked = false;
    else
        followed->made_anew = true;
}

bool followed_is_sure(const struct followed *followed)
{
    bool asked = followed->made_anew;
    for (int i = 0; i < followed->partitions; i++)
        asked |= followed->places[i].asked;
    return !asked;
}

// False: the batch is full, the topic was made anew, or a record could not be added.
static bool take_record(void *context, const struct topic_record *record)
{
    struct followed *followed = context;
    struct followed_place *place = &followed->places[record->partition];
    struct error reason;
    bool known = record->offset < place->known.next;
    look_again(followed, place, record);
    if (followed->made_anew)
        return false;
    if (known && !followed->options.again)
        return true;
    enum status status = add(followed, record, &reason);
    if (status == STATUS_REJECTED && !known) {
        refuse(followed, record, &reason);
        place->refused++;
    } else if (status != STATUS_OK && status != STATUS_REJECTED) {
        *followed->err = reason;
        followed->status = status;
        return false;
    }
    if (!known) {
        place->reached = (struct archive_position){record->offset + 1, archive_witness(record->value)};
        place->moved = true;
    }
    return ++followed->taken < ARCHIVE_BATCH_MOST;
}

enum status followed_take(struct followed *followed, struct archive_batch *batch, struct error *err)
{
    const struct topic_taker taker = {take_record, followed};
    enum status status = STATUS_OK;
    followed->batch = batch;
    followed->taken = 0;
    followed->status = STATUS_OK;
    followed->err = err;
    if (!followed->options.to_the_end) {
        topic_reader_take(followed->reader, &taker);
    } else if (!followed->ended) {
        status = topic_reader_read(followed->reader, &taker, followed->options.timeout_ms, err);
        followed->ended = followed->taken < ARCHIVE_BATCH_MOST;
    }
    return status == STATUS_OK ? followed->status : status;
}

size_t followed_steps(const struct followed *followed, struct archive_step *steps)
{
    size_t count = 0;
    for (int i = 0; i < followed->partitions; i++) {
        const struct followed_place *place = &followed->places[i];
        if (place->moved)
            steps[count++] = (struct archive_step){.log = followed->log,
                                                   .partition = i,
                                                   .from = place->known.next,
                                                   .to = place->reached.next,
                                                   .refused = place->refused,
                                                   .witness = place->reached.witness};
    }
    return count;
}

int64_t followed_refused(const struct followed *followed)
{
    int64_t refused = 0;
    for (int i = 0; i < followed->partitions; i++)
        refused += followed->places[i].refused;
    return refused;
}

void followed_committed(struct followed *followed)
{
    for (int i = 0; i < followed->partitions; i++) {
        struct followed_place *place = &followed->places[i];
        place->known = place->reached;
        place->refused = 0;
        place->moved = false;
    }
}
