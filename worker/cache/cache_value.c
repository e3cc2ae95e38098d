// cache_value.c: fills, seals and checks values of the cache.
#include "worker/cache/cache_value.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "worker/faults.h"

static const char magic[8] = {'S', 'S', 'C', 'A', 'C', 'H', 'E', '2'};

static struct digest seal_of(const struct cache_value *value, const struct cache_terms *terms)
{
    struct bytes secret = {terms->secret, terms->secret_size};
    return digest_keyed(secret, value, offsetof(struct cache_value, seal));
}

void cache_value_seal(struct cache_value *value, const struct cache_terms *terms)
{
    value->seal = seal_of(value, terms);
}

void cache_value_fill(struct cache_value *value, const struct cache_terms *terms, const struct job *job)
{
    memset(value, 0, sizeof *value);
    memcpy(value->magic, magic, sizeof value->magic);
    memcpy(value->scope, terms->scope, sizeof value->scope);
    value->image_sha256 = job->image_sha256;
    memcpy(value->logits, job->logits, sizeof value->logits);
    value->distance = job->ood.distance;
    value->quantile = job->ood.quantile;
    value->features = job->features;
    value->features.entropy_nats = 0; // the answer's, which has its own temperature
    memcpy(value->attention_key, job->attention_key, sizeof value->attention_key);
    value->attention_sha256 = job->attention_sha256;
    cache_value_seal(value, terms);
}

static bool is_about(const struct cache_value *value, const struct cache_terms *terms, const struct job *job)
{
    char map_key[OBJECT_KEY_SIZE];
    if (memcmp(value->scope, terms->scope, sizeof value->scope) != 0)
        return false;
    if (fault_is_on(FAULT_SHORT_KEY))
        return true;
    cache_map_key(terms, &job->image_sha256, map_key);
    return digest_equal(&value->image_sha256, &job->image_sha256) &&
           memcmp(value->attention_key, map_key, sizeof map_key) == 0;
}

static bool lies_within(float value, float least, float most)
{
    return value >= least && value <= most; // not so for NaN
}

static bool is_histogram(const float shares[FEATURES_BINS])
{
    double sum = 0;
    for (int i = 0; i < FEATURES_BINS; i++) {
        if (!lies_within(shares[i], 0, 1))
            return false;
        sum += shares[i];
    }
    return fabs(sum - 1) < 1e-5;
}

// Luma lies between 0 and 1, so its deviation is 1/2 at most, an edge's value 4 and their variance 16.
static bool are_features(const struct features *features)
{
    return lies_within(features->brightness, 0, 1) && lies_within(features->contrast, 0, 0.5f) &&
           lies_within(features->sharpness, 0, 16) && features->entropy_nats == 0 &&
           is_histogram(features->histogram_r) && is_histogram(features->histogram_g) &&
           is_histogram(features->histogram_b);
}

static bool is_a_place(const struct cache_value *value, bool has_reference)
{
    if (!has_reference)
        return isnan(value->distance) && isnan(value->quantile);
    return lies_within(value->distance, 0, FLT_MAX) && lies_within(value->quantile, 0, 1);
}

static bool is_an_answer(const struct cache_value *value, bool has_reference)
{
    for (int i = 0; i < LESION_CLASSES; i++)
        if (!isfinite(value->logits[i]))
            return false;
    return is_a_place(value, has_reference) && are_features(&value->features);
}

static enum cache_refusal check(const struct cache_value *value, const struct cache_terms *terms,
                                const struct job *job)
{
    struct digest seal = seal_of(value, terms);
    if (memcmp(value->magic, magic, sizeof value->magic) != 0)
        return CACHE_REFUSED_FORM;
    if (!digest_equal(&seal, &value->seal))
        return CACHE_REFUSED_SEAL;
    if (!is_about(value, terms, job))
        return CACHE_REFUSED_OTHER_KEY;
    return is_an_answer(value, terms->has_reference) ? CACHE_BELIEVED : CACHE_REFUSED_CONTENT;
}

enum cache_refusal cache_value_read(struct bytes bytes, const struct cache_terms *terms, struct job *job)
{
    struct cache_value value;
    if (bytes.size != sizeof value)
        return CACHE_REFUSED_FORM;
    memcpy(&value, bytes.data, sizeof value);
    enum cache_refusal refusal = check(&value, terms, job);
    if (refusal != CACHE_BELIEVED)
        return refusal;
    memcpy(job->logits, value.logits, sizeof job->logits);
    job->ood.distance = value.distance;
    job->ood.quantile = value.quantile;
    job->features = value.features;
    memcpy(job->attention_key, value.attention_key, sizeof job->attention_key);
    job->attention_sha256 = value.attention_sha256;
    return CACHE_BELIEVED;
}
