// agreement.c: measures, judges, writes and reads agreements.
#include "kernels/model/agreement.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/memory.h"
#include "common/records/lesion.h"

enum { MOST_IMAGES = 1 << 20 };
static const double margin_decided = 0.02;

static void probabilities_of(const float logits[LESION_CLASSES], float temperature, double probabilities[])
{
    double greatest = -INFINITY, sum = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        greatest = fmax(greatest, (double)logits[i]);
    for (int i = 0; i < LESION_CLASSES; i++)
        sum += probabilities[i] = exp(((double)logits[i] - greatest) / (double)temperature);
    for (int i = 0; i < LESION_CLASSES; i++)
        probabilities[i] /= sum;
}

// The most probable class, and how far the next one is below it.
static int first_of(const double probabilities[], double *margin)
{
    int first = 0;
    for (int i = 1; i < LESION_CLASSES; i++)
        if (probabilities[i] > probabilities[first])
            first = i;
    double next = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        if (i != first)
            next = fmax(next, probabilities[i]);
    *margin = probabilities[first] - next;
    return first;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct agreement agreement_measure(const float *reference, const float *other, int images, float temperature)
{
    struct agreement agreement = {.measured = images > 0};
    double *differences = memory_alloc((size_t)(images + 1) * sizeof *differences);
    int same = 0;
    for (int image = 0; image < images; image++) {
        double expected[LESION_CLASSES], found[LESION_CLASSES], margin, other_margin;
        probabilities_of(reference + image * LESION_CLASSES, temperature, expected);
        probabilities_of(other + image * LESION_CLASSES, temperature, found);
        for (int i = 0; i < LESION_CLASSES; i++) {
            double difference = fabs(expected[i] - found[i]);
            if (!(difference <= differences[image])) // also when it is no number
                differences[image] = isnan(difference) ? 1 : difference;
        }
        bool equal = first_of(expected, &margin) == first_of(found, &other_margin);
        agreement.decided += margin >= margin_decided;
        same += equal && margin >= margin_decided && !isnan(other_margin);
    }
    qsort(differences, (size_t)images, sizeof *differences, by_value);
    if (images > 0)
        agreement.difference = differences[(images * 99 + 99) / 100 - 1]; // nearest rank
    if (agreement.decided > 0)
        agreement.first = (double)same / agreement.decided;
    free(differences);
    return agreement;
}

bool agreement_is_enough(const struct agreement *agreement, enum precision precision, char *reason,
                         size_t size)
{
    double most_difference = precision == PRECISION_INT8 ? 0.03 : 0.01;
    double least_first = precision == PRECISION_INT8 ? 0.985 : 0.995;
    if (precision == PRECISION_FP32) {
        snprintf(reason, size, "fp32 is the reference");
        return true;
    }
    if (!agreement->measured) {
        snprintf(reason, size, "%s was not measured", precision_names[precision]);
        return false;
    }
    snprintf(
        reason, size,
        "%s: difference %.4f (at most %.2f), first class equal in %.1f %% (at least %.1f %%) of %d decided "
        "images (at least %d)",
        precision_names[precision], agreement->difference, most_difference, 100 * agreement->first,
        100 * least_first, agreement->decided, AGREEMENT_LEAST_DECIDED);
    return agreement->difference <= most_difference && agreement->decided >= AGREEMENT_LEAST_DECIDED &&
           agreement->first >= least_first;
}

static enum status bad_field(const char *name, const char *rule, struct error *err)
{
    return error_set(err, STATUS_REJECTED, "calibration: '%s' must be %s", name, rule);
}

static bool read_share(const cJSON *json, const char *name, double *value)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(json, name);
    *value = cJSON_IsNumber(number) ? number->valuedouble : NAN;
    return *value >= 0 && *value <= 1;
}

static enum status read_agreement(const cJSON *json, struct agreement *agreement, struct error *err)
{
    int64_t decided;
    if (!read_share(json, "difference_p99", &agreement->difference))
        return bad_field("difference_p99", "a number from 0 to 1", err);
    if (!read_share(json, "first_class", &agreement->first))
        return bad_field("first_class", "a number from 0 to 1", err);
    if (!json_whole_number(cJSON_GetObjectItemCaseSensitive(json, "decided"), 0, MOST_IMAGES, &decided))
        return bad_field("decided", "a whole number from 0 to 2^20", err);
    agreement->decided = (int)decided;
    agreement->measured = true;
    return STATUS_OK;
}

enum status calibration_read(const cJSON *json, struct calibration *calibration, struct error *err)
{
    int64_t images;
    memset(calibration, 0, sizeof *calibration);
    if (!json)
        return STATUS_OK;
    const cJSON *backend = cJSON_GetObjectItemCaseSensitive(json, "backend");
    const cJSON *precisions = cJSON_GetObjectItemCaseSensitive(json, "precisions");
    if (!json_whole_number(cJSON_GetObjectItemCaseSensitive(json, "images"), 1, MOST_IMAGES, &images))
        return bad_field("images", "a whole number from 1 to 2^20", err);
    if (!json_copy_text(backend, calibration->backend, sizeof calibration->backend))
        return bad_field("backend", "a name of at most 15 characters", err);
    if (!cJSON_IsObject(precisions))
        return bad_field("precisions", "an object", err);
    for (int i = 0; i < PRECISION_COUNT; i++) {
        const cJSON *entry = cJSON_GetObjectItemCaseSensitive(precisions, precision_names[i]);
        enum status status = entry ? read_agreement(entry, &calibration->precisions[i], err) : STATUS_OK;
        if (status != STATUS_OK)
            return status;
    }
    calibration->images = (int)images;
    return STATUS_OK;
}

void calibration_write(const struct calibration *calibration, cJSON *manifest)
{
    if (calibration->images == 0)
        return;
    cJSON *json = cJSON_AddObjectToObject(manifest, "calibration");
    cJSON_AddNumberToObject(json, "images", calibration->images);
    cJSON_AddStringToObject(json, "backend", calibration->backend);
    cJSON *precisions = cJSON_AddObjectToObject(json, "precisions");
    for (int i = 0; i < PRECISION_COUNT; i++) {
        const struct agreement *agreement = &calibration->precisions[i];
        if (!agreement->measured)
            continue;
        cJSON *entry = cJSON_AddObjectToObject(precisions, precision_names[i]);
        cJSON_AddNumberToObject(entry, "difference_p99", agreement->difference);
        cJSON_AddNumberToObject(entry, "first_class", agreement->first);
        cJSON_AddNumberToObject(entry, "decided", agreement->decided);
    }
}
