// train_plain_executor.c: train_plain.h behind training.h.
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/cpu/denormals.h"
#include "kernels/cpu/train_blocks.h"
#include "kernels/cpu/train_plain.h"

struct plain_training {
    struct cpu_training cpu; // first
    struct train_plain plain;
};

static enum status gradients(struct training *training, const struct training_batch *batch,
                             struct training_result *result, struct error *err)
{
    unsigned before = denormals_to_zero();
    enum status status =
        train_plain_gradients(&((struct plain_training *)training)->plain, batch, result, err);
    denormals_restore(before);
    return status;
}

static void free_training(struct training *training)
{
    struct plain_training *made = (struct plain_training *)training;
    train_plain_release(&made->plain);
    train_blocks_release(&made->cpu);
    free(made);
}

static const struct training_ops ops = {
    .gradients = gradients,
    .exchange = train_blocks_exchange,
    .norm = train_blocks_norm,
    .update = train_blocks_update,
    .save = train_blocks_save,
    .load = train_blocks_load,
    .free = free_training,
};

static enum status prepare(struct cpu_device *device, const struct network *network,
                           const struct weights *weights, const struct training_options *options,
                           struct training **training, struct error *err)
{
    if (options->precision != PRECISION_FP32)
        return error_set(err, STATUS_REJECTED, "%s can't be trained in %s on this processor; use fp32",
                         network->architecture, precision_names[options->precision]);
    struct plain_training *made = memory_alloc(sizeof *made);
    struct training *base = &made->cpu.training;
    base->ops = &ops;
    strcpy(base->executor, "plain");
    enum status status = train_blocks_init(&made->cpu, device, network, weights, options, err);
    if (status == STATUS_OK)
        status = train_plain_init(&made->plain, base->network, &base->options,
                                  made->cpu.blocks[TRAINING_PARAMETERS], made->cpu.blocks[TRAINING_GRADIENTS],
                                  err);
    base->memory_size += made->plain.memory_size;
    if (status == STATUS_OK)
        *training = base;
    else
        free_training(base);
    return status;
}

const struct train_executor train_plain_executor = {.prepare = prepare};
