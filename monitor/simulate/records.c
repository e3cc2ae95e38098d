// records.c: fills the record from the image. What the simulation has no opinion of is the same in each.
#include "monitor/simulate/records.h"

#include <stdio.h>
#include <string.h>

#include "common/records/prediction.h"
#include "monitor/simulate/names.h"

enum { PARTITIONS = 8, WORKERS = 4, RETRY_MS = 30 * 1000, REVIEW_WITHIN_H = 48 };

static const float review_below = 0.6f;

// Of the texts "simulated model" and "simulated policy", by sha256sum.
#define MODEL_SHA256  "0f6507ef9bf5098b1ac5da4bb86b587f0db1103a05751637fa80ee1e9a0c2006"
#define POLICY_SHA256 "c4dd4d63058d797c34912382663562d269573515786925af6647147432d56bf2"

// What a record needs and nothing else holds as text.
struct texts {
    char request_id[JOB_REQUEST_ID_SIZE], batch[JOB_REQUEST_ID_SIZE], subject[DIGEST_TEXT_SIZE];
    char worker[16];
};

int records_count(const struct clinic_image *image)
{
    return image->failure == CLINIC_EXPIRED || image->failure == CLINIC_UNAVAILABLE ? 2 : 1;
}

// When job record number `attempt` came.
static int64_t submitted_at(const struct clinic_image *image, int attempt)
{
    return image->submitted + (int64_t)attempt * RETRY_MS;
}

int64_t records_answered_at(const struct clinic_image *image)
{
    int64_t at = submitted_at(image, records_count(image) - 1);
    for (int i = 0; i < MOMENT_COUNT; i++)
        at += image->took_ms[i];
    return at;
}

static void fill_reasons(bool first, const char *first_name, bool second, const char *second_name,
                         struct prediction_reasons *reasons)
{
    reasons->count = 0;
    if (first)
        reasons->names[reasons->count++] = first_name;
    if (second)
        reasons->names[reasons->count++] = second_name;
}

static void fill_result(const struct reading *reading, struct prediction_result *result)
{
    float confidence = reading->probabilities[reading->order[0]];
    result->primary_diagnosis = lesion_names[reading->order[0]];
    result->confidence = confidence;
    for (int i = 0; i < LESION_CLASSES; i++) {
        result->differential[i].class = lesion_names[reading->order[i]];
        result->differential[i].probability = reading->probabilities[reading->order[i]];
    }
    result->risk_score = (int64_t)(100 * (double)reading->malignant + 0.5);
    if (result->risk_score > 100) // three roundings to floats may add up to more than 1
        result->risk_score = 100;
    result->recommended_action = action_names[reading->action];
    result->abstained = reading->low_confidence || reading->far;
    fill_reasons(reading->low_confidence, "low_confidence", reading->far, "out_of_distribution",
                 &result->abstain_reasons);
    if (confidence < review_below || result->abstained) {
        result->review.within_h = REVIEW_WITHIN_H;
        fill_reasons(confidence < review_below, "low_confidence", result->abstained, "abstained",
                     &result->review.reasons);
    }
    result->attention_map_error = "a simulated answer has no map";
}

static void fill_prediction(uint64_t seed, const struct clinic_image *image, struct texts *texts,
                            struct prediction *record)
{
    struct prediction_provenance *provenance = &record->provenance;
    fill_result(&image->reading, &record->result);
    record->model_info.model_version = "simulated-v1.0.0";
    record->model_info.trained = 1;
    record->model_info.inference_time_ms = image->took_ms[MOMENT_INFERRED];
    record->model_info.preprocessing_time_ms = image->took_ms[MOMENT_DECODED];
    memcpy(provenance->model_sha256, MODEL_SHA256, DIGEST_TEXT_SIZE);
    provenance->preprocessing = "v1";
    provenance->policy.version = "simulated-1.0.0";
    memcpy(provenance->policy.sha256, POLICY_SHA256, DIGEST_TEXT_SIZE);
    provenance->temperature = 1;
    memcpy(provenance->logits, image->reading.logits, sizeof provenance->logits);
    provenance->ood = image->reading.ood;
    provenance->features = image->features;
    names_uuid(seed, NAMES_BATCH, image->number, texts->batch);
    provenance->batch.id = texts->batch;
    provenance->batch.size = 1;
    provenance->batch.reason = "idle";
}

static void fill_context(uint64_t seed, const struct clinic_image *image, struct texts *texts,
                         struct prediction_context *context)
{
    names_digest(seed, NAMES_SUBJECT, image->visit, texts->subject);
    context->site = clinic_sites[image->site];
    context->subject = texts->subject;
    context->capture_device = image->device;
    context->dermatoscope_attached = image->dermatoscope;
    context->fitzpatrick_type = image->skin_type;
    context->lesion_location = image->place;
    context->age_decade = image->age_decade;
}

// A failed job passes none of the stages behind the one that failed it.
static void fill_moments(const struct clinic_image *image, int attempt, enum clinic_failure failure,
                         struct prediction_provenance *provenance)
{
    static const int last_stage[] = {[CLINIC_FAILS_NOT] = MOMENT_INFERRED,
                                     [CLINIC_UNDECODABLE] = MOMENT_FETCHED,
                                     [CLINIC_EXPIRED] = MOMENT_DECODED,
                                     [CLINIC_UNAVAILABLE] = MOMENT_CONSUMED};
    int64_t at = provenance->submitted = submitted_at(image, attempt);
    for (int i = 0; i < MOMENT_COUNT; i++) {
        if (i > last_stage[failure] && i < MOMENT_POSTPROCESSED)
            continue;
        at += image->took_ms[i];
        provenance->moments[i] = at;
    }
}

static void fill_provenance(uint64_t seed, const struct clinic_image *image, int attempt,
                            enum clinic_failure failure, struct texts *texts,
                            struct prediction_provenance *provenance)
{
    provenance->source.topic = "skinsight.jobs";
    provenance->source.partition = (int64_t)(image->number % PARTITIONS);
    // Every second one is for those that are sent again.
    provenance->source.offset = (int64_t)(image->number / PARTITIONS * 2) + attempt;
    if (failure != CLINIC_UNAVAILABLE) {
        names_digest(seed, NAMES_IMAGE, image->number, provenance->image_sha256);
        provenance->image_bytes = image->bytes;
    }
    provenance->backend = provenance->device = "simulated";
    provenance->precision = "fp32";
    provenance->build = "simulated"; // not this program's: equal seeds give equal bytes
    snprintf(texts->worker, sizeof texts->worker, "worker-%d", (int)(image->number % WORKERS) + 1);
    provenance->worker = texts->worker;
    provenance->attempt = 1;
    provenance->cache_hit = 0;
    fill_moments(image, attempt, failure, provenance);
}

static void fill_error(enum clinic_failure failure, struct prediction *record)
{
    static const char *const codes[] = {[CLINIC_UNDECODABLE] = "image_undecodable",
                                        [CLINIC_EXPIRED] = "deadline_exceeded",
                                        [CLINIC_UNAVAILABLE] = "image_unavailable"};
    record->error.code = codes[failure];
    record->error.message = "a simulated failure";
}

enum status records_write(uint64_t seed, const struct clinic_image *image, int attempt, struct buffer *out,
                          struct error *err)
{
    enum clinic_failure failure = attempt == 0 ? image->failure : CLINIC_FAILS_NOT;
    struct prediction record;
    struct texts texts;
    prediction_init(&record);
    names_uuid(seed, NAMES_REQUEST, image->number, texts.request_id);
    record.request_id = texts.request_id;
    if (failure == CLINIC_FAILS_NOT)
        fill_prediction(seed, image, &texts, &record);
    else
        fill_error(failure, &record);
    fill_context(seed, image, &texts, &record.context);
    record.regulatory.disclaimer = "Simulated: no patient stands behind this record.";
    record.regulatory.fda_clearance = "none";
    fill_provenance(seed, image, attempt, failure, &texts, &record.provenance);
    return prediction_write(&record, out, err);
}
