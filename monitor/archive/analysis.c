// analysis.c: a terminal record as reports count it. Anyone may write to the topic, so what the record's own
// limits leave open is checked here: names of closed lists, tokens, and numbers that contradict each other.
#include "monitor/archive/analysis.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "common/base/text.h"

static const double sum_tolerance = 0.01;        // of shares printed with nine digits
static const double confidence_tolerance = 0.01; // against the softmax of the logits

enum { CLOCK_TOLERANCE_MS = 5 * 60 * 1000 };

void analysis_init(struct analysis *analysis)
{
    *analysis = (struct analysis){
        .partition = -1,
        .offset = -1,
        .at = -1,
        .site = "",
        .subject = "",
        .capture_device = "",
        .lesion_location = "",
        .dermatoscope_attached = -1,
        .fitzpatrick_type = -1,
        .age_decade = -1,
        .model_version = "",
        .precision = "",
        .device = "",
        .error_code = "",
        .class = -1,
        .confidence = NAN,
        .entropy_nats = NAN,
        .action = -1,
        .features = {.brightness = NAN, .contrast = NAN, .sharpness = NAN, .entropy_nats = NAN},
        .ood = {NAN, NAN, NAN},
        .image_bytes = -1,
        .submitted = -1,
        .truth = {.label = -1, .certainty = -1, .reviewed_at = -1, .atypical = -1},
    };
    for (int i = 0; i < LESION_CLASSES; i++)
        analysis->probabilities[i] = NAN;
    for (int i = 0; i < FEATURES_BINS; i++)
        analysis->features.histogram_r[i] = analysis->features.histogram_g[i] =
            analysis->features.histogram_b[i] = NAN;
    for (int i = 0; i < MOMENT_COUNT; i++)
        analysis->moments[i] = -1;
}

// A token of a job's metadata; what is none is counted, as one of the many others.
static const char *token_of(const char *text)
{
    if (!text)
        return "";
    return job_name_valid(text) ? text : ANALYSIS_OTHER;
}

// What a worker says of itself may hold blanks.
static const char *name_of(const char *text)
{
    size_t length = text ? strlen(text) : 0;
    for (size_t i = 0; i < length; i++)
        if (iscntrl((unsigned char)text[i]))
            return ANALYSIS_OTHER;
    return length == 0 ? "" : length < JOB_TOKEN_SIZE ? text : ANALYSIS_OTHER;
}

static const char *subject_of(const char *text)
{
    bool good = text && strlen(text) == JOB_SUBJECT_SIZE - 1 &&
                strspn(text, "0123456789abcdef") == JOB_SUBJECT_SIZE - 1;
    return good ? text : "";
}

static void read_context(const struct prediction_context *context, struct analysis *analysis)
{
    analysis->site = token_of(context->site);
    analysis->subject = subject_of(context->subject);
    analysis->capture_device = token_of(context->capture_device);
    analysis->lesion_location = token_of(context->lesion_location);
    analysis->dermatoscope_attached = context->dermatoscope_attached;
    analysis->fitzpatrick_type = context->fitzpatrick_type;
    analysis->age_decade = context->age_decade < 0 ? -1 : context->age_decade / 10 * 10;
}

static void copy_provenance(const struct prediction_provenance *provenance, struct analysis *analysis)
{
    memcpy(analysis->image_sha256, provenance->image_sha256, sizeof analysis->image_sha256);
    analysis->precision = name_of(provenance->precision);
    analysis->device = name_of(provenance->device);
    analysis->features = provenance->features;
    analysis->ood = provenance->ood;
    analysis->image_bytes = provenance->image_bytes;
    analysis->cache_hit = provenance->cache_hit == 1;
    analysis->replayed = provenance->replayed == 1;
    analysis->submitted = provenance->submitted;
    memcpy(analysis->moments, provenance->moments, sizeof analysis->moments);
}

// An absent histogram has its first share alone as a sign of it.
static bool settle_histogram(float histogram[FEATURES_BINS])
{
    double sum = 0;
    for (int i = 0; i < FEATURES_BINS; i++) {
        if (isnan(histogram[0]))
            histogram[i] = NAN;
        sum += histogram[i];
    }
    return isnan(histogram[0]) || fabs(sum - 1) <= sum_tolerance;
}

static enum status settle_features(struct features *features, struct error *err)
{
    bool good = settle_histogram(features->histogram_r);
    good = settle_histogram(features->histogram_g) && good;
    good = settle_histogram(features->histogram_b) && good;
    if (!good)
        return error_set(err, STATUS_REJECTED, "the shares of a histogram don't sum to 1");
    if (features->sharpness < 0 || features->entropy_nats < 0 ||
        features->entropy_nats > log(LESION_CLASSES) + sum_tolerance)
        return error_set(err, STATUS_REJECTED, "its sharpness or entropy is outside of what there can be");
    return STATUS_OK;
}

// The order of the classes is the logits' own; the differential's is by probability.
static enum status read_probabilities(const struct prediction *prediction, struct analysis *analysis,
                                      struct error *err)
{
    const float *logits = prediction->provenance.logits;
    double temperature = prediction->provenance.temperature, highest = -INFINITY, sum = 0;
    double powers[LESION_CLASSES];
    if (isnan(logits[0]))
        return error_set(err, STATUS_REJECTED, "it is a prediction without logits");
    if (!(temperature > 0))
        return error_set(err, STATUS_REJECTED, "its logits have no temperature above 0");
    for (int i = 0; i < LESION_CLASSES; i++)
        highest = fmax(highest, logits[i]);
    for (int i = 0; i < LESION_CLASSES; i++)
        sum += powers[i] = exp((logits[i] - highest) / temperature);
    for (int i = 0; i < LESION_CLASSES; i++)
        analysis->probabilities[i] = (float)(powers[i] / sum);
    double difference = fabs(analysis->probabilities[analysis->class] - prediction->result.confidence);
    if (!(difference <= confidence_tolerance)) // NaN: a logit is infinite
        return error_set(err, STATUS_REJECTED, "its confidence is not that of its logits");
    return STATUS_OK;
}

static float entropy_of(const float probabilities[LESION_CLASSES])
{
    double sum = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        if (probabilities[i] != 0)
            sum -= probabilities[i] * log(probabilities[i]);
    return (float)sum;
}

static enum status read_result(const struct prediction *prediction, struct analysis *analysis,
                               struct error *err)
{
    const struct prediction_result *result = &prediction->result;
    analysis->class = lesion_from_name(result->primary_diagnosis);
    if (analysis->class < 0)
        return error_set(err, STATUS_REJECTED, "its primary_diagnosis is none of the eight classes");
    for (int i = 0; i < ACTION_COUNT; i++)
        if (strcmp(result->recommended_action, action_names[i]) == 0)
            analysis->action = i;
    if (analysis->action < 0)
        return error_set(err, STATUS_REJECTED, "its recommended_action is none of the three");
    analysis->confidence = result->confidence;
    analysis->abstained = result->abstained == 1;
    enum status status = read_probabilities(prediction, analysis, err);
    if (status == STATUS_OK)
        analysis->entropy_nats = isnan(analysis->features.entropy_nats) ? entropy_of(analysis->probabilities)
                                                                        : analysis->features.entropy_nats;
    return status;
}

// The moments are in the order in which a job passes the stages; a clock that was set meanwhile by little is
// none of the record's faults.
static bool are_in_order(const int64_t moments[MOMENT_COUNT])
{
    int64_t latest = 0;
    for (int i = 0; i < MOMENT_COUNT; i++) {
        if (moments[i] >= 0 && moments[i] < latest - CLOCK_TOLERANCE_MS)
            return false;
        latest = moments[i] > latest ? moments[i] : latest;
    }
    return true;
}

// The worker's clock says when it was published, as long as the topic's does not contradict it.
static enum status read_time(int64_t received_at, struct analysis *analysis, struct error *err)
{
    int64_t published = analysis->moments[MOMENT_PUBLISHED];
    if (!are_in_order(analysis->moments))
        return error_set(err, STATUS_REJECTED, "wrong time order: a later stage has an earlier time");
    analysis->at = published;
    if (published < 0 || (received_at >= 0 && published > received_at + CLOCK_TOLERANCE_MS))
        analysis->at = received_at;
    if (analysis->at < 0)
        return error_set(err, STATUS_REJECTED, "nothing says when it was published");
    if (analysis->at < ANALYSIS_FIRST_MS)
        return error_set(err, STATUS_REJECTED, "wrong time order: published before 2010");
    return STATUS_OK;
}

enum status analysis_read(const struct prediction *prediction, int64_t received_at, struct analysis *analysis,
                          struct error *err)
{
    analysis_init(analysis);
    if (prediction->request_id)
        job_request_id_read((struct bytes){(const uint8_t *)prediction->request_id, JOB_REQUEST_ID_SIZE - 1},
                            analysis->request_id);
    read_context(&prediction->context, analysis);
    copy_provenance(&prediction->provenance, analysis);
    const char *version = prediction->model_info.model_version;
    analysis->model_version = token_of(version ? version : prediction->provenance.model_version);
    analysis->error_code = name_of(prediction->error.code);
    enum status status = read_time(received_at, analysis, err);
    if (status == STATUS_OK)
        status = settle_features(&analysis->features, err);
    if (status == STATUS_OK && !prediction->error.code)
        status = read_result(prediction, analysis, err);
    return status;
}
