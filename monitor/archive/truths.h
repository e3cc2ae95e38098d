// truths.h: what the labels of each image say together, by the rules of docs/FORMATS.md (data set, "how
// labels become rows"): a label that is withdrawn, contradictory or of an unknown image counts nowhere, and
// of the others the verdict (common/records/verdict.h) speaks. One thread.
#ifndef SKINSIGHT_MONITOR_ARCHIVE_TRUTHS_H
#define SKINSIGHT_MONITOR_ARCHIVE_TRUTHS_H

#include "monitor/archive/archive_internal.h"

struct truth {
    uint8_t image[DIGEST_SIZE];
    int64_t reviewed_at;
    int8_t label, certainty, atypical; // as in struct analysis
    bool conflict;
};

struct truths {
    struct truth *rows; // by image
    size_t count;
};

// Of the feedback and the answers that monitor_known lets be known. Inside a transaction. REJECTED: more
// feedback than memory is meant for. truths_release takes it also then, and a zeroed one.
enum status truths_read(struct sql *sql, struct truths *truths, struct error *err) MUST_CHECK;
void truths_release(struct truths *truths);

const struct truth *truths_find(const struct truths *truths, const char *image_sha256); // or NULL

#endif
