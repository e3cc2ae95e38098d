// transformer.h: the executor of vision transformers: a network turned into steps over memory that is laid
// out once.
//
// transformer_plan.c prepares and runs plans; transformer_build.c makes steps of the lowered ones
// (kernels/transformer_lowering.h) and lays out memory; transformer_weights.c packs; transformer_run.c runs.
// A batch is worked off in chunks of a few images, so that activations stay in the caches and memory does not
// grow with the batch.
//
// Thread: as backend.h says, one at a time for the backend; the backend's team does the work.
#ifndef SKINSIGHT_KERNELS_CPU_TRANSFORMER_H
#define SKINSIGHT_KERNELS_CPU_TRANSFORMER_H

#include "kernels/cpu/executor.h"
#include "kernels/cpu/rollout.h"
#include "kernels/memory_plan.h"
#include "kernels/transformer_lowering.h"

// An activation of one chunk. Row r of image i begins at memory + its place's offset + i * image_stride + r *
// row_stride.
struct transformer_tensor {
    enum storage storage;
    int rows, columns; // of one image, as they lie
    size_t row_stride, image_stride;
    size_t scales;              // STORE_UINT8: where in its place the struct row_scale of each row begin
    int view_of;                // another tensor whose memory this one reads, or itself
    struct memory_value memory; // of its own
};

struct step {
    enum lowered_kind kind; // and the rest as in struct lowered_step
    const struct operation *operation;
    int input, second, output;
    int rows;
    int first_output_row;
    const struct gemm_kernel *kernel;
    int first_panel, panel_count;
    bool shares_weights; // those that the step before has packed
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

// Fills steps, tensors and memory of a plan whose network, kernels and chunk are set.
void transformer_build(struct transformer_plan *plan, enum explanation explanation);

// Packs the weights that the steps name. FATAL: no memory.
enum status transformer_pack_weights(struct transformer_plan *plan, const struct weights *weights,
                                     struct error *err) MUST_CHECK;

// Runs one chunk: views and results of its images.
void transformer_run_chunk(struct transformer_plan *plan, const uint8_t *const *views, int images,
                           const struct inference *result);

#endif
