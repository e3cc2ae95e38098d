// fuzz_cache_value.c: any bytes as what Redis answers, once as they are and once with the right checksum,
// scope and image, as a forger would write them. What is accepted must be safe to answer with.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(struct bytes bytes, struct job *job)
{
    if (!cache_value_read(bytes, "scope", job))
        return;
    if (!memchr(job->attention_key, '\0', sizeof job->attention_key))
        abort();
    for (int i = 0; i < LESION_CLASSES; i++)
        if (!isfinite(job->logits[i]))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct job job;
    struct cache_value value = {0};
    take((struct bytes){data, size}, &job);
    memcpy(&value, data, size < sizeof value ? size : sizeof value);
    memcpy(value.magic, "SSCACHE1", sizeof value.magic);
    strcpy(value.scope, "scope");
    value.image_sha256 = job.image_sha256;
    value.checksum = digest_of(&value, offsetof(struct cache_value, checksum));
    take((struct bytes){(const uint8_t *)&value, sizeof value}, &job);
    return 0;
}
