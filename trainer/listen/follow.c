// follow.c: one reader for each topic, without a group: the offsets are in the index, with what was read.
#include "trainer/listen/follow.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/records/prediction.h"
#include "common/services/topic_reader.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    BATCH = 2000,     // records of one transaction
    TOLD_MOST = 20,   // refused records of a topic that are told one by one
    SLICE_MS = 60000, // of a wait
};

struct followed_partition {
    struct read_place place; // behind the last record read
    bool asked;              // the record in front of it is read once more and has not come yet
    bool moved;              // in this step
};

struct followed {
    struct follow *follow;
    const char *topic;
    enum status (*take)(struct followed *followed, const struct topic_record *record, struct error *err);
    struct topic_reader *reader;
    int partitions;
    struct followed_partition *parts;
    size_t told;
    bool ended;
    bool made_anew; // some record is another one than it was
};

struct follow {
    struct follow_options options;
    struct followed feedback, predictions;
    int wake_fd;
    bool more; // the last step left some behind
    // of the present step
    struct follow_news *news;
    enum status status;
    struct error *err;
};

// The sentence names fields and no values.
static void refuse(struct followed *followed, const struct topic_record *record, const struct error *reason)
{
    if (followed->told < TOLD_MOST)
        LOG_WARN("record_refused", "topic=%s partition=%" PRId32 " offset=%" PRId64 " reason=\"%s\"",
                 followed->topic, record->partition, record->offset, reason->message);
    else if (followed->told == TOLD_MOST)
        LOG_WARN("record_refused", "topic=%s reason=\"more of them are counted and not told\"",
                 followed->topic);
    followed->told++;
    feedback_index_count_refused(followed->follow->options.index);
}

static enum status take_feedback(struct followed *followed, const struct topic_record *record,
                                 struct error *err)
{
    struct follow *follow = followed->follow;
    struct feedback feedback;
    struct error reason;
    bool is_new;
    int64_t received_at = record->timestamp >= 0 ? record->timestamp : clock_wall_ms();
    enum status status = feedback_parse(record->value, received_at, &feedback, &reason);
    if (status == STATUS_REJECTED) {
        refuse(followed, record, &reason);
        return STATUS_OK;
    }
    if (status != STATUS_OK) {
        *err = reason;
        return status;
    }
    status = feedback_index_add(follow->options.index, &feedback, &is_new, err);
    follow->news->labels |= is_new;
    return status;
}

static const char *text_or_nothing(const char *text, size_t size, bool good)
{
    return text && strlen(text) < size && good ? text : "";
}

// Anyone may write to the topic: what is no site or subject is not known.
static enum status add_answer(struct follow *follow, const struct prediction *prediction,
                              const struct topic_record *record, struct error *err)
{
    static const char site_characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    const char *site = prediction->context.site ? prediction->context.site : "";
    const char *subject = prediction->context.subject ? prediction->context.subject : "";
    char request_id[JOB_REQUEST_ID_SIZE];
    bool awaited = false;
    job_request_id_read((struct bytes){(const uint8_t *)prediction->request_id, JOB_REQUEST_ID_SIZE - 1},
                        request_id);
    const struct answered_request request = {
        .request_id = request_id,
        .image_sha256 = prediction->provenance.image_sha256,
        .site = text_or_nothing(site, JOB_TOKEN_SIZE, strspn(site, site_characters) == strlen(site)),
        .subject = text_or_nothing(subject, DIGEST_TEXT_SIZE,
                                   strspn(subject, "0123456789abcdef") == DIGEST_TEXT_SIZE - 1),
        .answered_at = record->timestamp >= 0 ? record->timestamp : clock_wall_ms(),
    };
    enum status status = feedback_index_add_request(follow->options.index, &request, &awaited, err);
    follow->news->labels |= awaited;
    return status;
}

static enum status take_prediction(struct followed *followed, const struct topic_record *record,
                                   struct error *err)
{
    struct prediction prediction;
    struct error reason;
    enum status status = prediction_parse(record->value, &prediction, &reason);
    if (status == STATUS_REJECTED) {
        refuse(followed, record, &reason);
        return STATUS_OK;
    }
    if (status != STATUS_OK) {
        *err = reason;
        return status;
    }
    if (prediction.request_id && prediction.provenance.image_sha256[0])
        status = add_answer(followed->follow, &prediction, record, err);
    prediction_release(&prediction);
    return status;
}

// Never 0. The time stamp is no part of it: what is the same otherwise says the same.
static int64_t witness_of(const struct topic_record *record)
{
    struct digest digest = digest_of(record->value.data, record->value.size);
    int64_t witness;
    memcpy(&witness, digest.value, sizeof witness);
    return witness ? witness : 1;
}

// The first record of a partition that was read before is the last one of then. Where it isn't, this is
// another log, which is read from its start when reading begins anew; what of it is known changes nothing.
static void look_again(struct followed *followed, struct followed_partition *part,
                       const struct topic_record *record)
{
    part->asked = false;
    if (record->offset == part->place.next - 1 && witness_of(record) == part->place.witness)
        return;
    LOG_WARN("topic_made_anew",
             "topic=%s partition=%" PRId32 " read_to=%" PRId64 " action=\"read from its start\"",
             followed->topic, record->partition, part->place.next);
    part->place = (struct read_place){.next = 0};
    part->moved = followed->made_anew = true;
}

// False: enough for one transaction, or it failed.
static bool take_record(void *context, const struct topic_record *record)
{
    struct followed *followed = context;
    struct follow *follow = followed->follow;
    struct followed_partition *part = &followed->parts[record->partition];
    if (part->asked) {
        look_again(followed, part, record);
        return !followed->made_anew;
    }
    follow->status = followed->take(followed, record, follow->err);
    part->place = (struct read_place){record->offset + 1, witness_of(record)};
    part->moved = true;
    follow->news->records++;
    return follow->status == STATUS_OK && follow->news->records < BATCH;
}

// ---- where to start ----

// Where the index ends is where the log goes on, unless retention or a new topic came between. Returns the
// first offset to be read.
static int64_t choose_start(const struct followed *followed, int partition, struct followed_partition *part,
                            const struct topic_range *bounds)
{
    int64_t known = part->place.next, wanted = known < 0 ? 0 : known;
    if (known > bounds->end) {
        LOG_WARN("topic_made_anew",
                 "topic=%s partition=%d read_to=%" PRId64 " end=%" PRId64 " action=\"read from its start\"",
                 followed->topic, partition, known, bounds->end);
        wanted = bounds->first;
    } else if (bounds->first > wanted) {
        LOG_WARN("records_expired",
                 "topic=%s partition=%d from=%" PRId64 " to=%" PRId64
                 " reason=\"retention removed them before they were read\"",
                 followed->topic, partition, wanted, bounds->first);
        wanted = bounds->first;
    }
    part->asked = wanted == known && part->place.witness != 0 && bounds->first < known;
    part->moved = wanted != known;
    if (part->moved)
        part->place = (struct read_place){.next = wanted};
    return part->asked ? wanted - 1 : wanted;
}

static enum status find_starts(struct followed *followed, struct topic_range *ranges, struct error *err)
{
    enum status status = topic_reader_find_bounds(followed->reader, CONNECT_TIMEOUT_MS, ranges, err);
    for (int i = 0; i < followed->partitions && status == STATUS_OK; i++) {
        struct followed_partition *part = &followed->parts[i];
        status = feedback_index_place(followed->follow->options.index, followed->topic, i, &part->place, err);
        if (status == STATUS_OK)
            ranges[i] = (struct topic_range){choose_start(followed, i, part, &ranges[i]), INT64_MAX};
    }
    return status;
}

static enum status open_topic(struct followed *followed, struct error *err)
{
    struct follow *follow = followed->follow;
    const struct topic_reader_options options = {.cluster = follow->options.cluster,
                                                 .topic = followed->topic,
                                                 .follow = !follow->options.to_the_end,
                                                 .quiet = true};
    enum status status = topic_reader_open(&followed->reader, &options, err);
    if (status == STATUS_OK)
        status = topic_reader_connect(followed->reader, CONNECT_TIMEOUT_MS, &followed->partitions, err);
    if (status != STATUS_OK)
        return status;
    size_t count = (size_t)followed->partitions;
    struct topic_range *ranges = memory_alloc(count * sizeof *ranges);
    followed->parts = memory_alloc(count * sizeof *followed->parts);
    status = find_starts(followed, ranges, err);
    if (status == STATUS_OK)
        status = topic_reader_start(followed->reader, ranges, err);
    if (status == STATUS_OK)
        topic_reader_wake(followed->reader, follow->wake_fd);
    free(ranges);
    return status;
}

enum status follow_open(struct follow **follow, const struct follow_options *options, struct error *err)
{
    struct follow *made = memory_alloc(sizeof *made);
    enum status status = STATUS_OK;
    made->options = *options;
    made->feedback =
        (struct followed){.follow = made, .topic = options->feedback_topic, .take = take_feedback};
    made->predictions =
        (struct followed){.follow = made, .topic = options->predictions_topic, .take = take_prediction};
    made->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made->wake_fd < 0)
        status = error_set(err, STATUS_FATAL, "no event descriptor: %s", strerror(errno));
    if (status == STATUS_OK)
        status = open_topic(&made->predictions, err);
    if (status == STATUS_OK)
        status = open_topic(&made->feedback, err);
    if (status != STATUS_OK) {
        follow_close(made);
        made = NULL;
    }
    *follow = made;
    return status;
}

static void close_topic(struct followed *followed)
{
    topic_reader_close(followed->reader);
    free(followed->parts);
}

void follow_close(struct follow *follow)
{
    if (!follow)
        return;
    close_topic(&follow->feedback);
    close_topic(&follow->predictions);
    if (follow->wake_fd >= 0)
        close(follow->wake_fd);
    free(follow);
}

// ---- a step ----

static enum status save_places(struct followed *followed, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < followed->partitions && status == STATUS_OK; i++)
        if (followed->parts[i].moved) {
            status = feedback_index_set_place(followed->follow->options.index, followed->topic, i,
                                              &followed->parts[i].place, err);
            followed->parts[i].moved = false;
        }
    return status;
}

// What has arrived, or with to_the_end what is there.
static enum status read_some(struct followed *followed, struct error *err)
{
    struct follow *follow = followed->follow;
    const struct topic_taker taker = {take_record, followed};
    if (!follow->options.to_the_end) {
        topic_reader_take(followed->reader, &taker);
        return follow->status;
    }
    enum status status = topic_reader_read(followed->reader, &taker, follow->options.timeout_ms, err);
    if (status == STATUS_OK)
        status = follow->status;
    followed->ended = status == STATUS_OK && follow->news->records < BATCH && !followed->made_anew;
    return status;
}

static void wait_for_records(struct follow *follow, int64_t wait_ms)
{
    struct pollfd readable = {.fd = follow->wake_fd, .events = POLLIN};
    uint64_t count;
    if (poll(&readable, 1, (int)(wait_ms < SLICE_MS ? wait_ms : SLICE_MS)) > 0 &&
        read(follow->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
        LOG_WARN("wake_trouble", "reason=\"%s\"", strerror(errno));
}

static enum status read_both(struct follow *follow, struct error *err)
{
    enum status status = STATUS_OK;
    if (!follow->predictions.ended)
        status = read_some(&follow->predictions, err);
    if (status == STATUS_OK && follow->news->records < BATCH && !follow->feedback.ended)
        status = read_some(&follow->feedback, err);
    if (status == STATUS_OK)
        status = save_places(&follow->predictions, err);
    if (status == STATUS_OK)
        status = save_places(&follow->feedback, err);
    return status;
}

enum status follow_step(struct follow *follow, int64_t wait_ms, struct follow_news *news, struct error *err)
{
    *news = (struct follow_news){0};
    follow->news = news;
    follow->status = STATUS_OK;
    follow->err = err;
    if (!follow->options.to_the_end && !follow->more)
        wait_for_records(follow, wait_ms);
    enum status status = feedback_index_begin(follow->options.index, err);
    if (status != STATUS_OK)
        return status;
    status = read_both(follow, err);
    if (status == STATUS_OK)
        status = feedback_index_commit(follow->options.index, err);
    else
        feedback_index_rollback(follow->options.index);
    follow->more = news->records == BATCH;
    news->stale = follow->predictions.made_anew || follow->feedback.made_anew;
    news->ended = follow->predictions.ended && follow->feedback.ended;
    return status;
}
