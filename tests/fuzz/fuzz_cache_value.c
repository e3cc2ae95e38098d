// fuzz_cache_value.c: any bytes as what Redis answers, once as they are and once with the right seal, scope,
// image and map, as a worker with the secret would write them. What is believed must be safe to answer with.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/cache/cache_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct cache_terms without_reference = {
    .scope = "scope", .map_suffix = ".png", .secret = "secret", .secret_size = 6};
static const struct cache_terms with_reference = {
    .scope = "scope", .map_suffix = ".png", .secret = "secret", .secret_size = 6, .has_reference = true};

static bool is_a_place(const struct ood_values *ood, bool has_reference)
{
    if (!has_reference)
        return isnan(ood->distance) && isnan(ood->quantile);
    return isfinite(ood->distance) && ood->distance >= 0 && ood->quantile >= 0 && ood->quantile <= 1;
}

static void take(struct bytes bytes, const struct cache_terms *terms, struct job *job)
{
    char map[OBJECT_KEY_SIZE];
    if (cache_value_read(bytes, terms, job) != CACHE_BELIEVED)
        return;
    cache_map_key(terms, &job->image_sha256, map);
    if (strcmp(job->attention_key, map) != 0)
        abort();
    for (int i = 0; i < LESION_CLASSES; i++)
        if (!isfinite(job->logits[i]))
            abort();
    if (!is_a_place(&job->ood, terms->has_reference))
        abort();
    if (!(job->features.brightness >= 0 && job->features.brightness <= 1))
        abort();
}

static void take_sealed(const uint8_t *data, size_t size, const struct cache_terms *terms)
{
    static struct job job;
    struct cache_value value = {0};
    take((struct bytes){data, size}, terms, &job);
    memcpy(&value, data, size < sizeof value ? size : sizeof value);
    memcpy(value.magic, "SSCACHE2", sizeof value.magic);
    memcpy(value.scope, terms->scope, sizeof value.scope);
    value.image_sha256 = job.image_sha256;
    cache_map_key(terms, &job.image_sha256, value.attention_key);
    if (!terms->has_reference)
        value.distance = value.quantile = NAN;
    cache_value_seal(&value, terms);
    take((struct bytes){(const uint8_t *)&value, sizeof value}, terms, &job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    take_sealed(data, size, &without_reference);
    take_sealed(data, size, &with_reference);
    return 0;
}
