// import.c: picks a network's tensors out of a weights file, as float32. Main thread.
#include "trainer/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/memory.h"
#include "common/records/lesion.h"
#include "kernels/compute_known.h"
#include "kernels/model/layer_scale.h"
#include "kernels/model/model_private.h"
#include "kernels/model/network_weights.h"
#include "kernels/model/random_weights.h"
#include "kernels/network/network.h"
#include "trainer/new_manifest.h"

// Counters that training leaves in a file and inference has no use for.
static bool is_bookkeeping(const char *name)
{
    static const char suffix[] = ".num_batches_tracked";
    size_t length = strlen(name);
    return length >= sizeof suffix && strcmp(name + length - (sizeof suffix - 1), suffix) == 0;
}

// The linear layer that makes the logits.
static const struct operation *head_of(const struct network *network)
{
    for (int i = 0; i < network->operation_count; i++)
        if (network->operations[i].output == network->logits)
            return &network->operations[i];
    return NULL;
}

static bool is_head(const struct network *network, const char *name)
{
    const struct operation *head = head_of(network);
    int parameter = network_find_parameter(network, name);
    return parameter >= 0 && (parameter == head->weight || parameter == head->bias);
}

// Decides about the head by its rows.
static enum status choose_head(const struct network *network, const struct weights *source,
                               struct import_result *result, struct error *err)
{
    const struct weight *weight = weights_find(source, network->parameters[head_of(network)->weight].name);
    result->head_rows = weight && weight->rank > 0 ? weight->shape[0] : 0;
    result->trained = result->head_rows == network->classes;
    if (!weight || result->trained || result->head_rows == 1000 || result->head_rows == 21843)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED,
                     "tensor '%s' has %lld rows; %d are kept, 1000 or 21843 are replaced, others refused",
                     weight->name, (long long)result->head_rows, network->classes);
}

static void copy_weight(struct weights *target, const struct weight *weight)
{
    float *values = memory_alloc(weight->count * sizeof *values);
    weight_to_float(weight, values);
    weights_add(target, weight->name, weight->rank, weight->shape, values);
    free(values);
}

// Copies what the network uses, the head only where it is kept; refuses what nobody uses, and what has
// another shape, whose size may be anything.
static enum status copy_weights(const struct network *network, const struct weights *source, bool keep_head,
                                struct weights *target, struct error *err)
{
    for (size_t i = 0; i < weights_count(source); i++) {
        const struct weight *weight = weights_at(source, i);
        if (is_bookkeeping(weight->name) || layer_scale_is(weight->name) ||
            (!keep_head && is_head(network, weight->name)))
            continue;
        enum status status = network_check_shape(network, source, weight->name, err);
        if (status != STATUS_OK)
            return status;
        if (weight->dtype != DTYPE_F32 && weight->dtype != DTYPE_F16 && weight->dtype != DTYPE_BF16)
            return error_set(err, STATUS_REJECTED,
                             "tensor '%s' holds whole numbers; F32, F16 or BF16 is needed", weight->name);
        copy_weight(target, weight);
    }
    return layer_scale_fold(source, target, err);
}

static void add_fresh_head(const struct network *network, uint64_t seed, struct weights *target)
{
    const struct operation *head = head_of(network);
    const struct parameter *parameters[] = {&network->parameters[head->weight],
                                            &network->parameters[head->bias]};
    for (int i = 0; i < 2; i++)
        random_weights_add(target, parameters[i]->name, parameters[i]->rank, parameters[i]->shape, seed);
}

static enum status read_source(const struct import_options *options, const struct network *network,
                               struct weights *target, struct import_result *result, struct error *err)
{
    struct weights *source = NULL;
    enum status status = weights_open(&source, options->weights, err);
    if (status != STATUS_OK)
        return status;
    status = choose_head(network, source, result, err);
    if (status == STATUS_OK)
        status = network_fit_weights(network, source, err);
    if (status == STATUS_OK)
        status = copy_weights(network, source, result->trained, target, err);
    if (status == STATUS_OK && !result->trained)
        add_fresh_head(network, options->seed, target);
    if (status == STATUS_OK)
        status = network_check_weights(network, target, err);
    if (status != STATUS_OK)
        error_prefix(err, "%s", options->weights);
    else
        status = weights_check_unchanged(source, err);
    weights_close(source);
    return status;
}

static enum status build_network(const struct import_options *options, struct network **network,
                                 struct error *err)
{
    if (options->image_size == 0)
        return network_build(network, options->architecture, LESION_CLASSES, err);
    return network_build_sized(network, options->architecture, options->image_size, LESION_CLASSES, err);
}

// The model's own file would take the place of the one it is made of.
static enum status check_target(const struct import_options *options, struct error *err)
{
    struct stat source, target;
    if (!options->weights)
        return STATUS_OK;
    char *path = memory_format("%s/" NEW_WEIGHTS_FILE, options->directory);
    bool same = stat(options->weights, &source) == 0 && stat(path, &target) == 0 &&
                source.st_dev == target.st_dev && source.st_ino == target.st_ino;
    free(path);
    return same ? error_set(err, STATUS_REJECTED, "%s would be overwritten: name another directory",
                            options->weights)
                : STATUS_OK;
}

enum status import_model(const struct import_options *options, struct import_result *result,
                         struct error *err)
{
    struct network *network = NULL;
    struct weights *weights = weights_new();
    struct manifest manifest = {0};
    struct known_answers known;
    *result = (struct import_result){0};
    enum status status = build_network(options, &network, err);
    if (status == STATUS_OK)
        status = new_manifest_names(&(struct model_names){options->name, options->model_version},
                                    options->architecture, &manifest, err);
    if (status == STATUS_OK)
        status = check_target(options, err);
    if (status != STATUS_OK)
        goto done;
    if (options->weights)
        status = read_source(options, network, weights, result, err);
    else
        random_weights_fill(weights, network, options->seed);
    known_answers_init(&known);
    if (status == STATUS_OK) {
        status = known_answers_compute(&known, network, weights, err);
        if (status != STATUS_OK && options->weights)
            error_prefix(err, "%s", options->weights);
    }
    if (status != STATUS_OK)
        goto done;
    result->blind = memcmp(known.logits[0], known.logits[1], sizeof known.logits[0]) == 0;
    new_manifest_fill(network, result->trained, &manifest);
    snprintf(result->model_version, sizeof result->model_version, "%s", manifest.model_version);
    status = model_save(options->directory, &manifest, weights, &(struct model_extras){.known = &known}, err);
done:
    weights_close(weights);
    network_free(network);
    return status;
}
