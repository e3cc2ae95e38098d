// names.h: the ids of simulated things, functions of the seed and a thing's number. Any thread.
#ifndef SKINSIGHT_MONITOR_SIMULATE_NAMES_H
#define SKINSIGHT_MONITOR_SIMULATE_NAMES_H

#include <stdint.h>

#include "common/base/digest.h"
#include "common/records/job.h"

enum names_kind {
    NAMES_REQUEST,
    NAMES_IMAGE,
    NAMES_SUBJECT,
    NAMES_BATCH,
    NAMES_FEEDBACK,
    NAMES_CORRECTION,
    NAMES_STRAY
};

// A UUID of version 4.
void names_uuid(uint64_t seed, enum names_kind kind, uint64_t number, char text[JOB_REQUEST_ID_SIZE]);
// 64 hexadecimal digits, as a digest's.
void names_digest(uint64_t seed, enum names_kind kind, uint64_t number, char text[DIGEST_TEXT_SIZE]);

#endif
