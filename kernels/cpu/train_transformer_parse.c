// train_transformer_parse.c: recognises a vision transformer in a network's operations: patches, tokens,
// blocks as vit.c makes them, with dropout or without, class token, norm, head.
#include "kernels/cpu/train_transformer.h"

struct parsing {
    const struct network *network;
    int at; // operation
    int x;  // tensor that the next one has to read
    bool good;
};

// The next operation if it is of this kind and reads the last one's output; NULL, and nothing is good any
// more, if not.
static const struct operation *take(struct parsing *parsing, enum op_kind kind)
{
    static const struct operation none = {.weight = -1, .bias = -1};
    const struct operation *operation = &parsing->network->operations[parsing->at];
    if (parsing->at >= parsing->network->operation_count || operation->kind != kind ||
        (kind != OP_NORMALISE && operation->input != parsing->x)) {
        parsing->good = false;
        return &none;
    }
    parsing->at++;
    parsing->x = operation->output;
    return operation;
}

static int take_dropout(struct parsing *parsing)
{
    int at = parsing->at;
    if (at >= parsing->network->operation_count || parsing->network->operations[at].kind != OP_DROPOUT)
        return -1;
    take(parsing, OP_DROPOUT);
    return at;
}

static struct train_norm take_norm(struct parsing *parsing)
{
    const struct operation *operation = take(parsing, OP_LAYERNORM);
    return (struct train_norm){operation->weight, operation->bias, operation->epsilon};
}

static struct train_layer take_layer(struct parsing *parsing)
{
    const struct operation *operation = take(parsing, OP_LINEAR);
    struct train_layer layer = {.weight = operation->weight, .bias = operation->bias};
    parsing->good = parsing->good && layer.weight >= 0 && layer.bias >= 0;
    if (parsing->good) {
        layer.n = (int)parsing->network->parameters[layer.weight].shape[0];
        layer.k = (int)parsing->network->parameters[layer.weight].shape[1];
    }
    return layer;
}

// The sum of what has just been computed and `residual`.
static void take_sum(struct parsing *parsing, int residual)
{
    const struct operation *operation = &parsing->network->operations[parsing->at];
    if (operation->kind == OP_ADD && operation->input == residual && operation->second == parsing->x)
        parsing->x = residual; // addition knows no order
    else
        parsing->good = parsing->good && operation->kind == OP_ADD && operation->second == residual;
    take(parsing, OP_ADD);
}

static void take_block(struct parsing *parsing, struct train_shape *shape)
{
    struct train_block *block = &shape->blocks[shape->block_count++];
    int residual = parsing->x;
    block->norm1 = take_norm(parsing);
    block->qkv = take_layer(parsing);
    const struct operation *attention = take(parsing, OP_ATTENTION);
    parsing->good = parsing->good && (shape->heads == 0 || shape->heads == attention->heads);
    shape->heads = attention->heads;
    block->proj = take_layer(parsing);
    block->proj_dropout = take_dropout(parsing);
    take_sum(parsing, residual);
    residual = parsing->x;
    block->norm2 = take_norm(parsing);
    block->fc1 = take_layer(parsing);
    take(parsing, OP_GELU);
    block->gelu_dropout = take_dropout(parsing);
    block->fc2 = take_layer(parsing);
    block->fc2_dropout = take_dropout(parsing);
    take_sum(parsing, residual);
    parsing->good = parsing->good && block->qkv.k == shape->width && block->qkv.n == 3 * shape->width &&
                    block->proj.n == shape->width && block->fc1.k == shape->width &&
                    block->fc2.n == shape->width && (shape->hidden == 0 || shape->hidden == block->fc1.n);
    shape->hidden = block->fc1.n;
}

static void take_embedding(struct parsing *parsing, struct train_shape *shape)
{
    const struct network *network = parsing->network;
    take(parsing, OP_NORMALISE);
    const struct operation *patches = take(parsing, OP_CONVOLUTION);
    const struct operation *tokens = take(parsing, OP_TOKENS);
    parsing->good = parsing->good && network_has_patches(network) && patches->bias >= 0;
    if (!parsing->good)
        return;
    shape->patch = patches->kernel_height;
    shape->side = network->image_size;
    shape->tokens = network->tensors[tokens->output].rows;
    shape->width = network->tensors[tokens->output].columns;
    shape->classes = network->classes;
    shape->patches =
        (struct train_layer){patches->weight, patches->bias, shape->width, 3 * shape->patch * shape->patch};
    shape->cls_token = tokens->weight;
    shape->pos_embed = tokens->bias;
    shape->tokens_dropout = take_dropout(parsing);
}

bool train_transformer_parse(const struct network *network, struct train_shape *shape)
{
    *shape = (struct train_shape){0};
    struct parsing parsing = {.network = network, .good = true};
    take_embedding(&parsing, shape);
    while (parsing.good && shape->block_count < TRAIN_MAX_BLOCKS &&
           network->operations[parsing.at].kind == OP_LAYERNORM)
        take_block(&parsing, shape);
    take(&parsing, OP_FIRST_ROW);
    shape->norm = take_norm(&parsing);
    shape->head_dropout = take_dropout(&parsing);
    shape->head = take_layer(&parsing);
    return parsing.good && shape->block_count > 0 && parsing.at == network->operation_count &&
           parsing.x == network->logits && network_map_is_attention(network);
}
