// content.h: what a request is, apart from its id. Two POSTs of one id are the same request where image,
// metadata, model and priority are the same; a patient is known by a keyed hash alone. No state, any thread.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_CONTENT_H
#define SKINSIGHT_PRODUCER_GATEWAY_CONTENT_H

#include <stdbool.h>

#include "common/base/digest.h"
#include "common/records/job.h"

// SHA-256 of the canonical JSON (RFC 8785) of {image_sha256, metadata, model_version, priority}. What was not
// given is left out, but for metadata, which is then {}.
struct digest content_digest(const struct digest *image, const struct job_metadata *metadata,
                             const char *model_version, bool urgent);

// HMAC-SHA-256 of site ‖ 0 ‖ patient_ref under key: the same patient of one site has the same subject, and
// nobody without the key finds out who that is.
void content_subject(struct bytes key, const char *site, const char *patient_ref,
                     char subject[JOB_SUBJECT_SIZE]);

#endif
