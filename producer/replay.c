// replay.c: the letters of the list are read a second time, now with their bytes, and handed to the
// idempotent sender as they come; acknowledgements come back in between.
#include "producer/replay.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/kafka.h"
#include "common/memory.h"
#include "common/shutdown.h"
#include "common/text.h"
#include "producer/sender.h"

enum { POLL_MS = 50, INTERRUPT_GRACE_MS = 3000 };

struct replaying {
    const struct replay_options *options;
    struct letter_list *list;
    struct listed_letter **by_place; // those to be sent, by partition and offset
    size_t count;
    size_t tried;
    struct sender sender;
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
    const struct letter_record *record = key;
    return compare_places(record->partition, record->offset,
                          &(*(struct listed_letter *const *)entry)->letter);
}

// The entries to be sent in order of their place, and where each partition's first one is.
static void index_letters(struct replaying *replaying, int64_t *offsets)
{
    struct letter_list *list = replaying->list;
    replaying->by_place = memory_alloc(list->counts[LETTER_SEND] * sizeof(struct listed_letter *));
    for (size_t i = 0; i < list->count; i++)
        if (list->entries[i].fate == LETTER_SEND)
            replaying->by_place[replaying->count++] = &list->entries[i];
    qsort(replaying->by_place, replaying->count, sizeof(struct listed_letter *), compare_entries);
    for (int i = 0; i < replaying->options->partitions; i++)
        offsets[i] = RD_KAFKA_OFFSET_END;
    for (size_t i = replaying->count; i-- > 0;)
        offsets[replaying->by_place[i]->letter.partition] = replaying->by_place[i]->letter.offset;
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
    fputc('{', report->out);
    letter_write_json(report->out, letter);
    fputs(",\"replayed_to\":{\"topic\":", report->out);
    text_write_json(report->out, letter->source_topic);
    fprintf(report->out, ",\"partition\":%" PRId32 ",\"offset\":%" PRId64 "}}\n", delivery->partition,
            delivery->offset);
    fflush(report->out);
}

static void fail_entry(struct replaying *replaying, struct listed_letter *entry, const char *reason)
{
    letter_list_set_fate(replaying->list, entry, LETTER_FAILED);
    report_trouble(replaying->options->report, "letter %" PRId32 "/%" PRId64 " was not sent: %s",
                   entry->letter.partition, entry->letter.offset, reason);
}

// Runs inside sender_poll and sender_close.
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

static rd_kafka_headers_t *make_headers(const struct letter *letter)
{
    char place[40];
    snprintf(place, sizeof place, "%" PRId32 "/%" PRId64, letter->partition, letter->offset);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
    rd_kafka_header_add(headers, "replayed", -1, "true", -1);
    rd_kafka_header_add(headers, "replayed_from", -1, place, -1);
    return headers;
}

// Null stays null and empty stays empty, as in the letter.
static rd_kafka_resp_err_t produce(struct replaying *replaying, struct listed_letter *entry,
                                   const struct letter_record *record)
{
    rd_kafka_headers_t *headers = make_headers(&entry->letter);
    void *value = (void *)(uintptr_t)record->value.data; // copied, not changed
    const void *key = record->key.data;
    rd_kafka_resp_err_t code =
        rd_kafka_producev(replaying->sender.client, RD_KAFKA_V_TOPIC(entry->letter.source_topic),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, record->key.size),
                          RD_KAFKA_V_VALUE(value, record->value.size), RD_KAFKA_V_HEADERS(headers),
                          RD_KAFKA_V_OPAQUE(entry), RD_KAFKA_V_END);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_headers_destroy(headers);
    return code;
}

static bool is_stalled(const struct replaying *replaying)
{
    return clock_monotonic_ms() - replaying->heard_ms >= replaying->options->timeout_ms;
}

// Waits while the outgoing queue is full.
static void send_letter(struct replaying *replaying, struct listed_letter *entry,
                        const struct letter_record *record)
{
    rd_kafka_resp_err_t code = produce(replaying, entry, record);
    while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && !is_stalled(replaying) && !shutdown_requested()) {
        sender_poll(&replaying->sender, POLL_MS);
        code = produce(replaying, entry, record);
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        fail_entry(replaying, entry, rd_kafka_err2str(code));
    replaying->tried++;
}

static bool take_record(void *context, const struct letter_record *record)
{
    struct replaying *replaying = context;
    struct listed_letter **found = bsearch(record, replaying->by_place, replaying->count,
                                           sizeof(struct listed_letter *), compare_record);
    replaying->heard_ms = clock_monotonic_ms();
    if (found && (*found)->fate == LETTER_SEND)
        send_letter(replaying, *found, record);
    sender_poll(&replaying->sender, 0);
    update_progress(replaying);
    return replaying->tried < replaying->count;
}

// Until every letter handed over is acknowledged or refused.
static void settle(struct replaying *replaying)
{
    int64_t stop_ms = INT64_MAX;
    replaying->heard_ms = clock_monotonic_ms();
    while (rd_kafka_outq_len(replaying->sender.client) > 0 && !is_stalled(replaying)) {
        if (shutdown_requested() && stop_ms == INT64_MAX)
            stop_ms = clock_monotonic_ms() + INTERRUPT_GRACE_MS;
        if (clock_monotonic_ms() >= stop_ms)
            return;
        sender_poll(&replaying->sender, POLL_MS);
        update_progress(replaying);
    }
}

static enum status open_sender(struct replaying *replaying, struct error *err)
{
    const struct config *config = replaying->options->config;
    struct kafka_topic topics[] = {{.name = config_text(config, "jobs_topic")},
                                   {.name = config_text(config, "urgent_jobs_topic")}};
    int64_t timeout_ms = replaying->options->timeout_ms;
    replaying->sender.delivered = on_delivered;
    replaying->sender.context = replaying;
    enum status status = sender_open(&replaying->sender, config, topics[0].name, timeout_ms, err);
    if (status == STATUS_OK)
        status = kafka_topics_describe(replaying->sender.client, topics, 2, timeout_ms, err);
    for (int i = 0; i < 2 && status == STATUS_OK; i++)
        if (topics[i].partitions < 0)
            status = error_set(err, STATUS_REJECTED,
                               "topic '%s' does not exist; 'skinsight-producer topics --create' makes it",
                               topics[i].name);
    return status;
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
    int64_t *offsets = memory_alloc((size_t)options->partitions * sizeof *offsets);
    index_letters(&replaying, offsets);
    struct letter_scan scan = {
        .offsets = offsets, .timeout_ms = options->timeout_ms, .take = take_record, .context = &replaying};
    enum status status = open_sender(&replaying, err);
    if (status == STATUS_OK) {
        status = letter_reader_scan(options->reader, &scan, err);
        settle(&replaying);
    }
    sender_close(&replaying.sender); // what is still unacknowledged is told now
    give_up_rest(&replaying, status);
    free(replaying.by_place);
    free(offsets);
    return status;
}
