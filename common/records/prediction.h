// prediction.h: the terminal record ("skinsight.prediction.v1"), a prediction or an error, written and read.
// docs/FORMATS.md says what each field means.
//
// One table in prediction.c names every field once, with its place in the struct; writer and reader both walk
// it. Texts are borrowed: by the writer from the caller, who fills the struct, by the reader from the
// document that the struct keeps until prediction_release. What is absent: texts are NULL or empty, floats
// NaN, whole numbers and truths -1. Any thread.
#ifndef SKINSIGHT_COMMON_RECORDS_PREDICTION_H
#define SKINSIGHT_COMMON_RECORDS_PREDICTION_H

#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/records/lesion.h"

// The stages that a job passes, each with the time at which it was done with it.
enum job_moment {
    MOMENT_CONSUMED,
    MOMENT_FETCHED,
    MOMENT_DECODED,
    MOMENT_BATCHED,
    MOMENT_INFERRED,
    MOMENT_POSTPROCESSED,
    MOMENT_PUBLISHED,
    MOMENT_COUNT
};

enum { FEATURES_BINS = 16 };

// Of the network's view of the image. luma = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), divided by 255.
struct features {
    float brightness; // mean of luma
    float contrast;   // standard deviation of luma over all pixels
    // Variance of up + down + left + right - 4 * middle of luma, over the pixels that have all four
    // neighbours; 0 where there are none. Blurred images have little.
    float sharpness;
    float entropy_nats; // of the answer's probabilities, -sum p ln p: not the image's, filled with the answer
    // Share of the pixels with channel value 16 * bin .. 16 * bin + 15; each sums to 1.
    float histogram_r[FEATURES_BINS];
    float histogram_g[FEATURES_BINS];
    float histogram_b[FEATURES_BINS];
};

// How far an answer lies from what its model has learnt (kernels/model/ood.h). Floats, as the cache holds
// them: a policy decides by the same numbers, computed or cached.
struct ood_values {
    float energy;   // -log sum exp of the logits: the higher, the less the model knows the image
    float distance; // Mahalanobis distance of the embedding to the nearest class mean
    float quantile; // where the distance lies among those of the validation part, 0 to 1
};

// Names of a closed list, in its order; docs/FORMATS.md has the lists.
enum { REASONS_MOST = 3 };
struct prediction_reasons {
    int count; // -1: absent
    const char *names[REASONS_MOST];
};

struct prediction_result {
    const char *primary_diagnosis;
    float confidence;
    struct {
        const char *class; // of the first one NULL: no differential
        float probability;
    } differential[LESION_CLASSES]; // most probable first
    int64_t risk_score;
    const char *recommended_action;
    int abstained;
    struct prediction_reasons abstain_reasons;
    struct {
        int64_t within_h; // absent: nobody is asked to look
        struct prediction_reasons reasons;
    } review;
    const char *attention_map_url;
    char attention_map_sha256[DIGEST_TEXT_SIZE];
    const char *attention_map_error;
};

struct prediction_context {
    const char *site;
    const char *subject;
    const char *capture_device;
    int dermatoscope_attached;
    int64_t fitzpatrick_type;
    const char *lesion_location;
    int64_t age_decade; // 0, 10 ... 90
};

struct prediction_provenance {
    struct {
        const char *topic;
        int64_t partition, offset;
    } source;
    char image_sha256[DIGEST_TEXT_SIZE];
    int64_t image_bytes;       // of the file as it came
    const char *model_version; // of an error; a prediction's is in model_info
    char model_sha256[DIGEST_TEXT_SIZE];
    const char *preprocessing;
    struct {
        const char *version;
        char sha256[DIGEST_TEXT_SIZE];
    } policy;
    float temperature;
    float logits[LESION_CLASSES];
    struct ood_values ood;
    struct features features;
    struct {
        const char *id;
        int64_t size;
        const char *reason;
    } batch;
    const char *backend, *device, *precision, *build, *worker;
    int64_t attempt;
    int replayed, cache_hit;
    int64_t submitted; // Unix ms, as the moments
    int64_t moments[MOMENT_COUNT];
};

struct prediction {
    const char *request_id; // lower case
    struct prediction_result result;
    struct {
        const char *model_version;
        int trained;
        int64_t inference_time_ms, preprocessing_time_ms;
    } model_info;
    struct {
        const char *code; // NULL: it is a prediction
        const char *message;
    } error;
    struct prediction_context context;
    struct {
        const char *disclaimer, *fda_clearance;
    } regulatory;
    struct prediction_provenance provenance;

    struct cJSON *document; // what was read; NULL where the struct is to be written
};

void prediction_init(struct prediction *prediction); // everything absent

// Appends the record. REJECTED: it is over the buffer's limit; FATAL: no memory.
enum status prediction_write(const struct prediction *prediction, struct buffer *out,
                             struct error *err) MUST_CHECK;

// REJECTED: it is no terminal record, and the sentence names the field. Anyone may write to the topic, so
// every known field is checked; texts may hold any character. Unless OK there is nothing to release.
enum status prediction_parse(struct bytes value, struct prediction *prediction, struct error *err) MUST_CHECK;
void prediction_release(struct prediction *prediction);

#endif
