// cnn.h: the fast CPU executor of convolutional networks: operations turned into steps over feature maps that
// are laid out once, in fp32.
//
// cnn_backend.c prepares and runs plans; cnn_build.c turns operations into steps and fuses neighbours;
// cnn_weights.c packs; cnn_run.c runs. A convolution is a product of the packed weights (gemm.h) with the
// windows of its places, which each thread gathers for a block of places at a time; one of one place is the
// product with the map as it lies; one of 3 x 3 is made by Winograd's algorithm where the map is large
// enough. A batch is worked off in chunks of a few images.
//
// Thread: as backend.h says, one at a time for the backend; the team does the work.
#ifndef SKINSIGHT_KERNELS_CPU_CNN_H
#define SKINSIGHT_KERNELS_CPU_CNN_H

#include "kernels/backend.h"
#include "kernels/cpu/conv_ops.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/team.h"
#include "kernels/memory_plan.h"

enum {
    CNN_MAX_STEPS = NETWORK_MAX_OPERATIONS,
    CNN_MAX_TENSORS = NETWORK_MAX_TENSORS + CNN_MAX_STEPS,
};

struct cnn_backend {
    struct backend backend; // first
    struct team *team;      // borrowed
    const struct gemm_kernel *gemm;
    const struct conv_ops *ops;
};

// A feature map of one chunk. Row r of image i begins at memory + its place's offset + (i * rows + r) *
// row_stride.
struct cnn_tensor {
    int rows, columns; // of one image; rows 0: no step makes it
    size_t row_stride;
    struct memory_value memory;
};

enum cnn_step_kind {
    CNN_NORMALISE, // view -> floats
    CNN_PRODUCT,   // convolution or linear layer, with what follows it
    CNN_DEPTHWISE, // convolution with one channel a group, with its activation
    CNN_MAX_POOL,
    CNN_MEAN, // of the rows, or of rows' sums that a depthwise step has left
    CNN_STEP_KIND_COUNT
};

struct cnn_step {
    enum cnn_step_kind kind;
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
    // Filled in by cnn_weights.c
    struct gemm_weights weights; // winograd: of the first point
    size_t point_size;           // winograd: bytes from one point's weights to the next's
    const float *filter, *bias;  // depthwise: (kernel, kernel, filter_stride)
    int filter_stride;
};

struct cnn_plan {
    struct plan plan; // first
    struct cnn_backend *cnn;
    struct network *network; // ours
    int chunk;               // images
    struct cnn_step *steps;
    int step_count;
    struct cnn_tensor *tensors;
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
struct cnn_run {
    const struct cnn_plan *plan;
    const uint8_t *const *views;
    int images;
};

// Opens a backend on a team that outlives it, with the numbers of the backend given (name, device). It only
// prepares and frees plans; backend_close.
struct backend *cnn_backend_open(const struct backend *like, struct team *team,
                                 const struct gemm_kernel *gemm);

// Whether every operation of the network has a step; with_map: also when its class-activation map is wanted.
bool cnn_supports(const struct network *network, bool with_map);

// Fills steps, tensors and sizes of memory of a plan whose backend, network, chunk and feature map are set;
// the network is one that cnn_supports.
void cnn_build(struct cnn_plan *plan);

// Bytes between windows or rows of so many values.
size_t cnn_row_stride(int columns);
// The most tiles of a product's rows that a thread works on at a time.
int cnn_block_tiles(const struct gemm_kernel *kernel, const struct cnn_step *step);
// Bytes between the points of so many rows.
size_t cnn_point_stride(int rows, size_t row_stride);

// Packs the weights that the steps name. FATAL: no memory.
enum status cnn_pack_weights(struct cnn_plan *plan, const struct weights *weights,
                             struct error *err) MUST_CHECK;

// A row of a tensor, counted through the images of the chunk.
static inline float *cnn_row(const struct cnn_plan *plan, int tensor, int row)
{
    const struct cnn_tensor *t = &plan->tensors[tensor];
    return (float *)(plan->memory + plan->places.offsets[t->memory.place] + (size_t)row * t->row_stride);
}

void cnn_run_product(const struct cnn_run *run, const struct cnn_step *step);

// Runs one chunk: views and results of its images; attention NULL: no map.
void cnn_run_chunk(struct cnn_plan *plan, const uint8_t *const *views, int images, float *logits,
                   float *attention);

#endif
