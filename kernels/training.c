// training.c: what is the same for every device: options and their bounds, the layout of the blocks, what
// each parameter is to the update, and the order of a step.
#include "kernels/training.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/model/network_weights.h"

struct training_options training_options_default(void)
{
    struct training_options options = {
        .precision = PRECISION_FP32,
        .max_batch = 64,
        .clip = 1,
        .adamw = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.05},
        .layer_decay = 1,
        .head_factor = 1,
        .teacher_temperature = 1,
    };
    for (int i = 0; i < TRAINING_MAX_CLASSES; i++)
        options.class_weights[i] = 1;
    return options;
}

size_t training_offset(const struct network *network, int parameter)
{
    size_t offset = 0;
    for (int i = 0; i < parameter; i++)
        offset += parameter_size(&network->parameters[i]);
    return offset;
}

// Length of the name of the block that a parameter belongs to ("blocks.3", "layer1.0"); 0: to none.
static size_t block_name_length(const struct parameter *parameter)
{
    const char *name = parameter->name;
    if (strncmp(name, "blocks.", 7) != 0 && strncmp(name, "layer", 5) != 0)
        return 0;
    const char *dot = strchr(name, '.');
    dot = dot ? strchr(dot + 1, '.') : NULL;
    return dot ? (size_t)(dot - name) : 0;
}

static bool begins_block(const struct network *network, int parameter)
{
    size_t length = block_name_length(&network->parameters[parameter]);
    if (length == 0 || parameter == 0)
        return length > 0;
    return block_name_length(&network->parameters[parameter - 1]) != length ||
           strncmp(network->parameters[parameter - 1].name, network->parameters[parameter].name, length) != 0;
}

int training_block_count(const struct network *network)
{
    int blocks = 0;
    for (int i = 0; i < network->parameter_count; i++)
        blocks += begins_block(network, i);
    return blocks;
}

// 0: in front of the blocks; 1 .. blocks: in one; blocks + 1: behind them.
static int depth_of(const struct network *network, int parameter)
{
    int depth = 0;
    for (int i = 0; i <= parameter; i++)
        depth += begins_block(network, i);
    return depth + (depth > 0 && block_name_length(&network->parameters[parameter]) == 0);
}

static bool is_head(const struct network *network, int parameter)
{
    for (int i = 0; i < network->operation_count; i++)
        if (network->operations[i].output == network->logits)
            return network->operations[i].weight == parameter || network->operations[i].bias == parameter;
    return false;
}

double training_rate_factor(const struct network *network, int parameter,
                            const struct training_options *options)
{
    enum parameter_kind kind = network->parameters[parameter].kind;
    int depth = depth_of(network, parameter), blocks = training_block_count(network);
    bool head = is_head(network, parameter);
    if (kind == PARAMETER_MEAN || kind == PARAMETER_VARIANCE)
        return 0;
    if (options->freeze_blocks > 0 && depth <= options->freeze_blocks && !head)
        return 0;
    if (blocks > 0 && !head)
        return pow(options->layer_decay, blocks + 1 - depth);
    return head ? options->head_factor : 1;
}

bool training_decays(const struct network *network, int parameter, const struct training_options *options)
{
    return options->adamw.decay_all || network->parameters[parameter].kind == PARAMETER_MATRIX;
}

static enum status check_numbers(const struct training_options *options, struct error *err)
{
    const struct {
        const char *name, *bounds;
        double value;
        bool good;
    } rows[] = {
        {"dropout", "0 or more and below 1", options->dropout, options->dropout >= 0 && options->dropout < 1},
        {"label smoothing", "0 or more and below 1", options->label_smoothing,
         options->label_smoothing >= 0 && options->label_smoothing < 1},
        {"diversity", "0 or more", options->diversity, options->diversity >= 0},
        {"the greatest norm", "0 or more", options->clip, options->clip >= 0},
        {"AdamW's first beta", "0 or more and below 1", options->adamw.beta1,
         options->adamw.beta1 >= 0 && options->adamw.beta1 < 1},
        {"AdamW's second beta", "0 or more and below 1", options->adamw.beta2,
         options->adamw.beta2 >= 0 && options->adamw.beta2 < 1},
        {"AdamW's epsilon", "above 0", options->adamw.epsilon, options->adamw.epsilon > 0},
        {"weight decay", "0 or more", options->adamw.weight_decay, options->adamw.weight_decay >= 0},
        {"layer decay", "above 0 and at most 1", options->layer_decay,
         options->layer_decay > 0 && options->layer_decay <= 1},
        {"the head's factor", "above 0", options->head_factor, options->head_factor > 0},
        {"the teacher's share", "0 to 1", options->teacher_weight,
         options->teacher_weight >= 0 && options->teacher_weight <= 1},
        {"the teacher's temperature", "above 0", options->teacher_temperature,
         options->teacher_temperature > 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!rows[i].good || !isfinite(rows[i].value))
            return error_set(err, STATUS_REJECTED, "%s is %g; it must be %s", rows[i].name, rows[i].value,
                             rows[i].bounds);
    return STATUS_OK;
}

static enum status check_options(const struct network *network, const struct training_options *options,
                                 struct error *err)
{
    int blocks = training_block_count(network);
    if (options->max_batch < 1 || options->max_batch > TRAINING_MAX_BATCH)
        return error_set(err, STATUS_REJECTED, "a batch of %d images; 1 to %d can be trained",
                         options->max_batch, (int)TRAINING_MAX_BATCH);
    if (network->classes > TRAINING_MAX_CLASSES)
        return error_set(err, STATUS_REJECTED, "%d classes; at most %d can be trained", network->classes,
                         (int)TRAINING_MAX_CLASSES);
    for (int i = 0; i < network->classes; i++)
        if (!(options->class_weights[i] > 0) || !isfinite(options->class_weights[i]))
            return error_set(err, STATUS_REJECTED, "the weight of class %d is %g; it must be above 0", i,
                             options->class_weights[i]);
    if (options->freeze_blocks < 0 || options->freeze_blocks > blocks)
        return error_set(err, STATUS_REJECTED, "%d blocks can't be frozen; %s has %d", options->freeze_blocks,
                         network->architecture, blocks);
    if (options->precision != PRECISION_FP32 && options->precision != PRECISION_BF16)
        return error_set(err, STATUS_REJECTED, "training in %s is not possible; in fp32 or bf16 it is",
                         precision_names[options->precision]);
    return check_numbers(options, err);
}

enum status training_prepare(struct backend *backend, const struct network *network,
                             const struct weights *weights, const struct training_options *options,
                             struct training **training, struct error *err)
{
    *training = NULL;
    enum status status = check_options(network, options, err);
    if (status == STATUS_OK)
        status = network_check_weights(network, weights, err);
    if (status == STATUS_OK)
        status = backend->ops->prepare_training(backend, network, weights, options, training, err);
    assert((status == STATUS_OK) == (*training != NULL));
    return status;
}

void training_free(struct training *training)
{
    if (training)
        training->ops->free(training);
}

enum status training_gradients(struct training *training, const struct training_batch *batch,
                               struct training_result *result, struct error *err)
{
    assert(batch->count >= !training->options.exchange && batch->count <= training->options.max_batch);
    for (int i = 0; i < batch->count; i++)
        assert(batch->labels[i] >= 0 && batch->labels[i] < training->network->classes);
    return training->ops->gradients(training, batch, result, err);
}

enum status training_exchange(struct training *training, struct error *err)
{
    return training->ops->exchange(training, err);
}

enum status training_norm(struct training *training, double *norm, struct error *err)
{
    return training->ops->norm(training, norm, err);
}

enum status training_update(struct training *training, double learning_rate, double norm, struct error *err)
{
    enum status status = training->ops->update(training, learning_rate, norm, err);
    training->steps += status == STATUS_OK;
    return status;
}

enum status training_step(struct training *training, const struct training_batch *batch, double learning_rate,
                          struct training_result *result, struct error *err)
{
    enum status status = training_gradients(training, batch, result, err);
    if (status == STATUS_OK && !isfinite(result->loss))
        status = error_set(
            err, STATUS_REJECTED,
            "the loss is %g: a smaller learning rate, or weights that are sound, may keep it finite",
            result->loss);
    if (status == STATUS_OK)
        status = training_exchange(training, err);
    if (status == STATUS_OK)
        status = training_norm(training, &result->norm, err);
    if (status == STATUS_OK && !isfinite(result->norm))
        status =
            error_set(err, STATUS_REJECTED,
                      "the gradients' norm is %g: a smaller learning rate may keep it finite", result->norm);
    if (status == STATUS_OK)
        status = training_update(training, learning_rate, result->norm, err);
    return status;
}

enum status training_save(struct training *training, enum training_block block, float *values,
                          struct error *err)
{
    return training->ops->save(training, block, values, err);
}

enum status training_load(struct training *training, enum training_block block, const float *values,
                          struct error *err)
{
    return training->ops->load(training, block, values, err);
}

struct weights *training_weights(const struct network *network, const float *values)
{
    struct weights *weights = weights_new();
    for (int i = 0; i < network->parameter_count; i++) {
        const struct parameter *parameter = &network->parameters[i];
        weights_add(weights, parameter->name, parameter->rank, parameter->shape, values);
        values += parameter_size(parameter);
    }
    return weights;
}

enum status training_export(struct training *training, struct weights **weights, struct error *err)
{
    const struct network *network = training->network;
    *weights = NULL;
    float *values = memory_try_alloc(training->size * sizeof *values);
    if (!values)
        return error_set(err, STATUS_FATAL, "no memory for the weights of %s", network->architecture);
    enum status status = training_save(training, TRAINING_PARAMETERS, values, err);
    if (status != STATUS_OK)
        goto done;
    *weights = training_weights(network, values);
done:
    free(values);
    return status;
}
