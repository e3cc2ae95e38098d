// network_fold.c: from the network that is trained to the one that answers.
#include "kernels/network/network.h"

#include <assert.h>

#include "common/base/memory.h"

struct folding {
    const struct network *network;
    struct network *folded;
    int stands_for[NETWORK_MAX_TENSORS]; // the tensor whose values it has now
    int writer[NETWORK_MAX_TENSORS];     // index in folded of the operation that writes it
};

// The convolution writes what the batch normalisation would have written.
static void fold_batchnorm(struct folding *folding, const struct operation *norm)
{
    struct operation *convolution = &folding->folded->operations[folding->writer[norm->input]];
    assert(convolution->kind == OP_CONVOLUTION && network_only_reader(folding->network, norm->input) >= 0);
    convolution->batchnorm = norm->batchnorm;
    convolution->epsilon = norm->epsilon;
    convolution->output = norm->output;
    folding->writer[norm->output] = folding->writer[norm->input];
}

static void copy_operation(struct folding *folding, const struct operation *operation)
{
    struct network *folded = folding->folded;
    struct operation *copy = &folded->operations[folded->operation_count];
    *copy = *operation;
    copy->input = operation->input < 0 ? -1 : folding->stands_for[operation->input];
    copy->second = operation->second < 0 ? -1 : folding->stands_for[operation->second];
    folding->writer[operation->output] = folded->operation_count++;
}

struct network *network_fold(const struct network *network)
{
    struct folding folding = {.network = network, .folded = memory_alloc(sizeof *network)};
    *folding.folded = *network;
    folding.folded->operation_count = 0;
    for (int i = 0; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        folding.stands_for[operation->output] = operation->output;
        if (operation->kind == OP_BATCHNORM)
            fold_batchnorm(&folding, operation);
        else if (operation->kind == OP_DROPOUT)
            folding.stands_for[operation->output] = folding.stands_for[operation->input];
        else
            copy_operation(&folding, operation);
    }
    if (network->explained_op >= 0)
        folding.folded->explained_op = folding.writer[network->operations[network->explained_op].output];
    return folding.folded;
}
