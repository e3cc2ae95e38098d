// labels.h: the diagnoses that come back to the simulated clinic, late and not for everybody.
//
// An image is labelled with one probability if the answer referred the patient, with another one if it said
// "monitor": verification bias. Cancers are known after 1.5 weeks on the average, the rest after 6. A few
// labels are corrected by a later one, come twice, come before their answer, or name a request that nobody
// made. They wait in a heap by the time at which they come. One thread.
#ifndef SKINSIGHT_MONITOR_SIMULATE_LABELS_H
#define SKINSIGHT_MONITOR_SIMULATE_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/records/feedback.h"
#include "monitor/simulate/clinic.h"

enum label_kind {
    LABEL_FINAL,
    LABEL_MISTAKEN, // of an image whose final one supersedes it
    LABEL_STRAY,    // of a request that is not there
};

struct label {
    int64_t at; // Unix ms: when the record comes
    int64_t reviewed_at;
    uint64_t image;
    int16_t label, certainty; // as in struct feedback
    uint8_t kind;             // enum label_kind
    bool early;               // it names the image alone, and comes before the answer
    bool corrects;            // it supersedes the image's mistaken one
};

enum { LABELS_WAITING_MOST = 1 << 22 };

struct labels {
    uint64_t seed;
    double referred, monitored; // probabilities of a label
    struct label *waiting;      // a heap, the earliest first
    size_t count, capacity;
};

void labels_init(struct labels *labels, uint64_t seed, double referred, double monitored);
void labels_release(struct labels *labels);

// Adds what will come for an image that was answered at answered_at. *labelled_at: when its final label
// comes; -1: never. FATAL: more wait than may.
enum status labels_add(struct labels *labels, const struct clinic_image *image, int64_t answered_at,
                       int64_t *labelled_at, struct error *err) MUST_CHECK;
// Takes the earliest that comes up to `until`; false: none does.
bool labels_take(struct labels *labels, int64_t until, struct label *label);

void labels_record(const struct labels *labels, const struct label *label, struct feedback *feedback);

#endif
