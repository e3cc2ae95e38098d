// fuzz_weights.c: any bytes as a safetensors file. What is accepted must lie inside them: every value is
// read.
#include <stdlib.h>
#include <string.h>

#include "kernels/model/weights_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    struct weights *weights = weights_new();
    if (weights_parse(weights, (struct bytes){data, size}, &err) == STATUS_OK) {
        for (size_t i = 0; i < weights_count(weights); i++) {
            const struct weight *weight = weights_at(weights, i);
            void *copy = malloc(weight->size + 1);
            memcpy(copy, weight->data, weight->size);
            if (weight->dtype <= DTYPE_BF16) {
                float *values = malloc(weight->count * sizeof *values + 1);
                weight_to_float(weight, values);
                free(values);
            }
            free(copy);
        }
    }
    weights_close(weights);
    return 0;
}
