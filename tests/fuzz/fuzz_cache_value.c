// fuzz_cache_value.c: any bytes as what Redis answers, once as they are and once with the right seal, scope,
// image and map, as a worker with the secret would write them. What is believed must be safe to answer with.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/cache/cache_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct cache_terms terms = {
    .scope = "scope", .map_suffix = ".png", .secret = "secret", .secret_size = 6};

static void take(struct bytes bytes, struct job *job)
{
    char map[OBJECT_KEY_SIZE];
    if (cache_value_read(bytes, &terms, job) != CACHE_BELIEVED)
        return;
    cache_map_key(&terms, &job->image_sha256, map);
    if (strcmp(job->attention_key, map) != 0)
        abort();
    for (int i = 0; i < LESION_CLASSES; i++)
        if (!isfinite(job->logits[i]))
            abort();
    if (!isnan(job->ood.distance) ||
        !isnan(job->ood.quantile)) // the terms are of a model without a reference
        abort();
    if (!(job->features.brightness >= 0 && job->features.brightness <= 1))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct job job;
    struct cache_value value = {0};
    take((struct bytes){data, size}, &job);
    memcpy(&value, data, size < sizeof value ? size : sizeof value);
    memcpy(value.magic, "SSCACHE2", sizeof value.magic);
    memcpy(value.scope, terms.scope, sizeof value.scope);
    value.image_sha256 = job.image_sha256;
    cache_map_key(&terms, &job.image_sha256, value.attention_key);
    value.distance = value.quantile = NAN;
    cache_value_seal(&value, &terms);
    take((struct bytes){(const uint8_t *)&value, sizeof value}, &job);
    return 0;
}
