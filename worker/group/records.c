// records.c: the prediction record and the dead letter.
#include "worker/group/records.h"

#include "common/base/clock.h"
#include "common/records/dead_letter.h"
#include "worker/answer.h"

static rd_kafka_headers_t *letter_headers(const struct worker *worker, const struct job *job)
{
    const struct dead_letter letter = {
        .error_code = job_code_name(job->code),
        .error_message = job->error.message,
        .source_topic = job_topic_name(worker, job->topic),
        .source_partition = job->partition,
        .source_offset = job->offset,
        .failed_at = clock_wall_ms(),
        .worker = worker->instance,
        .value_omitted = job->oversized,
        .key_omitted = job->key_omitted,
        .replayed = job->replayed,
    };
    return dead_letter_headers(&letter);
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
                   letter_headers(worker, job), err);
}
