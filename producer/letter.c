// letter.c: headers become a struct, a struct becomes a row or JSON.
#include "producer/letter.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/moment.h"
#include "common/base/text.h"
#include "common/records/dead_letter.h"

enum { CODE_COLUMNS = 21, IMAGE_LIMIT = 16 * 1024 * 1024 };

static void copy_clean(const char *text, char *out, size_t size)
{
    text_clean(text ? text : "", out, size);
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
    struct dead_letter headers;
    dead_letter_read(&headers, record->headers);
    *letter = (struct letter){
        .partition = record->partition,
        .offset = record->offset,
        .failed_at = headers.failed_at >= 0 ? headers.failed_at : record->timestamp,
        .source_partition = headers.source_partition,
        .source_offset = headers.source_offset,
        .value_omitted = headers.value_omitted,
    };
    copy_clean(headers.error_code, letter->code, sizeof letter->code);
    copy_clean(headers.error_message, letter->message, sizeof letter->message);
    copy_clean(headers.source_topic, letter->source_topic, sizeof letter->source_topic);
    read_request_id(record, letter->request_id);
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

void letter_add_json(struct json_writer *writer, const struct letter *letter)
{
    json_add_integer(writer, "partition", letter->partition);
    json_add_integer(writer, "offset", letter->offset);
    json_add_integer(writer, "failed_at", letter->failed_at);
    json_add_text(writer, "error_code", letter->code);
    json_add_text(writer, "error_message", letter->message);
    if (*letter->source_topic) {
        json_add_object(writer, "source");
        json_add_text(writer, "topic", letter->source_topic);
        json_add_integer(writer, "partition", letter->source_partition);
        json_add_integer(writer, "offset", letter->source_offset);
        json_end_object(writer);
    } else {
        json_add_null(writer, "source");
    }
    if (*letter->request_id)
        json_add_text(writer, "request_id", letter->request_id);
    else
        json_add_null(writer, "request_id");
    json_add_bool(writer, "value_omitted", letter->value_omitted);
}
