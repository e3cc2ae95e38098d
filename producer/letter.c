// letter.c: headers become a struct, a struct becomes a row or JSON.
#include "producer/letter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/text.h"
#include "producer/moment.h"

enum { CODE_COLUMNS = 21, HEADER_SIZE = 512, IMAGE_LIMIT = 16 * 1024 * 1024 };

// The last header of the name, cleaned and cut; empty when there is none.
static void read_header(const struct topic_record *record, const char *name, char *text, size_t size)
{
    const void *value;
    size_t value_size;
    char raw[HEADER_SIZE] = "";
    if (record->headers &&
        rd_kafka_header_get_last(record->headers, name, &value, &value_size) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (value_size > sizeof raw - 1)
            value_size = sizeof raw - 1;
        if (value_size > 0)
            memcpy(raw, value, value_size);
    }
    text_clean(raw, text, size);
}

// A whole number from 0 to most; otherwise absent.
static int64_t read_number(const struct topic_record *record, const char *name, int64_t most, int64_t absent)
{
    char text[24], *end;
    read_header(record, name, text, sizeof text);
    if (text[0] < '0' || text[0] > '9')
        return absent;
    errno = 0;
    int64_t number = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0 && number <= most ? number : absent;
}

// The key is the request id; where it is something else, the job itself is asked.
static void read_request_id(const struct topic_record *record, char request_id[JOB_REQUEST_ID_SIZE])
{
    job_request_id_read(record->key, request_id);
    if (request_id[0])
        return;
    uint8_t *image = NULL;
    struct job_record job;
    struct error err;
    enum job_code code = job_record_parse(record->value, IMAGE_LIMIT, &image, &job, &err);
    (void)code; // a job that fails is what a letter is about; the id is read where there is one
    memcpy(request_id, job.request_id, JOB_REQUEST_ID_SIZE);
    free(image);
}

static void add_piece(struct digest_stream *stream, struct bytes piece)
{
    uint64_t head = piece.data ? piece.size : UINT64_MAX; // null is not empty
    digest_stream_add(stream, &head, sizeof head);
    if (piece.size > 0)
        digest_stream_add(stream, piece.data, piece.size);
}

static struct digest identify(const struct letter *letter, const struct topic_record *record)
{
    struct digest_stream *stream = digest_stream_new();
    digest_stream_add(stream, letter->source_topic, strlen(letter->source_topic) + 1);
    add_piece(stream, record->key);
    add_piece(stream, record->value);
    return digest_stream_finish(stream);
}

void letter_read(struct letter *letter, const struct topic_record *record)
{
    char text[8];
    *letter = (struct letter){.partition = record->partition, .offset = record->offset};
    letter->failed_at = read_number(record, "failed_at", INT64_MAX, record->timestamp);
    read_header(record, "error_code", letter->code, sizeof letter->code);
    read_header(record, "error_message", letter->message, sizeof letter->message);
    read_header(record, "source_topic", letter->source_topic, sizeof letter->source_topic);
    letter->source_partition = (int32_t)read_number(record, "source_partition", INT32_MAX, -1);
    letter->source_offset = read_number(record, "source_offset", INT64_MAX, -1);
    read_request_id(record, letter->request_id);
    read_header(record, "value_omitted", text, sizeof text);
    letter->value_omitted = strcmp(text, "true") == 0;
    letter->killer = strcmp(letter->code, job_code_name(JOB_WORKER_KILLED)) == 0;
    letter->job = identify(letter, record);
}

static bool is_wanted(const char *wanted, const char *text)
{
    return !*wanted || strcmp(wanted, text) == 0;
}

bool letter_matches(const struct letter *letter, const struct letter_filter *filter)
{
    return is_wanted(filter->reason, letter->code) && is_wanted(filter->topic, letter->source_topic) &&
           (!*filter->request_id || strcasecmp(filter->request_id, letter->request_id) == 0) &&
           (filter->since < 0 || letter->failed_at >= filter->since) &&
           (filter->until < 0 || letter->failed_at < filter->until);
}

static int format_source(const struct letter *letter, char *text, size_t size)
{
    if (!*letter->source_topic)
        return snprintf(text, size, "-");
    return snprintf(text, size, "%s/%" PRId32 "/%" PRId64, letter->source_topic, letter->source_partition,
                    letter->source_offset);
}

size_t letter_source_columns(const struct letter *letter)
{
    char source[LETTER_TOPIC_SIZE + 48];
    format_source(letter, source, sizeof source);
    return text_columns(source);
}

void letter_write_heading(FILE *out, size_t source_columns)
{
    fprintf(out, "%-24s  %-*s  ", "failed at", CODE_COLUMNS, "reason");
    text_write_tail(out, "source", source_columns);
    fprintf(out, "  %-36s  %s\n", "request", "message");
}

void letter_write_row(FILE *out, size_t source_columns, const struct letter *letter)
{
    char moment[MOMENT_TEXT_SIZE], source[LETTER_TOPIC_SIZE + 48];
    moment_format(letter->failed_at, moment);
    format_source(letter, source, sizeof source);
    fprintf(out, "%-24s  ", moment);
    text_write_tail(out, *letter->code ? letter->code : "-", CODE_COLUMNS);
    fputs("  ", out);
    text_write_tail(out, source, source_columns);
    fprintf(out, "  %-36s  %s\n", *letter->request_id ? letter->request_id : "-", letter->message);
}

void letter_write_json(FILE *out, const struct letter *letter)
{
    fprintf(out, "\"partition\":%" PRId32 ",\"offset\":%" PRId64 ",\"failed_at\":%" PRId64 ",\"error_code\":",
            letter->partition, letter->offset, letter->failed_at);
    text_write_json(out, letter->code);
    fputs(",\"error_message\":", out);
    text_write_json(out, letter->message);
    fputs(",\"source\":", out);
    if (*letter->source_topic) {
        fputs("{\"topic\":", out);
        text_write_json(out, letter->source_topic);
        fprintf(out, ",\"partition\":%" PRId32 ",\"offset\":%" PRId64 "}", letter->source_partition,
                letter->source_offset);
    } else {
        fputs("null", out);
    }
    if (*letter->request_id)
        fprintf(out, ",\"request_id\":\"%s\"", letter->request_id);
    else
        fputs(",\"request_id\":null", out);
    fprintf(out, ",\"value_omitted\":%s", letter->value_omitted ? "true" : "false");
}
