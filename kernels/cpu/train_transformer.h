// train_transformer.h: the fast executor of vision transformers in training. It recognises the blocks of a
// network (train_transformer_parse.c) and runs them fused: sum, dropout and the LayerNorm behind them in one
// pass over a row, GELU with its dropout, attention without its matrix of weights.
//
// A batch is worked off in chunks of TRAIN_CHUNK images, forward and backward, whose gradients add up in the
// order of the chunks: memory does not grow with the batch. Every sum has a fixed order, and no choice
// depends on the number of threads: neither do the bits. In the last block, what comes behind the attention
// is done for the class token alone.
//
// fp32: all values are float. bf16: operands of matrix products are bf16, as are q, k, v and what GELU reads;
// parameters, sums, residuals, LayerNorm, softmax and the residuals' gradients are float.
//
// Thread: as training.h; the backend's team does the work.
#ifndef SKINSIGHT_KERNELS_CPU_TRAIN_TRANSFORMER_H
#define SKINSIGHT_KERNELS_CPU_TRAIN_TRANSFORMER_H

#include "kernels/cpu/train_blocks.h"
#include "kernels/cpu/train_products.h"
#include "kernels/loss.h"

enum {
    TRAIN_CHUNK = 4,
    TRAIN_MAX_BLOCKS = 64,
    TRAIN_ROWS = 32,        // of one unit of row by row work
    TRAIN_MAX_PATCH = 4096, // values of one: 36 x 36 pixels
};

// Parameters by their indices; dropouts by their operations, -1: none.
struct train_norm {
    int weight, bias;
    float epsilon;
};
struct train_layer {
    int weight, bias, n, k;
};

struct train_block {
    struct train_norm norm1, norm2;
    struct train_layer qkv, proj, fc1, fc2;
    int proj_dropout, gelu_dropout, fc2_dropout;
};

// A network as this executor sees it.
struct train_shape {
    int patch, side, tokens, width, hidden, heads, classes; // side: of the image, in pixels
    struct train_layer patches, head;
    int cls_token, pos_embed, tokens_dropout, head_dropout;
    struct train_norm norm;
    struct train_block blocks[TRAIN_MAX_BLOCKS];
    int block_count;
};

// False: the network is no vision transformer that this executor runs.
bool train_transformer_parse(const struct network *network, struct train_shape *shape);

// What forward keeps of a block for backward, for one chunk. "tail": what comes behind the attention, of all
// tokens or in the last block of the class token.
struct train_kept {
    float *x0, *x1;                         // (tokens), (tail): input; with the attention's added
    float *stats1, *stats2;                 // LayerNorms' mean and 1 / deviation of each row
    char *n1, *qkv, *attended, *n2, *h, *g; // operands
    struct train_linear layers[4];          // qkv, proj, fc1, fc2
};

struct train_transformer {
    struct cpu_training cpu; // first
    struct train_shape shape;
    bool half;
    size_t element; // bytes of an operand's value
    int chunk;
    int frozen; // blocks, and the embedding with them, that are not trained
    struct train_products products;
    const struct gemm_kernel *kernel;
    struct train_linear patches;
    struct train_kept blocks[TRAIN_MAX_BLOCKS]; // frozen ones share their memory
    char *memory;
    size_t memory_size;
    // Of one chunk
    char *pixels;                      // (images * patches, 3 * patch * patch) operand
    float *y;                          // (images * tokens, width)
    float *x_last;                     // (images, width): what the last block gives
    float *class_weights;              // (images, heads, tokens, tokens): first rows are the class token's
    float *dx, *dn;                    // (images * tokens, width)
    char *dy, *dhidden, *dgelu, *dqkv; // operands
    float *norm_sums;                  // of each unit of rows: weight's and bias's
    float *factors;                    // of each thread: a row's dropout
    char *attention_scratch;
    double *head; // of one image: logits and slopes, (classes) each; four rows of width
};

// The images of a chunk at work.
struct train_chunk {
    struct train_transformer *training;
    const struct training_batch *batch;
    const struct loss_scale *scale;
    int first, images; // of the batch
    double classification, diversity;
};

// Packs the layers' parameters. Once a step.
void train_transformer_pack(struct train_transformer *training);
void train_transformer_forward(struct train_chunk *chunk);
// Final norm, head and loss, and their gradients down to what the last block gave: into dx.
void train_transformer_loss(struct train_chunk *chunk);
void train_transformer_backward(struct train_chunk *chunk);

// Rows of a block's tail for each image.
static inline int train_tail_rows(const struct train_transformer *training, int block)
{
    return block + 1 == training->shape.block_count ? 1 : training->shape.tokens;
}
static inline float *train_parameter(const struct train_transformer *training, int parameter)
{
    return training->cpu.blocks[TRAINING_PARAMETERS] + training->cpu.offsets[parameter];
}
static inline float *train_gradient(const struct train_transformer *training, int parameter)
{
    return training->cpu.blocks[TRAINING_GRADIENTS] + training->cpu.offsets[parameter];
}
// The dropout of an operation, as it is in a block. threshold 0: there is none.
struct dropout train_dropout(const struct train_transformer *training, int operation, int block);
// Its factors for one row of an image's tensor, in the thread's memory; NULL: no dropout.
const float *train_factors(const struct train_chunk *chunk, const struct dropout *dropout, int image,
                           size_t row, int count, int thread);

#endif
