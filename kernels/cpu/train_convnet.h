// train_convnet.h: the fast executor of convolutional networks in training, fp32 and bf16. It walks the
// operations and the backward list (gradient_list.h) with the whole batch, as batch normalisation needs it.
// bf16 are the operands of products over windows; everything else, Winograd's points too, is float.
//
// Convolutions are matrix products over places (train_convnet_product.c): forward and the input's gradient
// gather windows for gemm.h's cores, the filter's gradient multiplies rows where they lie. Those of 3 x 3
// with stride 1 are made by Winograd's algorithm, forward and back (train_convnet_winograd.c). A batch
// normalisation takes the activation behind it along, forward and back, and computes its own output again
// instead of keeping it. Values and gradients share one block of memory: a value's place is taken when its
// last reader, forward or back, is through.
//
// Every sum has a fixed order: blocks of rows or images of a size that only shapes decide, added up in their
// order, of each half of the batch for itself. The bits do not depend on the number of threads, and two
// processes, which have a half each, get those of one.
//
// Thread: as training.h; the backend's team does the work.
#ifndef SKINSIGHT_KERNELS_CPU_TRAIN_CONVNET_H
#define SKINSIGHT_KERNELS_CPU_TRAIN_CONVNET_H

#include "kernels/cpu/train_blocks.h"
#include "kernels/cpu/train_conv_ops.h"
#include "kernels/gradient_list.h"

enum { CONVNET_CHUNK = 4 }; // images whose filter gradients are summed in one pass

struct train_convnet {
    struct cpu_training cpu; // first
    struct gradient_list list;
    const struct train_conv_ops *ops;
    const struct gemm_kernel *kernel;      // of products over windows: float or bf16 operands
    const struct gemm_kernel *tile_kernel; // of Winograd's products: float
    const struct vector_ops *half;         // what rounds operands to bf16; NULL: they are floats
    int fused[NETWORK_MAX_OPERATIONS];    // of a batch normalisation: the activation it takes along; -1: none
    bool skipped[NETWORK_MAX_OPERATIONS]; // activations that are taken along
    float *values[NETWORK_MAX_TENSORS];   // of max_batch images; NULL: nobody stores it
    float *slopes[NETWORK_MAX_TENSORS];   // the loss's gradient by them
    float *norms[NETWORK_MAX_OPERATIONS]; // batch normalisation: means, then 1 / deviations
    char *memory;
    size_t memory_size;
    // Workspace, each as large as the largest operation needs it
    float *panels;     // packed weights, or a depthwise convolution's in the order of its taps
    float *scratch;    // of each thread: gathered windows
    float *padded;     // a chunk's input with its padding; bf16: operands of a filter's gradient
    float *sums;       // a filter's gradient in the order of its taps, in one part or several
    float *partials;   // of each block of rows: two for each column
    float *columns;    // six for each column
    double *totals;    // two for each column and one
    float *zeros;      // a bias of 0
    float *first_half; // gradients of one operation's parameters, of half a batch
    size_t scratch_size;
};

// A batch at work.
struct convnet_batch {
    struct train_convnet *training;
    const struct training_batch *batch;
    int images;
};

// Rows of a block of row by row work: depends on the width alone. Few: their sums are floats.
static inline int convnet_block_rows(int columns)
{
    return columns < 128 ? 256 : columns < 32768 ? 32768 / columns : 1;
}
static inline float *convnet_parameter(const struct train_convnet *training, int parameter)
{
    return parameter < 0 ? NULL
                         : training->cpu.blocks[TRAINING_PARAMETERS] + training->cpu.offsets[parameter];
}
static inline float *convnet_gradient(const struct train_convnet *training, int parameter)
{
    return training->cpu.blocks[TRAINING_GRADIENTS] + training->cpu.offsets[parameter];
}
static inline const struct operation *convnet_operation(const struct train_convnet *training, int index)
{
    return &training->cpu.training.network->operations[index];
}
static inline struct tensor convnet_shape(const struct train_convnet *training, int tensor)
{
    return training->cpu.training.network->tensors[tensor];
}
static inline size_t convnet_size(const struct train_convnet *training, int tensor) // of one image
{
    struct tensor shape = convnet_shape(training, tensor);
    return (size_t)shape.rows * (size_t)shape.columns;
}

// A convolution, or a linear layer as one of 1 x 1 over a map of one line.
struct convnet_filter {
    int height, width, channels; // input
    int output_height, output_width, outputs;
    int kernel, stride, padding; // above and left of the map; the rest follows from the output's size
};

// A side of the input with the zeros around it that windows reach.
static inline int convnet_padded_side(const struct convnet_filter *filter, int side, int output_side)
{
    int reached = (output_side - 1) * filter->stride + filter->kernel, given = filter->padding + side;
    return reached > given ? reached : given;
}

// train_convnet_product.c: convolutions that are not depthwise, and OP_LINEAR.
struct convnet_need { // of workspace, in values
    size_t panels, scratch, padded, sums, zeros;
};
// Raises need to what the operation asks of it.
void train_convnet_product_need(const struct train_convnet *training, int index, struct convnet_need *need);
void train_convnet_product(const struct convnet_batch *batch, int index);
struct convnet_filter train_convnet_filter(const struct train_convnet *training, int index);
void train_convnet_product_backward(const struct convnet_batch *batch, const struct gradient_step *step);
// train_convnet_winograd.c: those of 3 x 3 that it is asked for.
bool train_convnet_uses_winograd(const struct convnet_filter *filter);
void train_convnet_winograd_need(const struct train_convnet *training, const struct convnet_filter *filter,
                                 struct convnet_need *need);
void train_convnet_winograd(const struct convnet_batch *batch, int index,
                            const struct convnet_filter *filter);
void train_convnet_winograd_input_gradient(const struct convnet_batch *batch,
                                           const struct gradient_step *step,
                                           const struct convnet_filter *filter);
// The filter's gradient into training->sums, as (parts, outputs, taps, channels). Returns the parts.
int train_convnet_winograd_taps(const struct convnet_batch *batch, int index,
                                const struct convnet_filter *filter);
// train_convnet_weight.c
void train_convnet_weight_need(const struct train_convnet *training, const struct convnet_filter *filter,
                               struct convnet_need *need);
// Adds to the block of gradients.
void train_convnet_weight_gradient(const struct convnet_batch *batch, int index,
                                   const struct convnet_filter *filter);

// train_convnet_halves.c: calls `add`, which adds the gradients of an operation's parameters to the block of
// gradients, for each half of the batch (exchange_middle); the second half's are summed from zero.
void train_convnet_halves(const struct convnet_batch *batch, int index,
                          void (*add)(const struct convnet_batch *half, int index));

// train_convnet_norm.c. FATAL: the exchange is lost.
enum status train_convnet_norm(const struct convnet_batch *batch, int index, struct error *err) MUST_CHECK;
enum status train_convnet_norm_backward(const struct convnet_batch *batch, const struct gradient_step *step,
                                        struct error *err) MUST_CHECK;

// train_convnet_rows.c: everything else.
bool train_convnet_is_depthwise(const struct operation *operation, struct tensor input, struct tensor output);
enum activation train_convnet_activation(enum op_kind kind); // ACTIVATION_NONE: it is none
void train_convnet_rows(const struct convnet_batch *batch, int index);
void train_convnet_rows_backward(const struct convnet_batch *batch, const struct gradient_step *step);

#endif
