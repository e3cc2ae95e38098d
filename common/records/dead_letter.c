// dead_letter.c: each header's name stands once in the writer and once in the reader, next to each other.
#include "common/records/dead_letter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(rd_kafka_headers_t *headers, const char *name, const char *value)
{
    if (value)
        rd_kafka_header_add(headers, name, -1, value, -1);
}

static void add_number(rd_kafka_headers_t *headers, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    if (value >= 0)
        add(headers, name, text);
}

static void add_truth(rd_kafka_headers_t *headers, const char *name, bool value)
{
    add(headers, name, value ? "true" : NULL);
}

rd_kafka_headers_t *dead_letter_headers(const struct dead_letter *letter)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(10);
    add(headers, "error_code", letter->error_code);
    add(headers, "error_message", letter->error_message);
    add(headers, "source_topic", letter->source_topic);
    add_number(headers, "source_partition", letter->source_partition);
    add_number(headers, "source_offset", letter->source_offset);
    add_number(headers, "failed_at", letter->failed_at);
    add(headers, "worker", letter->worker);
    add_truth(headers, "value_omitted", letter->value_omitted);
    add_truth(headers, "key_omitted", letter->key_omitted);
    add_truth(headers, "replayed", letter->replayed);
    return headers;
}

// The last header of the name; librdkafka ends every value with a NUL behind it.
static const char *find(const rd_kafka_headers_t *headers, const char *name)
{
    const void *value;
    size_t size;
    if (!headers || rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return NULL;
    return value;
}

static int64_t find_number(const rd_kafka_headers_t *headers, const char *name, int64_t most)
{
    char *end;
    const char *text = find(headers, name);
    if (!text || text[0] < '0' || text[0] > '9')
        return -1;
    errno = 0;
    int64_t number = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0 && number <= most ? number : -1;
}

static bool find_truth(const rd_kafka_headers_t *headers, const char *name)
{
    const char *text = find(headers, name);
    return text && strcmp(text, "true") == 0;
}

void dead_letter_read(struct dead_letter *letter, const rd_kafka_headers_t *headers)
{
    *letter = (struct dead_letter){
        .error_code = find(headers, "error_code"),
        .error_message = find(headers, "error_message"),
        .source_topic = find(headers, "source_topic"),
        .source_partition = (int32_t)find_number(headers, "source_partition", INT32_MAX),
        .source_offset = find_number(headers, "source_offset", INT64_MAX),
        .failed_at = find_number(headers, "failed_at", INT64_MAX),
        .worker = find(headers, "worker"),
        .value_omitted = find_truth(headers, "value_omitted"),
        .key_omitted = find_truth(headers, "key_omitted"),
        .replayed = find_truth(headers, "replayed"),
    };
}
