// records.h: simulated images as terminal records, "skinsight.prediction.v1", as a worker would have written
// them. Any thread.
#ifndef SKINSIGHT_MONITOR_SIMULATE_RECORDS_H
#define SKINSIGHT_MONITOR_SIMULATE_RECORDS_H

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "monitor/simulate/clinic.h"

// Terminal records of an image: 1, or 2 where it failed in a way that is worth another try, and then
// succeeded.
int records_count(const struct clinic_image *image);

// When the record with the image's answer was published, Unix ms. Not of one that can't be decoded.
int64_t records_answered_at(const struct clinic_image *image);

// Appends its record number `attempt`, from 0.
enum status records_write(uint64_t seed, const struct clinic_image *image, int attempt, struct buffer *out,
                          struct error *err) MUST_CHECK;

#endif
