// replay.c: the letters of the list are read a second time, now with their bytes, and handed to the
// idempotent sender as they come; acknowledgements come back in between.
#include "producer/replay.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/shutdown.h"
#include "common/services/kafka.h"
#include "common/services/record_sender.h"

enum { POLL_MS = 50, INTERRUPT_GRACE_MS = 3000 };

struct replaying {
    const struct replay_options *options;
    struct letter_list *list;
    struct listed_letter **by_place; // those to be sent, by partition and offset
    size_t count;
    size_t tried;
    struct record_sender sender;
    int64_t heard_ms; // when the last acknowledgement or letter came
};

static int compare_places(int32_t partition, int64_t offset, const struct letter *letter)
{
    if (partition != letter->partition)
        return partition < letter->partition ? -1 : 1;
    return (offset > letter->offset) - (offset < letter->offset);
}

static int compare_entries(const void *left, const void *right)
{
    const struct letter *a = &(*(struct listed_letter *const *)left)->letter;
    return compare_places(a->partition, a->offset, &(*(struct listed_letter *const *)right)->letter);
}

static int compare_record(const void *key, const void *entry)
{
    const struct topic_record *record = key;
    return compare_places(record->partition, record->offset,
                          &(*(struct listed_letter *const *)entry)->letter);
}

// The entries to be sent in order of their place, and where each partition's first and last ones are.
static void index_letters(struct replaying *replaying, struct topic_range *ranges)
{
    struct letter_list *list = replaying->list;
    replaying->by_place = memory_alloc(list->counts[LETTER_SEND] * sizeof(struct listed_letter *));
    for (size_t i = 0; i < list->count; i++)
        if (list->entries[i].fate == LETTER_SEND)
            replaying->by_place[replaying->count++] = &list->entries[i];
    qsort(replaying->by_place, replaying->count, sizeof(struct listed_letter *), compare_entries);
    for (int i = 0; i < replaying->options->partitions; i++)
        ranges[i] = (struct topic_range){RD_KAFKA_OFFSET_END, INT64_MAX};
    for (size_t i = 0; i < replaying->count; i++) {
        const struct letter *letter = &replaying->by_place[i]->letter;
        struct topic_range *range = &ranges[letter->partition];
        range->first = range->first == RD_KAFKA_OFFSET_END ? letter->offset : range->first;
        range->end = letter->offset + 1;
    }
}

static void update_progress(struct replaying *replaying)
{
    const size_t *counts = replaying->list->counts;
    struct progress *progress = &replaying->options->report->progress;
    progress->sent = counts[LETTER_SENT];
    progress->errors = counts[LETTER_FAILED];
    progress->done = counts[LETTER_SENT] + counts[LETTER_FAILED];
    progress_update(progress, clock_monotonic_us());
}

static void write_sent(struct report *report, const struct letter *letter, const struct delivery *delivery)
{
    if (!report->json)
        return;
    struct json_line line;
    struct json_writer *writer = json_line_begin(&line);
    letter_add_json(writer, letter);
    json_add_object(writer, "replayed_to");
    json_add_text(writer, "topic", letter->source_topic);
    json_add_integer(writer, "partition", delivery->partition);
    json_add_integer(writer, "offset", delivery->offset);
    json_end_object(writer);
    json_line_end(&line, report->out);
    fflush(report->out);
}

static void fail_entry(struct replaying *replaying, struct listed_letter *entry, const char *reason)
{
    letter_list_set_fate(replaying->list, entry, LETTER_FAILED);
    report_trouble(replaying->options->report, "letter %" PRId32 "/%" PRId64 " was not sent: %s",
                   entry->letter.partition, entry->letter.offset, reason);
}

// Runs inside record_sender_poll and record_sender_close.
static void on_delivered(void *context, void *item, const struct delivery *delivery)
{
    struct replaying *replaying = context;
    struct listed_letter *entry = item;
    if (delivery->error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail_entry(replaying, entry, rd_kafka_err2str(delivery->error));
        return;
    }
    replaying->heard_ms = clock_monotonic_ms();
    letter_list_set_fate(replaying->list, entry, LETTER_SENT);
    write_sent(replaying->options->report, &entry->letter, delivery);
}

static bool is_stalled(const struct replaying *replaying)
{
    return clock_monotonic_ms() - replaying->heard_ms >= replaying->options->timeout_ms;
}

// Waits while the outgoing queue is full. Null stays null and empty stays empty, as in the letter.
static void send_letter(struct replaying *replaying, struct listed_letter *entry,
                        const struct topic_record *record)
{
    char place[40];
    const struct record_header headers[] = {{"replayed", "true"}, {"replayed_from", place}};
    const struct outgoing_record job = {entry->letter.source_topic, record->key, record->value, headers, 2};
    struct error err;
    snprintf(place, sizeof place, "%" PRId32 "/%" PRId64, entry->letter.partition, entry->letter.offset);
    enum status status = record_sender_send(&replaying->sender, &job, entry, &err);
    while (status == STATUS_RETRY && !is_stalled(replaying) && !shutdown_requested()) {
        record_sender_poll(&replaying->sender, POLL_MS);
        status = record_sender_send(&replaying->sender, &job, entry, &err);
    }
    if (status != STATUS_OK)
        fail_entry(replaying, entry, err.message);
    replaying->tried++;
}

static bool take_record(void *context, const struct topic_record *record)
{
    struct replaying *replaying = context;
    struct listed_letter **found = bsearch(record, replaying->by_place, replaying->count,
                                           sizeof(struct listed_letter *), compare_record);
    replaying->heard_ms = clock_monotonic_ms();
    if (found && (*found)->fate == LETTER_SEND)
        send_letter(replaying, *found, record);
    record_sender_poll(&replaying->sender, 0);
    update_progress(replaying);
    return replaying->tried < replaying->count;
}

// Until every letter handed over is acknowledged or refused.
static void settle(struct replaying *replaying)
{
    int64_t stop_ms = INT64_MAX;
    replaying->heard_ms = clock_monotonic_ms();
    while (record_sender_waiting(&replaying->sender) > 0 && !is_stalled(replaying)) {
        if (shutdown_requested() && stop_ms == INT64_MAX)
            stop_ms = clock_monotonic_ms() + INTERRUPT_GRACE_MS;
        if (clock_monotonic_ms() >= stop_ms)
            return;
        record_sender_poll(&replaying->sender, POLL_MS);
        update_progress(replaying);
    }
}

static enum status open_sender(struct replaying *replaying, struct error *err)
{
    const struct config *config = replaying->options->config;
    struct kafka_topic topics[] = {{.name = config_text(config, "jobs_topic")},
                                   {.name = config_text(config, "urgent_jobs_topic")}};
    int64_t timeout_ms = replaying->options->timeout_ms;
    const struct record_sender_options options = {.cluster = config_kafka(config),
                                                  .delivery_timeout_ms = timeout_ms,
                                                  .quiet = report_is_quiet(config),
                                                  .delivered = on_delivered,
                                                  .context = replaying};
    enum status status = record_sender_open(&replaying->sender, &options, err);
    return status == STATUS_OK ? kafka_topics_require(replaying->sender.client, topics, 2, timeout_ms, err)
                               : status;
}

// What was never handed over. Where a sentence is due for all of them together, the caller has it.
static void give_up_rest(struct replaying *replaying, enum status status)
{
    for (size_t i = 0; i < replaying->count; i++) {
        struct listed_letter *entry = replaying->by_place[i];
        if (entry->fate != LETTER_SEND)
            continue;
        if (status == STATUS_OK)
            fail_entry(replaying, entry, "the topic does not hold it any more");
        else
            letter_list_set_fate(replaying->list, entry, LETTER_FAILED);
    }
}

enum status replay_run(const struct replay_options *options, struct letter_list *list, struct error *err)
{
    struct replaying replaying = {.options = options, .list = list, .heard_ms = clock_monotonic_ms()};
    struct topic_range *ranges = memory_alloc((size_t)options->partitions * sizeof *ranges);
    const struct topic_taker taker = {take_record, &replaying};
    index_letters(&replaying, ranges);
    enum status status = open_sender(&replaying, err);
    if (status == STATUS_OK) {
        status = topic_reader_start(options->reader, ranges, err);
        if (status == STATUS_OK)
            status = topic_reader_read(options->reader, &taker, options->timeout_ms, err);
        topic_reader_stop(options->reader);
        settle(&replaying);
    }
    record_sender_close(&replaying.sender); // what is still unacknowledged is told now
    give_up_rest(&replaying, status);
    free(replaying.by_place);
    free(ranges);
    return status;
}
