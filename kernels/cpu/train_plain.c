// train_plain.c: memory, the forward pass of training and the loss. See train_plain.h.
#include "kernels/cpu/train_plain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/dropout.h"
#include "kernels/loss.h"

static const double momentum = 0.1; // of the running statistics, PyTorch's

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void *take(struct train_plain *plain, size_t count, size_t size, bool *good)
{
    void *memory = memory_try_alloc((count + 1) * size);
    plain->memory_size += count * size;
    *good = *good && memory;
    return memory;
}

enum status train_plain_init(struct train_plain *plain, const struct network *network,
                             const struct training_options *options, plain_value *parameters,
                             plain_value *gradients, struct error *err)
{
    *plain = (struct train_plain){
        .network = network, .options = options, .parameters = parameters, .gradients = gradients};
    size_t longest = 0, largest = 0, tensor_rows = 0, columns = 0, batch = (size_t)options->max_batch;
    bool trained[NETWORK_MAX_PARAMETERS], good = true;
    for (int i = 0; i < network->parameter_count; i++) {
        size_t size = parameter_size(&network->parameters[i]);
        trained[i] = training_rate_factor(network, i, options) > 0;
        plain->offsets[i + 1] = plain->offsets[i] + size;
        longest = larger(longest, size);
    }
    gradient_list_make(&plain->list, network, trained);
    for (int i = 0; i < network->tensor_count; i++) {
        size_t size = (size_t)network->tensors[i].rows * (size_t)network->tensors[i].columns;
        largest = larger(largest, size);
        tensor_rows = larger(tensor_rows, (size_t)network->tensors[i].rows);
        columns = larger(columns, (size_t)network->tensors[i].columns);
        plain->values[i] = take(plain, batch * size, sizeof(plain_value), &good);
        if (plain->list.has_gradient[i])
            plain->slopes[i] = take(plain, batch * size, sizeof(plain_value), &good);
    }
    for (int i = 0; i < network->operation_count; i++)
        if (network->operations[i].kind == OP_BATCHNORM)
            plain->norms[i] = take(plain, 2 * columns, sizeof(double), &good);
    plain->window = take(plain, longest, sizeof(plain_value), &good);
    plain->probabilities = take(plain, 2 * tensor_rows, sizeof(double), &good);
    plain->sums = take(plain, 2 * longest + 2 * columns, sizeof(double), &good);
    plain->slope = take(plain, largest, sizeof(double), &good);
    return good ? STATUS_OK
                : error_set(err, STATUS_FATAL, "no memory for a batch of %d images of %s", options->max_batch,
                            network->architecture);
}

void train_plain_release(struct train_plain *plain)
{
    for (int i = 0; i < NETWORK_MAX_TENSORS; i++) {
        free(plain->values[i]);
        free(plain->slopes[i]);
    }
    for (int i = 0; i < NETWORK_MAX_OPERATIONS; i++)
        free(plain->norms[i]);
    free(plain->window);
    free(plain->probabilities);
    free(plain->sums);
    free(plain->slope);
    *plain = (struct train_plain){0};
}

// Means of the columns over the whole batch, of values or (centre given) of their squared distances from it.
static enum status column_means(struct train_plain *plain, int tensor, int images, const double *centre,
                                double *means, double *rows, struct error *err)
{
    const struct tensor *shape = &plain->network->tensors[tensor];
    size_t width = (size_t)shape->columns, count = (size_t)images * (size_t)shape->rows;
    const plain_value *x = plain->values[tensor];
    memset(means, 0, width * sizeof *means);
    for (size_t row = 0; row < count; row++)
        for (size_t i = 0; i < width; i++) {
            double value = x[row * width + i];
            means[i] += centre ? (value - centre[i]) * (value - centre[i]) : value;
        }
    *rows = (double)count;
    enum status status = exchange_sum_doubles(plain->options->exchange, means, width, err);
    if (status == STATUS_OK)
        status = exchange_sum_doubles(plain->options->exchange, rows, 1, err);
    for (size_t i = 0; i < width; i++)
        means[i] /= *rows;
    return status;
}

// Mean and variance of each column to normalise with: the batch's, which also move the running ones, or where
// the operation is frozen those.
static enum status find_norms(struct train_plain *plain, int index, int images, struct error *err)
{
    const struct operation *operation = &plain->network->operations[index];
    size_t width = (size_t)plain->network->tensors[operation->input].columns;
    plain_value *running_mean = plain->parameters + plain->offsets[operation->batchnorm + 2];
    plain_value *running_variance = plain->parameters + plain->offsets[operation->batchnorm + 3];
    double *means = plain->norms[index], *variances = means + width, rows;
    if (index < plain->list.frozen_operations) {
        for (size_t i = 0; i < width; i++) {
            means[i] = running_mean[i];
            variances[i] = running_variance[i];
        }
        return STATUS_OK;
    }
    enum status status = column_means(plain, operation->input, images, NULL, means, &rows, err);
    if (status == STATUS_OK)
        status = column_means(plain, operation->input, images, means, variances, &rows, err);
    if (status != STATUS_OK)
        return status;
    double unbiased = rows > 1 ? rows / (rows - 1) : 1;
    for (size_t i = 0; i < width; i++) {
        running_mean[i] = (plain_value)((1 - momentum) * running_mean[i] + momentum * means[i]);
        running_variance[i] =
            (plain_value)((1 - momentum) * running_variance[i] + momentum * unbiased * variances[i]);
    }
    return STATUS_OK;
}

static enum status batchnorm(struct train_plain *plain, int index, int images, struct error *err)
{
    const struct operation *operation = &plain->network->operations[index];
    const struct tensor *shape = &plain->network->tensors[operation->input];
    size_t width = (size_t)shape->columns, count = (size_t)images * (size_t)shape->rows * width;
    const plain_value *weight = plain->parameters + plain->offsets[operation->weight];
    const plain_value *bias = plain->parameters + plain->offsets[operation->bias];
    const plain_value *x = plain->values[operation->input];
    plain_value *y = plain->values[operation->output];
    double *means = plain->norms[index], *inverse = means + width;
    enum status status = find_norms(plain, index, images, err);
    for (size_t i = 0; i < width; i++)
        inverse[i] = 1 / sqrt(inverse[i] + operation->epsilon);
    for (size_t i = 0; i < count; i++) {
        size_t column = i % width;
        y[i] = (plain_value)((x[i] - means[column]) * inverse[column] * weight[column] + bias[column]);
    }
    return status;
}

static void dropout(struct train_plain *plain, int index, const struct training_batch *batch)
{
    const struct operation *operation = &plain->network->operations[index];
    const struct tensor *shape = &plain->network->tensors[operation->output];
    int count = shape->rows * shape->columns;
    bool frozen = index < plain->list.frozen_operations;
    struct dropout drop = dropout_of(plain->options->seed, index, frozen ? 0 : plain->options->dropout);
    for (int image = 0; image < batch->count; image++) {
        const plain_value *x = train_plain_image(plain, plain->values, operation->input, image);
        plain_value *y = train_plain_image(plain, plain->values, operation->output, image);
        float factors[DROPOUT_GROUP];
        for (int i = 0; i < count; i++) {
            if (i % DROPOUT_GROUP == 0)
                dropout_factors(&drop, batch->counters[image], (uint32_t)i, DROPOUT_GROUP, factors);
            y[i] = x[i] * factors[i % DROPOUT_GROUP];
        }
    }
}

static void as_in_a_plan(struct train_plain *plain, int index, int image)
{
    const struct network *network = plain->network;
    const struct operation *operation = &network->operations[index];
    const plain_value *parameters = plain->parameters;
    plain_operation(&(struct plain_call){
        .operation = operation,
        .input_shape = network->tensors[operation->input],
        .output_shape = network->tensors[operation->output],
        .input = train_plain_image(plain, plain->values, operation->input, image),
        .second =
            operation->second < 0 ? NULL : train_plain_image(plain, plain->values, operation->second, image),
        .weight = operation->weight < 0 ? NULL : parameters + plain->offsets[operation->weight],
        .bias = operation->bias < 0 ? NULL : parameters + plain->offsets[operation->bias],
        .window = plain->window,
        .output = train_plain_image(plain, plain->values, operation->output, image),
        .probabilities = plain->probabilities,
    });
}

// OP_NORMALISE: the images come normalised.
static void take_image(struct train_plain *plain, const struct operation *operation, const float *pixels,
                       int image)
{
    const struct tensor *shape = &plain->network->tensors[operation->output];
    plain_value *values = train_plain_image(plain, plain->values, operation->output, image);
    for (size_t i = 0; i < (size_t)shape->rows * (size_t)shape->columns; i++)
        values[i] = pixels[i];
}

static enum status forward(struct train_plain *plain, const struct training_batch *batch, struct error *err)
{
    const struct network *network = plain->network;
    enum status status = STATUS_OK;
    for (int i = 0; i < network->operation_count && status == STATUS_OK; i++) {
        const struct operation *operation = &network->operations[i];
        if (operation->kind == OP_BATCHNORM)
            status = batchnorm(plain, i, batch->count, err);
        else if (operation->kind == OP_DROPOUT)
            dropout(plain, i, batch);
        else
            for (int image = 0; image < batch->count; image++) {
                if (operation->kind == OP_NORMALISE)
                    take_image(plain, operation, batch->images[image], image);
                else
                    as_in_a_plan(plain, i, image);
            }
    }
    return status;
}

// Sum over the heads of minus the entropy of the class token's weights.
static double negative_entropy(struct train_plain *plain, const struct operation *operation, int image)
{
    int count = plain->network->tensors[operation->input].rows, heads = operation->heads;
    int width = plain->network->tensors[operation->output].columns, head_width = width / heads;
    double *scores = plain->probabilities, total = 0;
    const plain_value *qkv = train_plain_image(plain, plain->values, operation->input, image);
    for (int head = 0; head < heads; head++) {
        const plain_value *q = qkv + head * head_width, *k = q + width;
        double greatest = -INFINITY, sum = 0;
        for (int i = 0; i < count; i++) {
            scores[i] = 0;
            for (int j = 0; j < head_width; j++)
                scores[i] += (double)q[j] * k[(size_t)i * 3 * width + j];
            scores[i] /= sqrt(head_width);
            greatest = scores[i] <= greatest ? greatest : scores[i]; // NaN stays
        }
        for (int i = 0; i < count; i++)
            sum += exp(scores[i] - greatest);
        for (int i = 0; i < count; i++) {
            double log_weight = scores[i] - greatest - log(sum);
            total += exp(log_weight) * log_weight;
        }
    }
    return total;
}

static double diversity_of(struct train_plain *plain, int images, const struct loss_scale *scale)
{
    const struct network *network = plain->network;
    double sum = 0;
    if (!network_map_is_attention(network))
        return 0;
    const struct operation *operation = &network->operations[network->explained_op];
    for (int image = 0; image < images; image++)
        sum += negative_entropy(plain, operation, image);
    return sum / (scale->images * operation->heads);
}

static double classification_of(struct train_plain *plain, const struct training_batch *batch,
                                const struct loss_scale *scale)
{
    const struct network *network = plain->network;
    double logits[TRAINING_MAX_CLASSES], slopes[TRAINING_MAX_CLASSES], sum = 0;
    for (int image = 0; image < batch->count; image++) {
        const plain_value *from = train_plain_image(plain, plain->values, network->logits, image);
        plain_value *to = train_plain_image(plain, plain->slopes, network->logits, image);
        for (int i = 0; i < network->classes; i++)
            logits[i] = from[i];
        sum += loss_classification(plain->options, scale, network->classes, logits, batch->labels[image],
                                   batch->teacher ? batch->teacher + image * network->classes : NULL, slopes);
        for (int i = 0; i < network->classes; i++)
            to[i] = (plain_value)slopes[i];
    }
    return sum;
}

enum status train_plain_gradients(struct train_plain *plain, const struct training_batch *batch,
                                  struct training_result *result, struct error *err)
{
    struct loss_scale scale;
    enum status status = loss_scale_of(plain->options, batch, &scale, err);
    if (status == STATUS_OK)
        status = forward(plain, batch, err);
    if (status != STATUS_OK)
        return status;
    double classification = classification_of(plain, batch, &scale);
    status =
        loss_result(plain->options, classification, diversity_of(plain, batch->count, &scale), result, err);
    if (status == STATUS_OK)
        status = train_plain_backward(plain, batch, &scale, err);
    return status;
}
