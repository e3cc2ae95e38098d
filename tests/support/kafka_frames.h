// kafka_frames.h: as much of Kafka's wire format as a proxy needs: whole frames, and who asks for what in a
// request. A frame is a 4-byte big-endian length and that many bytes; a request begins with api key (2), api
// version (2), correlation id (4) and the client id (2-byte length, -1: none); a reply begins with the
// correlation id. Nothing here knows about connections or faults.
#ifndef SKINSIGHT_TESTS_SUPPORT_KAFKA_FRAMES_H
#define SKINSIGHT_TESTS_SUPPORT_KAFKA_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KAFKA_FRAME_MAX = 64 * 1024 * 1024, KAFKA_CLIENT_SIZE = 64 };

// The bytes of one frame, its length included. Starts zeroed; kafka_frame_release when done.
struct kafka_frame {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

// Reads exactly one frame from a blocking socket. False: the peer closed, an error, or a length over the
// limit.
bool kafka_frame_read(int socket, struct kafka_frame *frame);
// False when not everything could be written.
bool kafka_frame_write(int socket, const struct kafka_frame *frame);
void kafka_frame_release(struct kafka_frame *frame);

struct kafka_request {
    int api_key;
    int api_version;
    int32_t correlation;
    char client[KAFKA_CLIENT_SIZE]; // cut to fit, characters that JSON or a rule can't hold replaced by '_'
    bool commits;                   // of EndTxn: commit, not abort
};

// False: the frame is too short for a request.
bool kafka_request_read(const struct kafka_frame *frame, struct kafka_request *request);
// -1: the frame is too short for a reply.
int64_t kafka_reply_correlation(const struct kafka_frame *frame);

// "Produce", "EndTxn", ...; "api-<key>" for one that is not in the table. The text lives in a static table or
// in buffer.
const char *kafka_api_name(int api_key, char buffer[16]);
// Whether a rule's name ("*", "EndTxn", "EndTxnCommit", "EndTxnAbort", "Produce", ...) means this request.
bool kafka_api_matches(const char *name, const struct kafka_request *request);
bool kafka_api_known(const char *name);

#endif
