// witness.c: digests of records, and the one record of each log that is compared.
#include "worker/group/witness.h"

#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/log.h"
#include "worker/group/reader.h"

uint64_t witness_digest(const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    const int64_t numbers[] = {rd_kafka_message_timestamp(message, &type), (int64_t)message->len};
    struct digest_stream *stream = digest_stream_new();
    digest_stream_add(stream, message->key, message->key_len);
    digest_stream_add(stream, numbers, sizeof numbers);
    struct digest digest = digest_stream_finish(stream);
    uint64_t first = 0;
    for (size_t i = 0; i < sizeof first; i++)
        first = first << 8 | digest.value[i];
    return first ? first : 1;
}

// The first record from witness->offset on, or an error in its place.
static void compare(struct witness *witness, const struct reader_answer *answer)
{
    if (reader_means_damaged(answer->code))
        witness->answer = WITNESS_DAMAGED;
    if (answer->code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    rd_kafka_timestamp_type_t type;
    int64_t stamp_ms = rd_kafka_message_timestamp(answer->record, &type);
    witness->time_ms = type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? stamp_ms : 0;
    bool same = answer->offset == witness->offset && witness_digest(answer->record) == witness->digest;
    witness->answer = same ? WITNESS_SAME : WITNESS_OTHER;
}

// False: it was not read, and no other will be with this reader.
static bool read_one(struct reader *reader, struct witness *witness, int64_t timeout_ms)
{
    const struct reader_place place = {witness->topic, witness->partition, witness->offset};
    struct error err;
    if (reader_begin(reader, &place, &err) != STATUS_OK) {
        LOG_WARN("witness_not_read", "reason=\"%s\"", err.message);
        return false;
    }
    struct reader_answer answer;
    if (!reader_wait(reader, timeout_ms, &answer))
        return false;
    compare(witness, &answer);
    reader_answer_release(&answer);
    return true;
}

// One after the other: a reader takes nothing behind the record that it wants, which may be one that kills.
void witness_ask(struct worker *worker, struct witness *witnesses, int count, int64_t timeout_ms)
{
    int64_t until_ms = clock_monotonic_ms() + timeout_ms;
    struct reader *reader = NULL;
    struct error err;
    if (count == 0)
        return;
    if (reader_open(&reader, worker, NULL, &err) != STATUS_OK) {
        LOG_WARN("witness_not_read", "reason=\"%s\"", err.message);
        return;
    }
    for (int i = 0; i < count; i++) {
        int64_t left_ms = until_ms - clock_monotonic_ms();
        if (left_ms <= 0 || !read_one(reader, &witnesses[i], left_ms))
            break;
    }
    reader_close(reader);
}
