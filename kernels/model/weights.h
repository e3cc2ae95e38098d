// weights.h: named tensors of a safetensors file, memory-mapped and checked before use.
//
// Format (https://github.com/huggingface/safetensors): 8 bytes little-endian header length, a JSON header
// {"name": {"dtype": "F32", "shape": [...], "data_offsets": [begin, end]}, "__metadata__": {...}}, then the
// data. Every offset is checked against the file, the shape and its neighbours; overlapping or missing ranges
// are refused.
#ifndef SKINSIGHT_KERNELS_MODEL_WEIGHTS_H
#define SKINSIGHT_KERNELS_MODEL_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "kernels/network/network.h"

enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I8, DTYPE_I64, DTYPE_COUNT };

struct weight {
    char name[TENSOR_NAME_SIZE];
    enum dtype dtype;
    int rank;
    int64_t shape[TENSOR_MAX_RANK];
    size_t count;     // values
    size_t size;      // bytes
    const void *data; // in the mapping at any alignment (or in memory, weights_add); row-major,
                      // little-endian
};

struct weights;

// Maps the file. REJECTED names what is wrong and the tensor; FATAL when it can't be opened.
// The file must stay as it is until weights_close: one that is written to gives other values
// (weights_check_unchanged), one that is cut short ends the process by SIGBUS (weights_explain_sigbus).
// Replace it by rename, as weights_save does.
enum status weights_open(struct weights **weights, const char *path, struct error *err) MUST_CHECK;
struct weights *weights_new(void); // empty, to be filled with weights_add
void weights_close(struct weights *weights);

// Adds a tensor of float32 values, copied; a name that is there already asserts. What weights_at and
// weights_find gave before becomes invalid. Used by import and tests.
void weights_add(struct weights *weights, const char *name, int rank, const int64_t *shape,
                 const float *values);
// Puts other float32 values, copied, in the place of a tensor that is there. What weights_at and weights_find
// gave of it before becomes invalid.
void weights_replace(struct weights *weights, const char *name, int rank, const int64_t *shape,
                     const float *values);
// Makes BF16 of a tensor of floats, rounded to nearest, ties to even; NaN stays NaN. What weights_at and
// weights_find gave of it before becomes invalid.
void weights_round_to_bf16(struct weights *weights, const char *name);
// Through a temporary name, flushed and renamed. FATAL when it can't be written.
enum status weights_save(const struct weights *weights, const char *path, struct error *err) MUST_CHECK;

// REJECTED: the file of weights_open is not what it was before anything was read of it, by its size and
// times. Asked when all is read that will be. A file that is renamed, linked or unlinked counts as changed
// too.
enum status weights_check_unchanged(const struct weights *weights, struct error *err) MUST_CHECK;
// For a program's main: from now on a file that is cut short while it is mapped is named on standard error,
// and the process ends with exit code 1.
void weights_explain_sigbus(void);

size_t weights_count(const struct weights *weights);
const struct weight *weights_at(const struct weights *weights, size_t index);
const struct weight *weights_find(const struct weights *weights, const char *name); // NULL when absent

// "F32", "F16" or "BF16": the type of every tensor of floats, or F32 where they differ.
const char *weights_dtype(const struct weights *weights);

// Copies a tensor as float32 (F32, F16, BF16). values has weight->count places.
void weight_to_float(const struct weight *weight, float *values);
// Gives the mapped pages of a tensor back to the system after a backend has packed it; they can be read
// again.
void weights_discard_pages(const struct weights *weights, const struct weight *weight);

// One pass over the file of weights that weights_open gave: the SHA-256 of the whole file, which it gives,
// and the values that are not finite, which weights_first_not_finite then knows.
struct digest weights_check(struct weights *weights);
// Index of a tensor's first value that is NaN or infinite, or its count.
size_t weights_first_not_finite(const struct weights *weights, const struct weight *weight);

#endif
