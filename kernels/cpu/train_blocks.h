// train_blocks.h: the flat blocks of a training on the processor, and what is a single loop over them:
// exchange, norm, AdamW. Every executor has these; it brings `gradients` and what that needs.
//
// Loops run in pieces of TRAIN_PIECE values by the device's team, or by the caller where it has none. A sum
// is made piece by piece and then over the pieces in their order: the same bits for any number of threads.
#ifndef SKINSIGHT_KERNELS_CPU_TRAIN_BLOCKS_H
#define SKINSIGHT_KERNELS_CPU_TRAIN_BLOCKS_H

#include "kernels/cpu/executor.h"
#include "kernels/training.h"

// Floats behind a block that can be read: vectors take more than the last parameter has.
enum { TRAIN_PIECE = 1 << 16, TRAIN_PADDING = 64 };

struct cpu_training {
    struct training training; // first
    struct cpu_device *device;
    float *blocks[TRAINING_BLOCK_COUNT];
    size_t offsets[NETWORK_MAX_PARAMETERS + 1]; // training_offset
    double rate_factors[NETWORK_MAX_PARAMETERS];
    bool decays[NETWORK_MAX_PARAMETERS];
};

// How the processor trains, by family of networks; cpu_backend.c has the table.
struct train_executor {
    bool needs_team;
    // STATUS_OK with *training NULL: it lacks an operation, the next one is asked.
    enum status (*prepare)(struct cpu_device *device, const struct network *network,
                           const struct weights *weights, const struct training_options *options,
                           struct training **training, struct error *err);
};

extern const struct train_executor train_transformer_executor; // vision transformers (train_transformer.h)
extern const struct train_executor train_convnet_executor;     // convolutional networks (train_convnet.h)
extern const struct train_executor train_plain_executor;       // loops as in the formulas (train_plain.h)

// Fills a zeroed cpu_training but for ops and executor: copies network, options and weights. FATAL: no
// memory.
enum status train_blocks_init(struct cpu_training *cpu, struct cpu_device *device,
                              const struct network *network, const struct weights *weights,
                              const struct training_options *options, struct error *err) MUST_CHECK;
void train_blocks_release(struct cpu_training *cpu); // safe on a zeroed one

// The slots of training_ops but for gradients and free.
enum status train_blocks_exchange(struct training *training, struct error *err);
enum status train_blocks_norm(struct training *training, double *norm, struct error *err);
enum status train_blocks_update(struct training *training, double learning_rate, double norm,
                                struct error *err);
enum status train_blocks_save(struct training *training, enum training_block block, float *values,
                              struct error *err);
enum status train_blocks_load(struct training *training, enum training_block block, const float *values,
                              struct error *err);

// Runs units on the device's team, or on the caller's thread where it has none.
void train_run(struct cpu_device *device, team_unit run, void *context, int units);

#endif
