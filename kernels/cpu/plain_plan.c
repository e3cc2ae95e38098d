// plain_plan.c: runs a network with the plain operations, one image after the other, one thread.
//
// A plan holds the weights as floats and a few buffers of the size of the largest activation: an output
// takes a buffer that no later operation reads any more.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "kernels/cpu/denormals.h"
#include "kernels/cpu/executor.h"
#include "kernels/cpu/plain.h"
#include "kernels/image/preprocess.h"
#include "kernels/model/parameters.h"

enum { MAX_BUFFERS = 8 };

// The product of the blocks' attentions of one image; tokens 0: not wanted.
struct rollout {
    int tokens;
    float *mixing; // (tokens, tokens) of the block that ran last
    double *total, *workspace;
};

struct plain_plan {
    struct plan plan;        // first: a plan is one of these
    struct network *network; // ours
    float *weights[NETWORK_MAX_OPERATIONS], *biases[NETWORK_MAX_OPERATIONS];
    int buffer_of[NETWORK_MAX_TENSORS];
    float *buffers[MAX_BUFFERS];
    double *probabilities; // of one row of attention
    float *window;         // of one place of a convolution
    struct rollout rollout;
    int head;        // the operation that gives the logits
    int feature_map; // the tensor a class-activation map is made from; -1: none
    float table[3 * 256];
};

static int last_use(const struct plain_plan *plain, int tensor)
{
    const struct network *network = plain->network;
    bool read_after_all =
        tensor == network->logits || tensor == network->embedding || tensor == plain->feature_map;
    int last = read_after_all ? network->operation_count : -1;
    for (int i = 0; i < network->operation_count; i++)
        if (network->operations[i].input == tensor || network->operations[i].second == tensor)
            last = last > i ? last : i;
    return last;
}

// Gives each operation's output a buffer that is free at that moment. Returns how many there are, 0 when
// MAX_BUFFERS are not enough.
static int place_tensors(struct plain_plan *plain)
{
    int busy_until[MAX_BUFFERS], used = 0; // the operation that reads the buffer last
    for (int i = 0; i < MAX_BUFFERS; i++)
        busy_until[i] = -1;
    for (int i = 0; i < plain->network->operation_count; i++) {
        int output = plain->network->operations[i].output, buffer = 0;
        while (buffer < MAX_BUFFERS && busy_until[buffer] >= i)
            buffer++;
        if (buffer == MAX_BUFFERS)
            return 0;
        busy_until[buffer] = last_use(plain, output);
        plain->buffer_of[output] = buffer;
        used = used > buffer + 1 ? used : buffer + 1;
    }
    return used;
}

static bool read_weights(struct plain_plan *plain, const struct weights *weights)
{
    for (int i = 0; i < plain->network->operation_count; i++) {
        const struct operation *operation = &plain->network->operations[i];
        size_t count = parameters_weight_count(plain->network, operation);
        size_t bias_count = parameters_bias_count(plain->network, operation);
        plain->weights[i] = count ? memory_try_alloc(count * sizeof(float)) : NULL;
        plain->biases[i] = bias_count ? memory_try_alloc(bias_count * sizeof(float)) : NULL;
        if ((count && !plain->weights[i]) || (bias_count && !plain->biases[i]))
            return false;
        parameters_read(plain->network, operation, weights, plain->weights[i], plain->biases[i]);
        parameters_discard_pages(plain->network, operation, weights);
        plain->plan.weight_size += (count + bias_count) * sizeof(float);
    }
    return true;
}

static bool make_rollout(struct rollout *rollout, int tokens)
{
    size_t count = (size_t)tokens * (size_t)tokens;
    rollout->tokens = tokens;
    rollout->mixing = memory_try_alloc(count * sizeof(float));
    rollout->total = memory_try_alloc(count * sizeof(double));
    rollout->workspace = memory_try_alloc(count * sizeof(double));
    return rollout->mixing && rollout->total && rollout->workspace;
}

static bool make_buffers(struct plain_plan *plain, int count)
{
    size_t largest = 0, longest = 0, filter = 0;
    for (int i = 0; i < plain->network->tensor_count; i++) {
        size_t rows = (size_t)plain->network->tensors[i].rows;
        size_t values = rows * (size_t)plain->network->tensors[i].columns;
        largest = largest > values ? largest : values;
        longest = longest > rows ? longest : rows;
    }
    for (int i = 0; i < plain->network->operation_count; i++) {
        const struct operation *operation = &plain->network->operations[i];
        if (operation->kind != OP_CONVOLUTION)
            continue;
        size_t outputs = (size_t)plain->network->tensors[operation->output].columns;
        size_t size = parameters_weight_count(plain->network, operation) / outputs;
        filter = filter > size ? filter : size;
    }
    plain->probabilities = memory_try_alloc(longest * sizeof(double));
    plain->window = memory_try_alloc((filter + 1) * sizeof(float));
    bool good = plain->probabilities && plain->window;
    for (int i = 0; i < count && good; i++)
        good = (plain->buffers[i] = memory_try_alloc(largest * sizeof(float)));
    plain->plan.memory_size += (count * largest + filter + 1) * sizeof(float) + longest * sizeof(double);
    return good;
}

static void plain_plan_free(struct plan *plan)
{
    struct plain_plan *plain = (struct plain_plan *)plan;
    for (int i = 0; i < NETWORK_MAX_OPERATIONS; i++) {
        free(plain->weights[i]);
        free(plain->biases[i]);
    }
    for (int i = 0; i < MAX_BUFFERS; i++)
        free(plain->buffers[i]);
    free(plain->probabilities);
    free(plain->window);
    free(plain->rollout.mixing);
    free(plain->rollout.total);
    free(plain->rollout.workspace);
    free(plain->network);
    free(plain);
}

// What the plan has to keep for its explanation. False: no memory.
static bool make_explanation(struct plain_plan *plain, enum explanation wanted)
{
    const struct network *network = plain->network;
    plain->feature_map = -1;
    for (int i = 0; i < network->operation_count; i++)
        if (network->operations[i].output == network->logits)
            plain->head = i;
    if (wanted == EXPLAIN_ROLLOUT) {
        int tokens = network->tensors[network->operations[network->explained_op].output].rows;
        plain->plan.memory_size += (size_t)tokens * (size_t)tokens * (sizeof(float) + 2 * sizeof(double));
        return make_rollout(&plain->rollout, tokens);
    }
    if (wanted == EXPLAIN_LAST && network->explained_op >= 0 && !network_map_is_attention(network))
        plain->feature_map = network->operations[network->explained_op].output;
    return true;
}

static float *tensor_values(const struct plain_plan *plain, int tensor)
{
    return tensor < 0 ? NULL : plain->buffers[plain->buffer_of[tensor]];
}

static void run_operation(const struct plain_plan *plain, int index, const uint8_t *view, float *attention)
{
    const struct network *network = plain->network;
    const struct operation *operation = &network->operations[index];
    bool last = operation->kind == OP_ATTENTION && index == network->explained_op && !plain->rollout.tokens;
    plain_operation(&(struct plain_call){
        .operation = operation,
        .input_shape = operation->input < 0 ? (struct tensor){0} : network->tensors[operation->input],
        .output_shape = network->tensors[operation->output],
        .input = tensor_values(plain, operation->input),
        .second = tensor_values(plain, operation->second),
        .view = view,
        .table = plain->table,
        .weight = plain->weights[index],
        .bias = plain->biases[index],
        .window = plain->window,
        .output = tensor_values(plain, operation->output),
        .attention = last ? attention : NULL,
        .mixing = plain->rollout.mixing,
        .probabilities = plain->probabilities,
    });
    if (operation->kind == OP_ATTENTION && plain->rollout.tokens)
        plain_rollout(plain->rollout.mixing, plain->rollout.tokens, plain->rollout.total,
                      plain->rollout.workspace);
}

static void start_rollout(const struct rollout *rollout)
{
    size_t tokens = (size_t)rollout->tokens;
    for (size_t i = 0; i < tokens * tokens; i++)
        rollout->total[i] = i % (tokens + 1) == 0; // the identity
}

static void run_image(const struct plain_plan *plain, const uint8_t *view, const struct inference *result)
{
    const struct network *network = plain->network;
    float *logits = result->logits, *attention = result->attention;
    start_rollout(&plain->rollout);
    for (int i = 0; i < network->operation_count; i++) {
        double *part_ms = plain->plan.part_ms;
        int64_t begun_us = part_ms ? clock_monotonic_us() : 0;
        run_operation(plain, i, view, attention);
        if (part_ms)
            part_ms[network_part_of(network, i)] += (double)(clock_monotonic_us() - begun_us) / 1e3;
    }
    memcpy(logits, tensor_values(plain, network->logits), (size_t)network->classes * sizeof(float));
    if (result->embedding)
        memcpy(result->embedding, tensor_values(plain, network->embedding),
               (size_t)plain->plan.embedding_width * sizeof(float));
    for (int i = 1; i < plain->rollout.tokens; i++) // the class token's row without itself
        attention[i - 1] = (float)plain->rollout.total[i];
    if (plain->feature_map >= 0)
        plain_class_activation(tensor_values(plain, plain->feature_map), network->tensors[plain->feature_map],
                               plain->weights[plain->head], logits, network->classes, attention);
}

static enum status plain_run(struct plan *plan, const uint8_t *const *views, int count,
                             const struct inference *result, struct error *err)
{
    (void)err; // nothing can fail
    unsigned before = denormals_to_zero();
    for (int i = 0; i < count; i++) {
        const struct inference of_image = inference_from(plan, result, i);
        run_image((struct plain_plan *)plan, views[i], &of_image);
    }
    denormals_restore(before);
    return STATUS_OK;
}

static const struct plan_ops plan_ops = {.run = plain_run, .free = plain_plan_free};

static enum status prepare(struct cpu_device *device, const struct network *network,
                           const struct weights *weights, const struct plan_options *options,
                           struct plan **plan, struct error *err)
{
    if (options->precision != PRECISION_FP32)
        return error_set(
            err, STATUS_REJECTED,
            "this processor or network has only the plain executor, which can't compute in %s; use fp32",
            precision_names[options->precision]);
    if (options->attention == EXPLAIN_ROLLOUT && !network_map_is_attention(network))
        return error_set(err, STATUS_REJECTED,
                         "%s has no attention to roll out; it has a class-activation map",
                         network->architecture);
    enum status status = STATUS_OK;
    struct plain_plan *plain = memory_alloc(sizeof *plain);
    plain->plan = plan_describe(&device->backend, &plan_ops, network, options);
    plain->network = memory_alloc(sizeof *network);
    *plain->network = *network;
    preprocess_table(network->mean, network->std, plain->table);
    bool good = make_explanation(plain, options->attention);
    int buffers = place_tensors(plain);
    if (buffers == 0)
        status = error_set(err, STATUS_REJECTED, "%s keeps more than %d activations at a time",
                           network->architecture, MAX_BUFFERS);
    else if (!good || !make_buffers(plain, buffers) || !read_weights(plain, weights))
        status = error_set(err, STATUS_FATAL, "no memory for the weights of %s", network->architecture);
    if (status == STATUS_OK)
        *plan = &plain->plan;
    else
        plain_plan_free(&plain->plan);
    return status;
}

const struct executor plain_executor = {.prepare = prepare};
