// arrival.c: what of a record is kept, and which records are answered without it.
#include "worker/stages/arrival.h"

#include <string.h>

#include "worker/group/witness.h"

enum { KEY_LIMIT = 64 * 1024 }; // a prediction is this and a few KiB: far from what a broker refuses

// Whether the record was sent again from the dead letters: it says so in a header.
static bool is_replayed(const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    return rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
           rd_kafka_header_get_last(headers, "replayed", &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR &&
           size == 4 && memcmp(value, "true", 4) == 0;
}

struct job *arrival_job(struct worker *worker, const rd_kafka_message_t *message)
{
    bool key_omitted = message->key_len > KEY_LIMIT;
    size_t key_size = key_omitted ? 0 : message->key_len;
    size_t value_limit = job_record_most_bytes(worker->max_image_bytes);
    bool oversized = message->len > value_limit;
    size_t value_size = oversized ? 0 : message->len;
    struct job *job = job_new(key_size, value_size);
    struct error err;
    job->topic = job_topic_of(worker, rd_kafka_topic_name(message->rkt));
    job->partition = message->partition;
    job->offset = message->offset;
    job->key_omitted = key_omitted;
    job->null_key = message->key == NULL || key_omitted;
    job->null_value = message->payload == NULL;
    job->oversized = oversized;
    job->replayed = is_replayed(message);
    job->record_digest = oversized ? 0 : witness_digest(message); // no witness: it would be read again
    if (key_omitted)
        job_fail(job, JOB_INVALID_FIELD, "the record's key has %zu bytes, %d are allowed", message->key_len,
                 KEY_LIMIT);
    job_stamp(job, MOMENT_CONSUMED);
    if (buffer_append(&job->key, message->key, key_size, &err) != STATUS_OK ||
        buffer_append(&job->value, message->payload, value_size, &err) != STATUS_OK) {
        job_free(job);
        return NULL;
    }
    if (oversized) {
        job_request_id_read(buffer_bytes(&job->key), job->record.request_id);
        job_fail(job, JOB_IMAGE_TOO_LARGE, "the record has %zu bytes, %zu are allowed", message->len,
                 value_limit);
    }
    return job;
}

struct job *arrival_unread_job(const struct assigned *held)
{
    struct job *job = job_new(0, 0);
    job->topic = held->topic;
    job->partition = held->partition;
    job->offset = held->offsets.first;
    job->null_key = job->key_omitted = job->oversized = true;
    job_stamp(job, MOMENT_CONSUMED);
    return job;
}
