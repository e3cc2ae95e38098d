// records.c: the prediction record and the dead letter.
#include "worker/stages/records.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "worker/stages/answer.h"

static void add_header(rd_kafka_headers_t *headers, const char *name, const char *value)
{
    rd_kafka_header_add(headers, name, -1, value, -1);
}

static rd_kafka_headers_t *dead_letter_headers(const struct worker *worker, const struct job *job)
{
    char number[24];
    rd_kafka_headers_t *headers = rd_kafka_headers_new(10);
    add_header(headers, "error_code", job_code_name(job->code));
    add_header(headers, "error_message", job->error.message);
    add_header(headers, "source_topic", job_topic_name(worker, job->topic));
    snprintf(number, sizeof number, "%d", job->partition);
    add_header(headers, "source_partition", number);
    snprintf(number, sizeof number, "%" PRId64, job->offset);
    add_header(headers, "source_offset", number);
    snprintf(number, sizeof number, "%" PRId64, clock_wall_ms());
    add_header(headers, "failed_at", number);
    add_header(headers, "worker", worker->instance);
    if (job->oversized)
        add_header(headers, "value_omitted", "true");
    if (job->key_omitted)
        add_header(headers, "key_omitted", "true");
    if (job->replayed)
        add_header(headers, "replayed", "true");
    return headers;
}

// The bytes stay the job's: it is kept until the transaction is over.
static enum status produce(rd_kafka_t *producer, const char *topic, struct job *job, struct bytes value,
                           rd_kafka_headers_t *headers, struct error *err)
{
    static const uint8_t empty[1];
    rd_kafka_resp_err_t result =
        rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_MSGFLAGS(0),
                          RD_KAFKA_V_KEY(job->null_key   ? NULL
                                         : job->key.size ? job->key.data
                                                         : empty,
                                         job->key.size),
                          RD_KAFKA_V_VALUE((void *)value.data, value.size), RD_KAFKA_V_OPAQUE(job),
                          RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    if (headers)
        rd_kafka_headers_destroy(headers);
    if (result == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        job->oversized = true;
    return error_set(err, STATUS_RETRY, "produce to '%s': %s", topic, rd_kafka_err2str(result));
}

// The record's own bytes: a null value stays null, an empty one empty.
static struct bytes letter_value(const struct job *job)
{
    static const uint8_t empty[1];
    if (job->oversized || job->null_value)
        return (struct bytes){0};
    return job->value.size > 0 ? buffer_bytes(&job->value) : (struct bytes){empty, 0};
}

enum status records_produce(rd_kafka_t *producer, struct worker *worker, struct job *job, struct error *err)
{
    job_stamp(job, MOMENT_PUBLISHED);
    enum status status = answer_write(worker, job, err);
    if (status == STATUS_OK)
        status = produce(producer, config_text(worker->config, "predictions_topic"), job,
                         buffer_bytes(&job->answer), NULL, err);
    if (status != STATUS_OK || job->code == JOB_OK)
        return status;
    return produce(producer, config_text(worker->config, "dead_letters_topic"), job, letter_value(job),
                   dead_letter_headers(worker, job), err);
}
