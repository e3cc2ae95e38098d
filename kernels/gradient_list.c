// gradient_list.c: two walks over the operations. Forwards: which tensors depend on what is trained.
// Backwards: the steps. See gradient_list.h.
#include "kernels/gradient_list.h"

#include <string.h>

struct walk {
    struct gradient_list *list;
    const struct network *network;
    bool depends[NETWORK_MAX_TENSORS]; // on a trained parameter
    bool written[NETWORK_MAX_TENSORS]; // its gradient, by a step so far
};

static bool has_trained(const struct operation *operation, const bool *trained)
{
    return (operation->weight >= 0 && trained[operation->weight]) ||
           (operation->bias >= 0 && trained[operation->bias]);
}

static void keep(struct walk *walk, int tensor, bool wanted)
{
    if (wanted)
        walk->list->kept[tensor] = true;
}

static void keep_what_is_read(struct walk *walk, const struct operation *operation,
                              const struct gradient_step *step)
{
    bool input = step->input != GRADIENT_NONE, second = step->second != GRADIENT_NONE;
    switch (operation->kind) {
    case OP_CONVOLUTION:
    case OP_LINEAR:
        keep(walk, operation->input, step->parameters);
        break;
    case OP_BATCHNORM:
    case OP_LAYERNORM:
        keep(walk, operation->input, true);
        break;
    case OP_GELU:
    case OP_SILU:
    case OP_MAX_POOL:
        keep(walk, operation->input, input);
        break;
    case OP_ATTENTION:
        keep(walk, operation->input, input);
        break;
    case OP_RELU:
    case OP_RELU6:
    case OP_SIGMOID:
        keep(walk, operation->output, input);
        break;
    case OP_SCALE:
        keep(walk, operation->input, second);
        keep(walk, operation->second, input);
        break;
    default: // linear in what it reads
        break;
    }
}

static enum gradient_use use_of(struct walk *walk, int tensor)
{
    if (tensor < 0 || !walk->depends[tensor])
        return GRADIENT_NONE;
    bool first = !walk->written[tensor];
    walk->written[tensor] = walk->list->has_gradient[tensor] = true;
    return first ? GRADIENT_STORE : GRADIENT_ADD;
}

static void add_step(struct walk *walk, int index, const bool *trained)
{
    const struct network *network = walk->network;
    const struct operation *operation = &network->operations[index];
    struct gradient_list *list = walk->list;
    if (!walk->depends[operation->output] ||
        (!list->has_gradient[operation->output] && operation->output != network->logits))
        return; // nothing of the loss comes from it
    list->has_gradient[operation->output] = true;
    struct gradient_step *step = &list->steps[list->count++];
    step->operation = index;
    step->parameters = has_trained(operation, trained);
    step->diversity = operation->kind == OP_ATTENTION && index == network->explained_op;
    step->input = use_of(walk, operation->input);
    step->second = use_of(walk, operation->second);
    keep_what_is_read(walk, operation, step);
}

void gradient_list_make(struct gradient_list *list, const struct network *network,
                        const bool trained[NETWORK_MAX_PARAMETERS])
{
    memset(list, 0, sizeof *list);
    struct walk walk = {.list = list, .network = network};
    list->frozen_operations = network->operation_count;
    for (int i = network->operation_count - 1; i >= 0; i--)
        if (has_trained(&network->operations[i], trained))
            list->frozen_operations = i;
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        walk.depends[operation->output] = has_trained(operation, trained) ||
                                          (operation->input >= 0 && walk.depends[operation->input]) ||
                                          (operation->second >= 0 && walk.depends[operation->second]);
    }
    for (int i = network->operation_count - 1; i >= 0; i--)
        add_step(&walk, i, trained);
}
