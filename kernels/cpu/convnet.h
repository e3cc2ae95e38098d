// convnet.h: the executor of convolutional networks: operations turned into steps over feature maps that
// are laid out once, in fp32.
//
// convnet_plan.c prepares and runs plans; convnet_build.c turns operations into steps and fuses neighbours;
// convnet_weights.c packs; convnet_run.c runs. A convolution is a product of the packed weights (gemm.h) with
// the windows of its places, which each thread gathers for a block of places at a time; one of one place is
// the product with the map as it lies; one of 3 x 3 is made by Winograd's algorithm where the map is large
// enough (winograd.h). A batch is worked off in chunks of a few images.
//
// Thread: as backend.h says, one at a time for the backend; the team does the work.
#ifndef SKINSIGHT_KERNELS_CPU_CONVNET_H
#define SKINSIGHT_KERNELS_CPU_CONVNET_H

#include "kernels/cpu/executor.h"
#include "kernels/memory_plan.h"

enum {
    CONVNET_MAX_STEPS = NETWORK_MAX_OPERATIONS,
    CONVNET_MAX_TENSORS = NETWORK_MAX_TENSORS + CONVNET_MAX_STEPS,
};

// A feature map of one chunk. Row r of image i begins at memory + its place's offset + (i * rows + r) *
// row_stride.
struct convnet_tensor {
    int rows, columns; // of one image; rows 0: no step makes it
    size_t row_stride;
    struct memory_value memory;
};

enum convnet_step_kind {
    CONVNET_NORMALISE, // view -> floats
    CONVNET_PRODUCT,   // convolution or linear layer, with what follows it
    CONVNET_DEPTHWISE, // convolution with one channel a group, with its activation
    CONVNET_MAX_POOL,
    CONVNET_MEAN, // of the rows, or of rows' sums that a depthwise step has left
    CONVNET_STEP_KIND_COUNT
};

struct convnet_step {
    enum convnet_step_kind kind;
    const struct operation *operation; // of the plan's network
    int input, output;                 // tensors
    int residual;                      // added before the activation; -1: none
    int gate;                          // one row that every row of the input is multiplied by; -1: none
    int sums;                          // depthwise: each row of places summed up; -1: not wanted
    int height, width;                 // of the input
    int kernel, stride, padding;
    int output_width;
    enum activation activation;
    bool direct;   // product: the input's rows are the windows
    bool winograd; // product: its rows are tiles (conv_ops.h) of one product for each point
    int rows;      // product: of one image
    int depth;     // product: values of a row
    // Filled in by convnet_weights.c
    struct gemm_weights weights; // winograd: of the first point
    size_t point_size;           // winograd: bytes from one point's weights to the next's
    const float *filter, *bias;  // depthwise: (kernel, kernel, filter_stride)
    int filter_stride;
};

struct convnet_plan {
    struct plan plan; // first
    struct cpu_device *device;
    struct network *network; // ours
    int chunk;               // images
    struct convnet_step *steps;
    int step_count;
    struct convnet_tensor *tensors;
    int tensor_count;
    struct memory_plan places;
    char *memory; // feature maps, then each thread's windows
    size_t memory_size, scratch_offset, scratch_size;
    char *weights;
    size_t weights_size;
    int feature_map;   // tensor that the class-activation map is made from; -1: no map wanted
    float *map_weight; // the head's, for the map
    float table[3 * 256];
};

// One chunk's images.
struct convnet_run {
    const struct convnet_plan *plan;
    const uint8_t *const *views;
    int images;
};

// Fills steps, tensors and sizes of memory of a plan whose device, network, chunk and feature map are set.
// False: an operation has no step, and the plan is only good for being freed.
bool convnet_build(struct convnet_plan *plan);

// Bytes between windows or rows of so many values.
size_t convnet_row_stride(int columns);
// The most tiles of a product's rows that a thread works on at a time.
int convnet_block_tiles(const struct gemm_kernel *kernel, const struct convnet_step *step);

// Packs the weights that the steps name. FATAL: no memory.
enum status convnet_pack_weights(struct convnet_plan *plan, const struct weights *weights,
                                 struct error *err) MUST_CHECK;

// A row of a tensor, counted through the images of the chunk.
static inline float *convnet_row(const struct convnet_plan *plan, int tensor, int row)
{
    const struct convnet_tensor *t = &plan->tensors[tensor];
    return (float *)(plan->memory + plan->places.offsets[t->memory.place] + (size_t)row * t->row_stride);
}

void convnet_run_product(const struct convnet_run *run, const struct convnet_step *step);

// Runs one chunk: views and results of its images; attention NULL: no map.
void convnet_run_chunk(struct convnet_plan *plan, const uint8_t *const *views, int images,
                       const struct inference *result);

#endif
