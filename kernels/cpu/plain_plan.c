// plain_plan.c: runs a network with the plain operations, one image after the other, one thread.
//
// A plan holds the weights as floats and a few buffers of the size of the largest activation: an output
// takes a buffer that no later operation reads any more.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "kernels/cpu/plain.h"
#include "kernels/preprocess.h"

enum { MAX_BUFFERS = 8 };

struct plain_plan {
    struct plan plan;        // first: a plan is one of these
    struct network *network; // ours
    float *weights[NETWORK_MAX_OPERATIONS], *biases[NETWORK_MAX_OPERATIONS];
    int buffer_of[NETWORK_MAX_TENSORS];
    float *buffers[MAX_BUFFERS];
    double *probabilities; // of one row of attention
    float table[3 * 256];
};

static int last_use(const struct network *network, int tensor)
{
    int last = tensor == network->logits ? network->operation_count : -1;
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
        busy_until[buffer] = last_use(plain->network, output);
        plain->buffer_of[output] = buffer;
        used = used > buffer + 1 ? used : buffer + 1;
    }
    return used;
}

static float *copy_weight(struct plain_plan *plain, const struct weights *weights, const char *name)
{
    const struct weight *weight = weights_find(weights, name);
    assert(weight); // network_check_weights has been asked before
    float *values = memory_try_alloc(weight->count * sizeof(float));
    if (values) {
        weight_to_float(weight, values);
        weights_discard_pages(weights, weight);
        plain->plan.weight_size += weight->count * sizeof(float);
    }
    return values;
}

static bool copy_weights(struct plain_plan *plain, const struct weights *weights)
{
    for (int i = 0; i < plain->network->operation_count; i++) {
        const struct operation *operation = &plain->network->operations[i];
        if (operation->weight[0] && !(plain->weights[i] = copy_weight(plain, weights, operation->weight)))
            return false;
        if (operation->bias[0] && !(plain->biases[i] = copy_weight(plain, weights, operation->bias)))
            return false;
    }
    return true;
}

static bool make_buffers(struct plain_plan *plain, int count)
{
    size_t largest = 0, longest = 0;
    for (int i = 0; i < plain->network->tensor_count; i++) {
        size_t rows = (size_t)plain->network->tensors[i].rows;
        size_t values = rows * (size_t)plain->network->tensors[i].columns;
        largest = largest > values ? largest : values;
        longest = longest > rows ? longest : rows;
    }
    plain->probabilities = memory_try_alloc(longest * sizeof(double));
    bool good = plain->probabilities;
    for (int i = 0; i < count && good; i++)
        good = (plain->buffers[i] = memory_try_alloc(largest * sizeof(float)));
    plain->plan.memory_size = count * largest * sizeof(float) + longest * sizeof(double);
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
    free(plain->network);
    free(plain);
}

static void describe(struct plan *plan, struct backend *backend, const struct network *network,
                     const struct plan_options *options)
{
    bool attention = options->attention && network->attention >= 0;
    *plan = (struct plan){.backend = backend,
                          .max_batch = options->max_batch,
                          .classes = network->classes,
                          .view_size = network->image_size * network->image_size * 3,
                          .heads = attention ? network->operations[network->attention].heads : 0,
                          .map_height = attention ? network->map_height : 0,
                          .map_width = attention ? network->map_width : 0,
                          .flops = network_flops(network),
                          .precision = options->precision};
}

static enum status plain_prepare(struct backend *backend, const struct network *network,
                                 const struct weights *weights, const struct plan_options *options,
                                 struct plan **plan, struct error *err)
{
    if (options->precision != PRECISION_FP32)
        return error_set(err, STATUS_REJECTED, "the plain CPU executor has precision fp32, not %s",
                         precision_names[options->precision]);
    enum status status = network_check_weights(network, weights, err);
    if (status != STATUS_OK)
        return status;
    struct plain_plan *plain = memory_alloc(sizeof *plain);
    describe(&plain->plan, backend, network, options);
    plain->network = memory_alloc(sizeof *network);
    *plain->network = *network;
    preprocess_table(network->mean, network->std, plain->table);
    int buffers = place_tensors(plain);
    if (buffers == 0)
        status = error_set(err, STATUS_REJECTED, "%s keeps more than %d activations at a time",
                           network->architecture, MAX_BUFFERS);
    else if (!copy_weights(plain, weights) || !make_buffers(plain, buffers))
        status = error_set(err, STATUS_FATAL, "no memory for the weights of %s", network->architecture);
    if (status == STATUS_OK)
        *plan = &plain->plan;
    else
        plain_plan_free(&plain->plan);
    return status;
}

static float *tensor_values(const struct plain_plan *plain, int tensor)
{
    return tensor < 0 ? NULL : plain->buffers[plain->buffer_of[tensor]];
}

static void run_image(const struct plain_plan *plain, const uint8_t *view, float *logits, float *attention)
{
    const struct network *network = plain->network;
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        plain_operation(&(struct plain_call){
            .operation = operation,
            .input_shape = operation->input < 0 ? (struct tensor){0} : network->tensors[operation->input],
            .output_shape = network->tensors[operation->output],
            .input = tensor_values(plain, operation->input),
            .second = tensor_values(plain, operation->second),
            .view = view,
            .table = plain->table,
            .weight = plain->weights[i],
            .bias = plain->biases[i],
            .output = tensor_values(plain, operation->output),
            .attention = i == network->attention ? attention : NULL,
            .probabilities = plain->probabilities,
        });
    }
    memcpy(logits, tensor_values(plain, network->logits), (size_t)network->classes * sizeof(float));
}

static enum status plain_run(struct plan *plan, const uint8_t *const *views, int count,
                             const struct inference *result, struct error *err)
{
    (void)err; // nothing can fail
    size_t map_size = (size_t)plan->heads * plan->map_height * plan->map_width;
    for (int i = 0; i < count; i++)
        run_image((struct plain_plan *)plan, views[i], result->logits + (size_t)i * plan->classes,
                  plan->heads ? result->attention + i * map_size : NULL);
    return STATUS_OK;
}

static enum status plain_health(struct backend *backend, struct error *err)
{
    (void)backend;
    (void)err;
    return STATUS_OK;
}

static void plain_close(struct backend *backend)
{
    free(backend);
}

struct backend *cpu_plain_backend_open(void)
{
    static const struct backend_ops ops = {
        .interface_version = BACKEND_INTERFACE_VERSION,
        .prepare = plain_prepare,
        .run = plain_run,
        .plan_free = plain_plan_free,
        .health = plain_health,
        .close = plain_close,
    };
    struct backend *backend = memory_alloc(sizeof *backend);
    *backend = (struct backend){
        .ops = &ops, .name = "cpu", .device = "plain loops", .device_class = "plain", .threads = 1};
    return backend;
}
