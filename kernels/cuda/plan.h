// plan.h: a network turned into launches over memory that is laid out once.
//
// build.c and its builders turn operations into steps (a transformer's are lowered before,
// kernels/transformer_lowering.h) and give activations their places; pack.c brings the weights to the device
// in the type they are multiplied in; run.c runs slices of a batch; backend.c is the backend's table. A batch
// is worked off in slices of at most SLICE_MAX images: the next slice's views travel while one computes, and
// memory does not grow with the batch.
//
// Thread: as backend.h says, one at a time for the backend.
#ifndef SKINSIGHT_KERNELS_CUDA_PLAN_H
#define SKINSIGHT_KERNELS_CUDA_PLAN_H

#include "kernels/backend.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/library.h"
#include "kernels/cuda/ops.h"
#include "kernels/memory_plan.h"
#include "kernels/transformer_lowering.h"

enum {
    GRAPH_SIZES = 7,   // 1, 2, 4, ... 64
    GRAPH_PAD_MAX = 8, // up to here a slice is filled up to the next graph; beyond, that would cost more
    STEPS_MAX = LOWERED_MAX_STEPS,
    ACTIVATIONS_MAX = LOWERED_MAX_VALUES,
};

struct cuda_backend {
    struct backend backend; // first
    struct device device;
    struct library *library; // NULL: own products only
};

// Image i's rows begin at memory + its place's offset + i * rows * columns values. Bytes have a struct
// quantised_row for each row, at that offset + scales.
struct activation {
    enum storage storage;
    int rows, columns; // of one image; one row where only the first is ever read
    int view_of;       // another activation whose memory this one reads, or itself; -1: none
    size_t scales;
    struct memory_value memory; // of its own, for a slice
};

enum step_kind {
    STEP_PATCHES = LOWERED_PATCHES,
    STEP_TOKENS = LOWERED_TOKENS,
    STEP_PRODUCT = LOWERED_PRODUCT,
    STEP_LAYERNORM = LOWERED_LAYERNORM,
    STEP_ATTENTION = LOWERED_ATTENTION,
    STEP_GELU = LOWERED_GELU,
    STEP_ADD = LOWERED_ADD,
    STEP_CONVERT = LOWERED_CONVERT,
    STEP_DEPTHWISE = LOWERED_KIND_COUNT, // of convolutional networks only
    STEP_MAX_POOL,
    STEP_SUM_ROWS,
    STEP_SCALE,
    STEP_CLASS_MAP,
    STEP_KIND_COUNT
};

struct step {
    enum step_kind kind;
    const struct operation *operation; // of the network: names of weights, numbers
    int input, second, output;         // activations; second: the residual, the gate, the logits; -1: none
    bool first_row;                    // of each image only, although input or output have more
    int first_column, columns;         // of the output that this product computes
    enum finish finish;
    bool windowed; // product: its rows are the windows of the operation, a convolution
    bool map;      // attention: write the class token's weights
    int group;     // sum of rows: how many, and what it is multiplied with
    float factor;
    // Filled in by pack.c; of the device. Product: weight, bias, and for bytes scale and sums. LayerNorm:
    // weight, bias. Tokens: weight is the class token, bias the positions. Class map: the head's weight.
    void *weight;
    float *bias;
    void *bias_half; // the library wants the output's type
    float *scale;
    int32_t *sums;
    struct library_choice choice;
};

struct cuda_plan {
    struct plan plan; // first
    struct cuda_backend *cuda;
    struct network *network;         // ours
    enum storage product, attention; // what they multiply; a convolutional network's maps are product's
    int slice;                       // images at most
    struct step *steps;
    int step_count;
    struct activation *activations;
    int activation_count;
    struct memory_plan places;
    size_t activations_size;
    // Of the device
    char *memory; // activations
    char *weights;
    size_t weights_size;
    float *table;                        // normalised values of a byte
    uint8_t *views, *sent[DEVICE_SLOTS]; // of a slice; the graphs read views
    float *logits, *map, *embedding;
    // Of the host, pinned: what is sent and received
    uint8_t *staged[DEVICE_SLOTS];
    float *logits_out[DEVICE_SLOTS], *map_out[DEVICE_SLOTS], *embedding_out[DEVICE_SLOTS];
    struct device_graph *graphs[GRAPH_SIZES];
};

// REJECTED names an operation, a shape or a precision that the backend lacks; both.
enum status cuda_check_network(const struct network *network, enum precision precision,
                               struct error *err) MUST_CHECK;
// Fills steps, activations and their places, for a plan whose network, types and slice are set.
enum status cuda_build(struct cuda_plan *plan, bool map, struct error *err) MUST_CHECK;
// Uploads the weights that the steps name. FATAL: no memory, device lost.
enum status cuda_pack(struct cuda_plan *plan, const struct weights *weights, struct error *err) MUST_CHECK;

// Memory for slices, the choice of products, and the graphs.
enum status cuda_make_slices(struct cuda_plan *plan, struct error *err) MUST_CHECK;
void cuda_free_slices(struct cuda_plan *plan);
enum status cuda_run(struct plan *plan, const uint8_t *const *views, int count,
                     const struct inference *result, struct error *err);
#endif
