// training.h: a training step on a device. The trainer brings images, labels and a learning rate; it never
// sees an activation.
//
// What is trained lies in four flat blocks of floats, all laid out alike: the network's parameters one after
// the other in the order of its table, each as its tensor's row-major values (training_offset). Checkpoint,
// all-reduce, norm and AdamW are single loops over a block. The running means and variances of batch
// normalisations stand in the block of parameters too: the step changes them, no gradient does.
//
// A step: gradients (forward, loss, backward), exchange (sums over the processes), norm, update (clipping and
// AdamW). training_step does all of it. To validate or save, training_export gives the parameters as weights:
// they go through the ordinary model path, so what is measured is what will be served.
//
// Same bits: a step's result depends on parameters, batch and options, neither on the number of threads nor
// on earlier steps. Dropout is a function of (seed, operation, the image's counter, element): nothing to
// store but the blocks and `steps`, and a run that is resumed goes on bit-equal.
//
// Thread: as the backend, by one thread at a time; the backend's team does the work.
#ifndef SKINSIGHT_KERNELS_TRAINING_H
#define SKINSIGHT_KERNELS_TRAINING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "kernels/backend.h"
#include "kernels/exchange.h"
#include "kernels/model/weights.h"
#include "kernels/network/network.h"
#include "kernels/network/precision.h"

enum { TRAINING_MAX_CLASSES = 64, TRAINING_MAX_BATCH = 4096 };

// AdamW (Loshchilov and Hutter 2019) as PyTorch has it.
struct adamw_options {
    double beta1, beta2, epsilon; // 0.9, 0.999, 1e-8
    double weight_decay;          // 0.05
    bool decay_all;               // every learnt parameter; false: those of kind PARAMETER_MATRIX
};

struct training_options {
    enum precision precision; // FP32, or BF16: operands of the matrix products; parameters stay float
    int max_batch;            // the largest count of a batch, 1 .. TRAINING_MAX_BATCH
    uint64_t seed;            // of the dropout
    double dropout;           // share of values that are dropped, 0 <= dropout < 1
    double label_smoothing;   // 0 <= . < 1: this share of the target is spread over all classes
    double class_weights[TRAINING_MAX_CLASSES]; // > 0; the first `classes` are read
    double diversity;                           // lambda >= 0; without attention it has no effect
    double clip;                                // greatest norm of the gradients, > 0; 0: none
    struct adamw_options adamw;
    double layer_decay; // 0 < . <= 1: a block's learning rate over that of the one behind it
    double head_factor; // > 0: learning rate of the layer that gives the logits, over that of the others
    // The first blocks, and the embedding where there are any, are not trained: they compute as in a network
    // that answers (running statistics, no dropout), and their parameters stay as they are.
    int freeze_blocks;
    double teacher_weight;      // 0 <= . <= 1: the teacher's share of the loss
    double teacher_temperature; // > 0
    struct exchange *exchange;  // NULL: one process. Must outlive the training
};

// What CONTRACTS' defaults are for: fp32, AdamW's usual numbers, no dropout, no diversity, clip 1, all class
// weights 1, one process.
struct training_options training_options_default(void);

// One process's images of a step.
struct training_batch {
    int count;                  // 1 .. max_batch; with an exchange 0, where other processes have images
    const float *const *images; // count pointers to (image_size * image_size, 3) normalised values
    const int *labels;          // 0 .. classes - 1
    const uint64_t *counters;   // of dropout: another number for each image of the whole training
    const float *teacher;       // (count, classes): a teacher's logits; NULL: none
};

// l_i = (1 - teacher_weight) * cross-entropy(label, smoothed)
//       + teacher_weight * T^2 * KL(softmax(teacher / T) || softmax(logits / T))     where there is a teacher
// classification = sum w_i l_i / sum w_i over the images of all processes, w_i the weight of the label's
// class. diversity = mean over images and heads of minus the entropy of the class token's attention in the
// last block. loss = classification + lambda * diversity. The same in every process.
struct training_result {
    double loss, classification, diversity;
    double norm; // of all gradients together, before clipping; set by training_step
};

enum training_block {
    TRAINING_PARAMETERS,
    TRAINING_GRADIENTS,
    TRAINING_FIRST_MOMENTS,
    TRAINING_SECOND_MOMENTS,
    TRAINING_BLOCK_COUNT
};

struct training;

// What a device does; each brings its own (backend_ops.prepare_training).
struct training_ops {
    enum status (*gradients)(struct training *training, const struct training_batch *batch,
                             struct training_result *result, struct error *err);
    enum status (*exchange)(struct training *training, struct error *err);
    enum status (*norm)(struct training *training, double *norm, struct error *err);
    enum status (*update)(struct training *training, double learning_rate, double norm, struct error *err);
    enum status (*save)(struct training *training, enum training_block block, float *values,
                        struct error *err);
    enum status (*load)(struct training *training, enum training_block block, const float *values,
                        struct error *err);
    void (*free)(struct training *training);
};

// What a caller may know; devices put it first in their own struct.
struct training {
    const struct training_ops *ops; // every slot filled
    struct network *network;        // ours, as it is trained (not folded)
    struct training_options options;
    size_t size;          // values of each block
    uint64_t steps;       // updates made so far; who loads the blocks of a checkpoint sets it
    uint64_t memory_size; // bytes of blocks, activations and workspace
    char executor[16];    // "transformer", "convnet", "plain"
};

// weights: what training starts from, every parameter of the network; may be closed afterwards. The network
// is as network_build gives it; it may be freed. Gradients and moments are zero.
// REJECTED: an option out of its bounds; a network, operation or precision that the device can't train, by
// name. FATAL: no memory.
enum status training_prepare(struct backend *backend, const struct network *network,
                             const struct weights *weights, const struct training_options *options,
                             struct training **training, struct error *err) MUST_CHECK;
void training_free(struct training *training); // NULL is allowed; before the backend is closed

// gradients, exchange, norm and update in one. learning_rate: of this step, before layer_decay and
// head_factor. REJECTED: loss or norm is not finite, and the sentence says which; parameters and moments are
// as they were before the step, but for running statistics. FATAL: device or exchange is lost.
enum status training_step(struct training *training, const struct training_batch *batch, double learning_rate,
                          struct training_result *result, struct error *err) MUST_CHECK;

// The parts of a step, for tests and for who wants something between them. gradients writes the block of
// gradients; result->norm stays. Labels and counts are the caller's to get right: they assert.
enum status training_gradients(struct training *training, const struct training_batch *batch,
                               struct training_result *result, struct error *err) MUST_CHECK;
enum status training_exchange(struct training *training, struct error *err) MUST_CHECK;
enum status training_norm(struct training *training, double *norm, struct error *err) MUST_CHECK;
enum status training_update(struct training *training, double learning_rate, double norm,
                            struct error *err) MUST_CHECK;

// Copies a whole block out, or in. values: training->size floats.
enum status training_save(struct training *training, enum training_block block, float *values,
                          struct error *err) MUST_CHECK;
enum status training_load(struct training *training, enum training_block block, const float *values,
                          struct error *err) MUST_CHECK;
// A block of parameters (training_save) as weights with the network's names and shapes, for model_save or
// backend_prepare. Close with weights_close.
struct weights *training_weights(const struct network *network, const float *values);
// The parameters as they stand, as training_weights.
enum status training_export(struct training *training, struct weights **weights,
                            struct error *err) MUST_CHECK;

// Where a parameter's values begin in each block; of parameter_count: the block's size.
size_t training_offset(const struct network *network, int parameter);
// Blocks of the network, in the order of its operations: blocks.N, or layerN.M of a ResNet. freeze_blocks may
// be as many.
int training_block_count(const struct network *network);
// What a parameter is to the update: the learning rate's factor by depth and head, 0 where it is frozen or a
// running statistic.
double training_rate_factor(const struct network *network, int parameter,
                            const struct training_options *options);
bool training_decays(const struct network *network, int parameter, const struct training_options *options);

#endif
