// transformer.h: the executor of vision transformers: a network turned into steps over memory that is laid
// out once.
//
// transformer_plan.c prepares and runs plans; transformer_build.c turns operations into steps (fusing
// neighbours, dropping rows that nobody reads); transformer_weights.c packs; transformer_run.c runs. A batch
// is worked off in chunks of a few images, so that activations stay in the caches and memory does not grow
// with the batch.
//
// Thread: as backend.h says, one at a time for the backend; the backend's team does the work.
#ifndef SKINSIGHT_KERNELS_CPU_TRANSFORMER_H
#define SKINSIGHT_KERNELS_CPU_TRANSFORMER_H

#include "kernels/cpu/executor.h"
#include "kernels/cpu/rollout.h"
#include "kernels/memory_plan.h"

enum {
    TRANSFORMER_MAX_STEPS = 2 * NETWORK_MAX_OPERATIONS,
    TRANSFORMER_MAX_TENSORS = NETWORK_MAX_TENSORS + TRANSFORMER_MAX_STEPS,
};

enum storage { STORE_FP32, STORE_BF16, STORE_INT8 };

// An activation of one chunk. Row r of image i begins at memory + its place's offset + i * image_stride + r *
// row_stride.
struct transformer_tensor {
    enum storage storage;
    int rows, columns; // of one image; one row where only the first is ever read
    size_t row_stride, image_stride;
    size_t scales;              // STORE_INT8: where in its place the struct row_scale of each row begin
    int view_of;                // another tensor whose memory this one reads, or itself
    struct memory_value memory; // of its own
};

enum step_kind {
    STEP_PATCHES,   // view -> rows of pixels of one patch, normalised
    STEP_GEMM,      // linear layer or patch embedding, with GELU or residual
    STEP_CLASS_ROW, // class token and its position into row 0
    STEP_LAYERNORM,
    STEP_ATTENTION,
    STEP_GELU,
    STEP_ADD,
    STEP_CONVERT, // float or bf16 to the type of a matrix product
    STEP_KIND_COUNT
};

struct step {
    enum step_kind kind;
    const struct operation *operation; // of the network: names of weights, numbers
    int input, second, output;         // tensors; second: the residual; -1: none
    int rows;                          // of the output, computed for each image
    int first_output_row;
    const struct gemm_kernel *kernel;
    int first_panel, panel_count;
    int shares_weights_of; // a step whose packed weights this one uses; -1: its own
    bool gelu;
    bool map;  // attention: write the class token's weights
    int block; // attention: its number among the attentions
    // Filled in by transformer_weights.c
    struct gemm_weights weights;
    const float *scale, *bias; // LayerNorm; class row: scale
    const float *positions;    // patch embedding: added to each image's rows
};

struct transformer_plan {
    struct plan plan; // first
    struct cpu_device *device;
    struct network *network; // ours
    const struct gemm_kernel *gemm, *attention;
    int chunk; // images
    struct step *steps;
    int step_count;
    int part_ends[PART_COUNT]; // the steps of each part of the network, one after the other
    struct transformer_tensor *tensors;
    int tensor_count;
    struct memory_plan places;
    char *memory; // activations, then each thread's scratch, then what the rollout keeps
    size_t memory_size, scratch_offset, scratch_size, rollout_offset;
    struct rollout rollout;              // blocks 0: not asked for
    const struct row_observer *observer; // NULL: none; fp32 only
    char *weights;
    size_t weights_size;
    float table[3 * 256]; // normalised values of a byte
    uint16_t table_bf16[3 * 256];
};

// Whether every operation of the network has a step.
bool transformer_supports(const struct network *network);

// Fills steps, tensors and memory of a plan whose network, kernels and chunk are set.
void transformer_build(struct transformer_plan *plan, enum explanation explanation);

// Packs the weights that the steps name. FATAL: no memory.
enum status transformer_pack_weights(struct transformer_plan *plan, const struct weights *weights,
                                     struct error *err) MUST_CHECK;

// Runs one chunk: views and results of its images.
void transformer_run_chunk(struct transformer_plan *plan, const uint8_t *const *views, int images,
                           float *logits, float *attention);

#endif
