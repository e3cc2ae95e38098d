// answer.c: builds the JSON with cJSON. Floats are written with 9 significant digits, which a float survives.
#include "worker/stages/answer.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/version.h"

static double nine_digits(float value)
{
    char text[32];
    snprintf(text, sizeof text, "%.9g", (double)value);
    return strtod(text, NULL);
}

static void add_float(cJSON *object, const char *name, float value)
{
    cJSON_AddNumberToObject(object, name, nine_digits(value));
}

static void add_floats(cJSON *object, const char *name, const float *values, int count)
{
    cJSON *array = cJSON_AddArrayToObject(object, name);
    for (int i = 0; i < count; i++)
        cJSON_AddItemToArray(array, cJSON_CreateNumber(nine_digits(values[i])));
}

static void add_digest(cJSON *object, const char *name, const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];
    digest_text(digest, text);
    cJSON_AddStringToObject(object, name, text);
}

static void add_attention(const struct worker *worker, const struct job *job, cJSON *prediction)
{
    if (!*job->attention_key) {
        cJSON_AddNullToObject(prediction, "attention_map_url");
        cJSON_AddStringToObject(prediction, "attention_map_error", job->attention_error.message);
        return;
    }
    char uri[OBJECT_URI_SIZE];
    object_store_uri(worker->objects, job->attention_key, uri);
    cJSON_AddStringToObject(prediction, "attention_map_url", uri);
    add_digest(prediction, "attention_map_sha256", &job->attention_sha256);
}

static void add_prediction(const struct worker *worker, const struct job *job, cJSON *root)
{
    struct decision decision;
    policy_decide(&worker->policy, job->probabilities, &decision);
    cJSON *prediction = cJSON_AddObjectToObject(root, "prediction");
    cJSON_AddStringToObject(prediction, "primary_diagnosis", lesion_names[decision.primary]);
    add_float(prediction, "confidence", decision.confidence);
    cJSON *differential = cJSON_AddArrayToObject(prediction, "differential");
    for (int i = 0; i < LESION_CLASSES; i++) {
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "class", lesion_names[decision.order[i]]);
        add_float(entry, "probability", job->probabilities[decision.order[i]]);
        cJSON_AddItemToArray(differential, entry);
    }
    cJSON_AddNumberToObject(prediction, "risk_score", decision.risk_score);
    cJSON_AddStringToObject(prediction, "recommended_action", action_names[decision.action]);
    add_attention(worker, job, prediction);
}

static void add_model_info(const struct worker *worker, const struct job *job, cJSON *root)
{
    const struct manifest *manifest = &worker->engine.model->manifest;
    cJSON *info = cJSON_AddObjectToObject(root, "model_info");
    cJSON_AddStringToObject(info, "model_version", manifest->model_version);
    cJSON_AddBoolToObject(info, "trained", manifest->trained);
    cJSON_AddNumberToObject(info, "inference_time_ms", (double)((job->inference_us + 500) / 1000));
    cJSON_AddNumberToObject(info, "preprocessing_time_ms", (double)((job->preprocessing_us + 500) / 1000));
}

static void add_regulatory(const struct worker *worker, cJSON *root)
{
    cJSON *regulatory = cJSON_AddObjectToObject(root, "regulatory");
    char disclaimer[POLICY_TEXT_SIZE + 64];
    snprintf(disclaimer, sizeof disclaimer, "%s%s",
             worker->engine.model->manifest.trained ? "" : "Untrained model: the diagnoses mean nothing. ",
             worker->policy.disclaimer);
    cJSON_AddStringToObject(regulatory, "disclaimer", disclaimer);
    cJSON_AddStringToObject(regulatory, "fda_clearance", worker->policy.fda_clearance);
}

static void add_source(const struct worker *worker, const struct job *job, cJSON *provenance)
{
    cJSON *source = cJSON_AddObjectToObject(provenance, "source");
    const char *option = job->topic == TOPIC_URGENT ? "urgent_jobs_topic" : "jobs_topic";
    cJSON_AddStringToObject(source, "topic", config_text(worker->config, option));
    cJSON_AddNumberToObject(source, "partition", job->partition);
    cJSON_AddNumberToObject(source, "offset", (double)job->offset);
}

static void add_features(const struct features *features, cJSON *provenance)
{
    cJSON *object = cJSON_AddObjectToObject(provenance, "features");
    add_float(object, "brightness", features->brightness);
    add_float(object, "contrast", features->contrast);
    add_float(object, "sharpness", features->sharpness);
    add_float(object, "entropy_nats", features->entropy_nats);
    add_floats(object, "histogram_r", features->histogram_r, 16);
    add_floats(object, "histogram_g", features->histogram_g, 16);
    add_floats(object, "histogram_b", features->histogram_b, 16);
}

// Everything that decided the numbers of a prediction.
static void add_computation(const struct worker *worker, const struct job *job, cJSON *provenance)
{
    const struct engine *engine = &worker->engine;
    cJSON_AddStringToObject(provenance, "model_sha256", engine->model_sha256);
    cJSON_AddStringToObject(provenance, "preprocessing", engine->model->manifest.preprocessing.version);
    cJSON *policy = cJSON_AddObjectToObject(provenance, "policy");
    cJSON_AddStringToObject(policy, "version", worker->policy.version);
    add_digest(policy, "sha256", &worker->policy.sha256);
    add_float(provenance, "temperature", engine->model->manifest.temperature);
    add_floats(provenance, "logits", job->logits, LESION_CLASSES);
    add_features(&job->features, provenance);
    if (!job->cache_hit) {
        cJSON *batch = cJSON_AddObjectToObject(provenance, "batch");
        cJSON_AddStringToObject(batch, "id", job->batch_id);
        cJSON_AddNumberToObject(batch, "size", job->batch_size);
        cJSON_AddStringToObject(batch, "reason", batch_reason_names[job->batch_reason]);
    }
}

static void add_timestamps(const struct job *job, cJSON *provenance)
{
    static const char *const names[MOMENT_COUNT] = {"consumed", "fetched",       "decoded",  "batched",
                                                    "inferred", "postprocessed", "published"};
    cJSON *timestamps = cJSON_AddObjectToObject(provenance, "timestamps");
    if (job->record.submitted_at >= 0)
        cJSON_AddNumberToObject(timestamps, "submitted", (double)job->record.submitted_at);
    for (int i = 0; i < MOMENT_COUNT; i++)
        if (job->moments[i] > 0)
            cJSON_AddNumberToObject(timestamps, names[i], (double)job->moments[i]);
}

static void add_provenance(const struct worker *worker, const struct job *job, cJSON *root)
{
    cJSON *provenance = cJSON_AddObjectToObject(root, "provenance");
    add_source(worker, job, provenance);
    if (job->has_image_sha256)
        add_digest(provenance, "image_sha256", &job->image_sha256);
    if (job->code == JOB_OK)
        add_computation(worker, job, provenance);
    cJSON_AddStringToObject(provenance, "backend", worker->engine.backend->name);
    cJSON_AddStringToObject(provenance, "device", worker->engine.backend->device);
    cJSON_AddStringToObject(provenance, "precision", precision_names[worker->engine.plan->precision]);
    cJSON_AddStringToObject(provenance, "build", skinsight_build);
    cJSON_AddStringToObject(provenance, "worker", worker->instance);
    cJSON_AddNumberToObject(provenance, "attempt", job->attempt);
    if (job->replayed)
        cJSON_AddTrueToObject(provenance, "replayed");
    cJSON_AddBoolToObject(provenance, "cache_hit", job->cache_hit);
    add_timestamps(job, provenance);
}

static cJSON *build(const struct worker *worker, const struct job *job)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "schema", "skinsight.prediction.v1");
    if (*job->record.request_id)
        cJSON_AddStringToObject(root, "request_id", job->record.request_id);
    else
        cJSON_AddNullToObject(root, "request_id");
    if (job->code == JOB_OK) {
        add_prediction(worker, job, root);
        add_model_info(worker, job, root);
    } else {
        cJSON *error = cJSON_AddObjectToObject(root, "error");
        cJSON_AddStringToObject(error, "code", job_code_name(job->code));
        cJSON_AddStringToObject(error, "message", job->error.message);
    }
    add_regulatory(worker, root);
    add_provenance(worker, job, root);
    return root;
}

enum status answer_write(const struct worker *worker, struct job *job, struct error *err)
{
    cJSON *root = build(worker, job);
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    if (!text)
        return error_set(err, STATUS_FATAL, "no memory for an answer");
    buffer_clear(&job->answer);
    enum status status = buffer_append(&job->answer, text, strlen(text), err);
    cJSON_free(text);
    return status;
}
