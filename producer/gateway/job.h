// job.h: the job record of a visit. No state; whoever holds the visit.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_JOB_H
#define SKINSIGHT_PRODUCER_GATEWAY_JOB_H

#include <stdbool.h>

#include "common/services/object_store.h"
#include "producer/gateway/visit.h"

void job_image_key(const struct digest *image, char key[OBJECT_KEY_SIZE]);

// Writes the record of visit's analysis, with its image inside or, where that is stored, by its URI. The
// patient's reference becomes a subject and is wiped. REJECTED: a field is outside the rules.
enum status job_write(struct visit *visit, bool stored, struct error *err) MUST_CHECK;

#endif
