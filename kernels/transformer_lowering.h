// transformer_lowering.h: from a vision transformer's operations to the steps that every device takes, in the
// order they run, and the values that they pass on.
//
// Three savings are found here. A linear layer takes the GELU and the addition that follow it. A tensor of
// which only the first row is ever read (the class token in the last block) is computed for that row alone,
// its queries included. And a value is stored in the type that its readers multiply. What flows from block to
// block, the sums, stays float in every precision.
//
// A device makes its own steps of these, one for each: kernels/cpu/transformer_build.c,
// kernels/cuda/build_vit.c.
#ifndef SKINSIGHT_KERNELS_TRANSFORMER_LOWERING_H
#define SKINSIGHT_KERNELS_TRANSFORMER_LOWERING_H

#include "kernels/network/network.h"
#include "kernels/storage.h"

enum {
    LOWERED_MAX_STEPS = 2 * NETWORK_MAX_OPERATIONS,
    LOWERED_MAX_VALUES = NETWORK_MAX_TENSORS + LOWERED_MAX_STEPS,
};

enum lowered_kind {
    LOWERED_PATCHES, // view -> rows of pixels of one patch, normalised
    LOWERED_PRODUCT, // linear layer or patch embedding, with GELU or residual
    LOWERED_TOKENS,  // patches -> class token and patches, plus positions
    LOWERED_LAYERNORM,
    LOWERED_ATTENTION,
    LOWERED_GELU,
    LOWERED_ADD,
    LOWERED_CONVERT, // to another storage
    LOWERED_KIND_COUNT
};

// The network's tensors have the tensors' indices; conversions and pixels follow them.
struct lowered_value {
    enum storage storage;
    int rows, columns; // of one image, as they lie; one row where only the first is ever read
    int view_of;       // the value that has the memory, or itself; -1: no step writes it
};

struct lowered_step {
    enum lowered_kind kind;
    const struct operation *operation; // of the network; LOWERED_CONVERT: NULL
    int input, second, output;         // values; second: the residual; -1: none
    int rows;                          // of the output, computed for each image; 1: the first
    int first_column, columns; // product: of the output. Beyond 0: the step before has the columns up to it
    bool gelu;
    bool map; // attention: the explained one
};

// What the device is like.
struct lowering_rules {
    enum storage product;         // what products multiply; the head's stays float
    enum storage attention;       // what attention and the patches' product multiply
    enum storage half;            // for bytes, where what writes a value does not see whole rows
    int column_multiple;          // columns at which a product can begin
    int pixel_multiple;           // a patch's row of pixels has zeros behind it up to a multiple of it
    bool tokens_in_place;         // the patches' product writes behind the class token's row, with positions
    bool attention_keeps_storage; // it writes what it reads, whatever its reader wants
};

struct lowering {
    struct lowered_step steps[LOWERED_MAX_STEPS];
    int step_count;
    struct lowered_value values[LOWERED_MAX_VALUES];
    int value_count;
};

// Whether every operation has a step.
bool transformer_supports(const struct network *network);

// For a network that is supported and outlives the result. Freed with free().
struct lowering *transformer_lower(const struct network *network, const struct lowering_rules *rules);

#endif
