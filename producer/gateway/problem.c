// problem.c: the table of problems.
#include "producer/gateway/problem.h"

#include <string.h>

static const struct {
    const char *code;
    unsigned status;
    bool final; // docs/FORMATS.md: "another try: never"
} problems[PROBLEM_COUNT] = {
    [PROBLEM_NONE] = {"none", 200, true},
    [PROBLEM_INVALID_JSON] = {"invalid_json", 400, true},
    [PROBLEM_UNAUTHORIZED] = {"unauthorized", 401, false},
    [PROBLEM_FORBIDDEN] = {"forbidden", 403, false},
    [PROBLEM_NOT_FOUND] = {"not_found", 404, false},
    [PROBLEM_METHOD] = {"method", 405, false},
    [PROBLEM_CONFLICT] = {"conflict", 409, false},
    [PROBLEM_BODY_TOO_LARGE] = {"body_too_large", 413, true},
    [PROBLEM_IMAGE_TOO_LARGE] = {"image_too_large", 413, false},
    [PROBLEM_UNSUPPORTED_MEDIA_TYPE] = {"unsupported_media_type", 415, true},
    [PROBLEM_INVALID_FIELD] = {"invalid_field", 422, true},
    [PROBLEM_IMAGE_UNDECODABLE] = {"image_undecodable", 422, true},
    [PROBLEM_UNKNOWN_MODEL] = {"unknown_model", 422, false},
    [PROBLEM_UNSUPPORTED_SCHEMA] = {"unsupported_schema", 422, true},
    [PROBLEM_RATE_LIMITED] = {"rate_limited", 429, false},
    [PROBLEM_INTERNAL] = {"internal", 500, false},
    [PROBLEM_WORKER_KILLED] = {"worker_killed", 500, false},
    [PROBLEM_IMAGE_DIGEST_MISMATCH] = {"image_digest_mismatch", 500, false},
    [PROBLEM_RECORD_UNREADABLE] = {"record_unreadable", 500, true},
    [PROBLEM_OVERLOADED] = {"overloaded", 503, false},
    [PROBLEM_IMAGE_UNAVAILABLE] = {"image_unavailable", 503, false},
    [PROBLEM_UNAVAILABLE] = {"unavailable", 503, false},
    [PROBLEM_DEADLINE_EXCEEDED] = {"deadline_exceeded", 504, false},
    [PROBLEM_TIMEOUT] = {"timeout", 504, false},
};

const char *problem_code(enum problem problem)
{
    return problems[problem].code;
}

unsigned problem_status(enum problem problem)
{
    return problems[problem].status;
}

bool problem_is_final(enum problem problem)
{
    return problems[problem].final;
}

enum problem problem_of_code(const char *code)
{
    for (enum problem problem = PROBLEM_NONE + 1; problem < PROBLEM_COUNT; problem++)
        if (strcmp(problems[problem].code, code) == 0)
            return problem;
    return PROBLEM_INTERNAL;
}
