// problem.h: everything that can be wrong with a request to the gateway, as one table: the code that clients
// read, the HTTP status, whether the same request may fare better another time. A problem is answered as an
// application/problem+json document (RFC 9457) with "type", "title", "status", "detail" and "code". Any
// thread.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_PROBLEM_H
#define SKINSIGHT_PRODUCER_GATEWAY_PROBLEM_H

#include <stdbool.h>

enum problem {
    PROBLEM_NONE,
    PROBLEM_INVALID_JSON,
    PROBLEM_UNAUTHORIZED,
    PROBLEM_FORBIDDEN,
    PROBLEM_NOT_FOUND,
    PROBLEM_METHOD,
    PROBLEM_CONFLICT,
    PROBLEM_BODY_TOO_LARGE,
    PROBLEM_IMAGE_TOO_LARGE,
    PROBLEM_UNSUPPORTED_MEDIA_TYPE,
    PROBLEM_INVALID_FIELD,
    PROBLEM_IMAGE_UNDECODABLE,
    PROBLEM_UNKNOWN_MODEL,
    PROBLEM_UNSUPPORTED_SCHEMA,
    PROBLEM_RATE_LIMITED,
    PROBLEM_INTERNAL,
    PROBLEM_WORKER_KILLED,
    PROBLEM_IMAGE_DIGEST_MISMATCH,
    PROBLEM_RECORD_UNREADABLE,
    PROBLEM_OVERLOADED,
    PROBLEM_IMAGE_UNAVAILABLE,
    PROBLEM_UNAVAILABLE, // the store of requests, the object store or Kafka is away
    PROBLEM_DEADLINE_EXCEEDED,
    PROBLEM_TIMEOUT,
    PROBLEM_COUNT
};

const char *problem_code(enum problem problem); // "invalid_json"
unsigned problem_status(enum problem problem);  // 400
// True: another try of the same request can only fail in the same way, so the answer is kept for good.
bool problem_is_final(enum problem problem);
// The problem with this code, as the "error" of a terminal record has it; PROBLEM_INTERNAL for every other
// text.
enum problem problem_of_code(const char *code);

#endif
