// analysis.h: one terminal record as the monitor knows it, with the label that speaks for it. Every report is
// made of these and of nothing else.
//
// Texts are borrowed from the archive until the call that gave them returns. What is absent: texts are "",
// floats NaN, whole numbers -1.
#ifndef SKINSIGHT_MONITOR_ARCHIVE_ANALYSIS_H
#define SKINSIGHT_MONITOR_ARCHIVE_ANALYSIS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/digest.h"
#include "common/records/job.h"
#include "common/records/lesion.h"
#include "common/records/prediction.h"

// A site, device or other name that is outside of its rules, or not among the ANALYSIS_NAMES largest of its
// kind in what is read: a closed vocabulary, whatever is sent.
#define ANALYSIS_OTHER "other"
enum { ANALYSIS_NAMES = 50 };

// 2010 began: no answer is older. A clock that was never set says 1970, 1980 or 2000.
#define ANALYSIS_FIRST_MS INT64_C(1262304000000)
// 1990 began: no photograph is older, and no diagnosis of one.
#define ANALYSIS_REVIEW_FIRST_MS INT64_C(631152000000)

struct analysis {
    // The record's place in the predictions topic. Imported history has partition -1.
    int32_t partition;
    int64_t offset;
    char request_id[JOB_REQUEST_ID_SIZE];
    char image_sha256[DIGEST_TEXT_SIZE];
    int64_t at; // when it was published, Unix ms: reports count by it, and by days of UTC

    const char *site, *subject, *capture_device, *lesion_location;
    int dermatoscope_attached;
    int64_t fitzpatrick_type, age_decade;

    const char *model_version, *precision, *device;
    const char *error_code; // "": it is a prediction, and what follows is there
    int class;              // enum lesion_class of the answer
    // Softmax of logits / temperature, in the order of enum lesion_class.
    float probabilities[LESION_CLASSES];
    float confidence, entropy_nats;
    int action; // enum lesion_action
    bool abstained;
    struct features features;
    struct ood_values ood;
    int64_t image_bytes; // of the file as it came
    bool cache_hit, replayed;
    bool replaced; // a later record of the same request is the final one
    int64_t submitted;
    int64_t moments[MOMENT_COUNT];

    // What its labels say together, as far as the report may know them. -1: none.
    struct {
        int label;     // enum lesion_class or enum feedback_label
        int certainty; // enum certainty
        int64_t reviewed_at;
        int atypical;
        bool conflict; // labels that tie differ: label is -1
    } truth;
};

void analysis_init(struct analysis *analysis); // everything absent

// The record without its place, its label and what depends on other records; its texts stay the prediction's.
// received_at: the topic's time stamp, Unix ms, -1: none. REJECTED: its numbers or its times contradict each
// other, or its names are none of their list; the sentence quotes no value.
enum status analysis_read(const struct prediction *prediction, int64_t received_at, struct analysis *analysis,
                          struct error *err) MUST_CHECK;

#endif
