// answer.c: fills the terminal record from the job, the model that answered it and the policy. The record
// borrows their texts until it is written.
#include "worker/answer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/version.h"
#include "common/records/prediction.h"

// What a record needs and nothing else holds as text.
struct texts {
    char map_uri[OBJECT_URI_SIZE];
    char disclaimer[POLICY_TEXT_SIZE + 64];
};

static void fill_reasons(const bool *given, const char *const *names, int count,
                         struct prediction_reasons *reasons)
{
    reasons->count = 0;
    for (int i = 0; i < count; i++)
        if (given[i])
            reasons->names[reasons->count++] = names[i];
}

static void fill_decision(const struct decision *decision, struct prediction_result *result)
{
    result->primary_diagnosis = lesion_names[decision->primary];
    result->confidence = decision->confidence;
    result->risk_score = decision->risk_score;
    result->recommended_action = action_names[decision->action];
    result->abstained = decision->abstained;
    fill_reasons(decision->abstains, abstain_reason_names, ABSTAIN_REASON_COUNT, &result->abstain_reasons);
    if (decision->review_within_h > 0) {
        result->review.within_h = decision->review_within_h;
        fill_reasons(decision->review, review_reason_names, REVIEW_REASON_COUNT, &result->review.reasons);
    }
}

static void fill_result(const struct worker *worker, const struct job *job, struct texts *texts,
                        struct prediction_result *result)
{
    fill_decision(&job->decision, result);
    for (int i = 0; i < LESION_CLASSES; i++) {
        enum lesion_class lesion = job->decision.order[i];
        result->differential[i].class = lesion_names[lesion];
        result->differential[i].probability = job->probabilities[lesion];
    }
    if (*job->attention_key) {
        object_store_uri(worker->objects, job->attention_key, texts->map_uri);
        result->attention_map_url = texts->map_uri;
        digest_text(&job->attention_sha256, result->attention_map_sha256);
    } else {
        result->attention_map_error = job->attention_error.message;
    }
}

static void fill_model(const struct job *job, struct prediction *record)
{
    const struct manifest *manifest = &job->served->engine.model->manifest;
    record->model_info.model_version = manifest->model_version;
    record->model_info.trained = manifest->trained;
    record->model_info.inference_time_ms = (job->inference_us + 500) / 1000;
    record->model_info.preprocessing_time_ms = (job->preprocessing_us + 500) / 1000;
}

static const char *text_or_null(const char *text)
{
    return *text ? text : NULL;
}

// What readers compare groups of answers by. The exact age never leaves the job.
static void fill_context(const struct job_record *job, struct prediction_context *context)
{
    const struct job_metadata *metadata = &job->metadata;
    context->site = text_or_null(job->site);
    context->subject = text_or_null(job->subject);
    context->capture_device = text_or_null(metadata->capture_device);
    context->dermatoscope_attached = metadata->dermatoscope_attached;
    context->fitzpatrick_type = metadata->fitzpatrick_type;
    context->lesion_location = text_or_null(metadata->lesion_location);
    if (metadata->patient_age >= 0)
        context->age_decade = metadata->patient_age < 90 ? metadata->patient_age / 10 * 10 : 90;
}

static void fill_regulatory(const struct worker *worker, const struct job *job, struct texts *texts,
                            struct prediction *record)
{
    snprintf(texts->disclaimer, sizeof texts->disclaimer, "%s%s",
             job->served->engine.model->manifest.trained ? ""
                                                         : "Untrained model: the diagnoses mean nothing. ",
             worker->policy.disclaimer);
    record->regulatory.disclaimer = texts->disclaimer;
    record->regulatory.fda_clearance = worker->policy.fda_clearance;
}

// Everything that decided the numbers of a prediction.
static void fill_computation(const struct worker *worker, const struct job *job,
                             struct prediction_provenance *provenance)
{
    const struct engine *engine = &job->served->engine;
    memcpy(provenance->model_sha256, engine->model_sha256, sizeof provenance->model_sha256);
    provenance->preprocessing = engine->model->manifest.preprocessing.version;
    provenance->policy.version = worker->policy.version;
    digest_text(&worker->policy.sha256, provenance->policy.sha256);
    provenance->temperature = engine->model->manifest.temperature;
    memcpy(provenance->logits, job->logits, sizeof job->logits);
    provenance->ood = job->ood;
    provenance->features = job->features;
    if (!job->cache_hit) {
        provenance->batch.id = job->batch_id;
        provenance->batch.size = job->batch_size;
        provenance->batch.reason = batch_reason_names[job->batch_reason];
    }
}

static void fill_provenance(const struct worker *worker, const struct job *job,
                            struct prediction_provenance *provenance)
{
    const struct engine *engine = &job->served->engine;
    provenance->source.topic = job_topic_name(worker, job->topic);
    provenance->source.partition = job->partition;
    provenance->source.offset = job->offset;
    if (job->has_image_sha256) {
        digest_text(&job->image_sha256, provenance->image_sha256);
        provenance->image_bytes = job->image_file_bytes;
    }
    if (job->code == JOB_OK)
        fill_computation(worker, job, provenance);
    else if (job->model_found)
        provenance->model_version = engine->model->manifest.model_version;
    provenance->backend = engine->backend->name;
    provenance->device = engine->backend->device;
    provenance->precision = precision_names[engine->plan->precision];
    provenance->build = skinsight_build;
    provenance->worker = worker->instance;
    provenance->attempt = job->attempt;
    provenance->replayed = job->replayed ? 1 : -1;
    provenance->cache_hit = job->cache_hit;
    provenance->submitted = job->record.submitted_at;
    for (int i = 0; i < MOMENT_COUNT; i++)
        provenance->moments[i] = job->moments[i] > 0 ? job->moments[i] : -1;
}

enum status answer_write(const struct worker *worker, struct job *job, struct error *err)
{
    struct prediction record;
    struct texts texts;
    prediction_init(&record);
    record.request_id = text_or_null(job->record.request_id);
    if (job->code == JOB_OK) {
        fill_result(worker, job, &texts, &record.result);
        fill_model(job, &record);
    } else {
        record.error.code = job_code_name(job->code);
        record.error.message = job->error.message;
    }
    fill_context(&job->record, &record.context);
    fill_regulatory(worker, job, &texts, &record);
    fill_provenance(worker, job, &record.provenance);
    buffer_clear(&job->answer);
    return prediction_write(&record, &job->answer, err);
}
