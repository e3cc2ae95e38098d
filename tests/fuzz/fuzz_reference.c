// fuzz_reference.c: any bytes as a reference.safetensors. What is accepted places any embedding: a distance
// that is finite, a quantile from 0 to 1.
#include <math.h>
#include <stdlib.h>

#include "kernels/model/reference.h"
#include "kernels/model/weights_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WIDTH = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const float embeddings[][WIDTH] = {{0, 0}, {1, -1e30f}};
    struct error err;
    struct ood_reference *reference = NULL;
    struct weights *weights = weights_new();
    if (weights_parse(weights, (struct bytes){data, size}, &err) == STATUS_OK &&
        reference_from_weights(weights, WIDTH, &reference, &err) == STATUS_OK)
        for (int i = 0; i < 2; i++) {
            float distance = ood_distance(reference, embeddings[i]);
            float quantile = ood_quantile(reference, distance);
            if (!isfinite(distance) || distance < 0 || !(quantile >= 0 && quantile <= 1))
                abort();
        }
    ood_reference_free(reference);
    weights_close(weights);
    return 0;
}
