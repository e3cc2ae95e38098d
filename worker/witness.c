// witness.c: digests of records.
#include "worker/witness.h"

#include "common/digest.h"

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
