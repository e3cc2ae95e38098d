// feedback.h: a diagnosis that was confirmed later ("skinsight.feedback.v1"), read and written.
// docs/FORMATS.md says what each field means.
//
// One table in feedback.c names every field once; reader and writer walk it and share the rules, so that
// what is written can be read. Sentences name a field and its rule, never a value. Any thread.
#ifndef SKINSIGHT_COMMON_RECORDS_FEEDBACK_H
#define SKINSIGHT_COMMON_RECORDS_FEEDBACK_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/records/job.h"
#include "common/records/lesion.h"

#define FEEDBACK_SCHEMA "skinsight.feedback.v1"

// Behind the eight classes: a diagnosis outside of them, and a picture that nobody can judge.
enum feedback_label { FEEDBACK_OTHER = LESION_CLASSES, FEEDBACK_UNGRADABLE, FEEDBACK_LABELS };
extern const char *const feedback_label_names[FEEDBACK_LABELS]; // "MEL"

// How the diagnosis was confirmed, the strongest first.
enum certainty {
    CERTAINTY_HISTOPATHOLOGY,
    CERTAINTY_CONFOCAL,
    CERTAINTY_CONSENSUS,
    CERTAINTY_FOLLOW_UP,
    CERTAINTY_CLINICIAN,
    CERTAINTY_COUNT
};
extern const char *const certainty_names[CERTAINTY_COUNT]; // "histopathology"

enum {
    FEEDBACK_NAME_MOST = 64, // characters of UTF-8
    FEEDBACK_NAME_SIZE = 4 * FEEDBACK_NAME_MOST + 1,
    FEEDBACK_CLOCK_TOLERANCE_MS = 5 * 60 * 1000, // by which a reviewer's clock may be ahead
};

// Optional texts are empty where absent. UUIDs are in lower case.
struct feedback {
    char feedback_id[JOB_REQUEST_ID_SIZE];
    char request_id[JOB_REQUEST_ID_SIZE]; // this, or image_sha256, or both
    char image_sha256[DIGEST_TEXT_SIZE];
    int label;                            // enum lesion_class or enum feedback_label
    int certainty;                        // enum certainty
    char reviewed_by[FEEDBACK_NAME_SIZE]; // pseudonym
    int64_t reviewed_at;                  // Unix ms
    char lesion_id[FEEDBACK_NAME_SIZE];
    char subject[DIGEST_TEXT_SIZE];
    int atypical;                         // 0, 1; -1: absent
    char supersedes[JOB_REQUEST_ID_SIZE]; // feedback_id of the one that it withdraws
};

void feedback_init(struct feedback *feedback); // everything absent, label and certainty -1

// received_at: when it arrived (Unix ms); one that was reviewed later than that, by more than the tolerance,
// is refused. REJECTED names the field and its rule; FATAL: no memory.
enum status feedback_parse(struct bytes value, int64_t received_at, struct feedback *feedback,
                           struct error *err) MUST_CHECK;
// The same of an object that is parsed already.
enum status feedback_read(const cJSON *json, int64_t received_at, struct feedback *feedback,
                          struct error *err) MUST_CHECK;

// Appends the record. REJECTED: it is outside the rules, or over the buffer's limit.
enum status feedback_write(const struct feedback *feedback, struct buffer *out, struct error *err) MUST_CHECK;

bool feedback_has_field(const char *name); // "schema" too

// The key of its record in the topic: the request, or the image where no request is named. A part of it.
const char *feedback_key(const struct feedback *feedback);

#endif
