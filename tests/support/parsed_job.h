// parsed_job.h: a job record read from a copy of its bytes. Include after cmocka.h.
#ifndef SKINSIGHT_TESTS_SUPPORT_PARSED_JOB_H
#define SKINSIGHT_TESTS_SUPPORT_PARSED_JOB_H

#include <stdlib.h>
#include <string.h>

#include "common/records/job.h"

struct parsed {
    uint8_t *image; // memory of record.image
    struct job_record record;
    struct error err;
    enum job_code code;
};

static inline void parse_bytes(struct parsed *parsed, size_t image_most, const void *data, size_t size)
{
    parsed->image = NULL;
    parsed->err.message[0] = '\0';
    // An exact copy on the heap, so that a sanitizer sees any step past its end.
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    parsed->code = job_record_parse((struct bytes){copy, size}, image_most, &parsed->image, &parsed->record,
                                    &parsed->err);
    free(copy);
}

#endif
