// fused_attention.c: a unit is one head of one image, or a part of its queries where there are few heads for
// the threads. Keys and values are packed like the weights of a linear layer: keys as panels of tokens,
// values as panels of the head's columns.
#include "kernels/cpu/fused_attention.h"

#include <math.h>
#include <string.h>

#include "kernels/memory_plan.h"

enum { ALIGNMENT = 64, UNITS_PER_THREAD = 6 };

// Where the pieces of one thread's scratch memory begin.
struct layout {
    int key_panels, value_panels;
    int key_depth, value_depth; // head width and tokens, rounded up to the kernel's group
    int width;                  // of a row of scores: whole panels
    size_t keys, values, scores, weights, sums, size;
};

// Keys and values are in the caches already. (A fetch from NULL would walk the page table each time.)
static const char any_line[64];
static const struct gemm_ahead nowhere = {any_line, 0};

static size_t take(size_t *at, size_t size)
{
    size_t begin = *at;
    *at += memory_round_up(size, ALIGNMENT);
    return begin;
}

// A row of scores is followed by at least one place: a zero makes up the last pair of an odd number of
// tokens.
static struct layout layout_of(const struct gemm_kernel *kernel, int tokens, int head_width)
{
    int columns = kernel->panel_columns, group = kernel->group;
    struct layout layout = {
        .key_panels = (tokens + columns - 1) / columns,
        .value_panels = (head_width + columns - 1) / columns,
        .key_depth = (head_width + group - 1) / group * group,
        .value_depth = (tokens + group - 1) / group * group,
    };
    layout.width = layout.key_panels * columns;
    size_t element = (size_t)kernel->element_size, width = (size_t)layout.width;
    size_t rows = (size_t)kernel->tile_rows, at = 0;
    layout.keys = take(&at, width * (size_t)layout.key_depth * element);
    layout.values = take(&at, (size_t)(layout.value_panels * columns) * (size_t)layout.value_depth * element);
    layout.scores = take(&at, rows * width * sizeof(float));
    layout.weights = take(&at, kernel->precision == PRECISION_BF16 ? rows * width * element : 0);
    layout.sums = take(&at, rows * (size_t)(layout.value_panels * columns) * sizeof(float));
    layout.size = at;
    return layout;
}

size_t attention_scratch_size(const struct gemm_kernel *kernel, int tokens, int head_width)
{
    if (kernel->precision == PRECISION_BF16 && head_width % 2)
        return 0;
    return layout_of(kernel, tokens, head_width).size;
}

struct division {
    const struct attention_call *call;
    struct layout layout;
    int parts; // of the queries of one head
};

// panel[depth / group][token][group]: words of `group` values transposed.
static void pack_keys(const struct division *division, const char *from, char *to)
{
    const struct attention_call *call = division->call;
    const struct gemm_kernel *kernel = call->kernel;
    int columns = kernel->panel_columns, words = division->layout.key_depth / kernel->group;
    size_t panel_size = (size_t)columns * (size_t)words * sizeof(uint32_t);
    for (int panel = 0; panel < division->layout.key_panels; panel++) {
        int tokens = call->tokens - panel * columns;
        if (tokens < columns)
            memset(to, 0, panel_size);
        call->ops->transpose((const uint32_t *)from, (int)(call->qkv_stride / sizeof(uint32_t)),
                             tokens < columns ? tokens : columns, words, (uint32_t *)to, columns);
        from += (size_t)columns * call->qkv_stride;
        to += panel_size;
    }
}

static void pack_values_fp32(const struct attention_call *call, const char *from, int columns, int width,
                             char *to)
{
    for (int token = 0; token < call->tokens; token++) {
        memcpy(to, from, (size_t)width * sizeof(float));
        if (width < columns)
            memset(to + (size_t)width * sizeof(float), 0, (size_t)(columns - width) * sizeof(float));
        from += call->qkv_stride;
        to += (size_t)columns * sizeof(float);
    }
}

static void pack_values_bf16(const struct attention_call *call, const char *from, int columns, int width,
                             char *to)
{
    static const uint16_t zeros[GEMM_MAX_PANEL_COLUMNS];
    size_t pair = (size_t)columns * 2 * sizeof(uint16_t);
    for (int token = 0; token < call->tokens; token += 2) {
        bool whole = token + 1 < call->tokens;
        const uint16_t *odd = whole ? (const uint16_t *)(from + call->qkv_stride) : zeros;
        if (width < columns)
            memset(to, 0, pair);
        call->ops->interleave((const uint16_t *)from, odd, width, (uint16_t *)to);
        from += 2 * call->qkv_stride;
        to += pair;
    }
}

// panel[token / group][column][group]
static void pack_values(const struct division *division, const char *from, char *to)
{
    const struct attention_call *call = division->call;
    int columns = call->kernel->panel_columns;
    size_t element = (size_t)call->kernel->element_size;
    for (int panel = 0; panel < division->layout.value_panels; panel++) {
        int width = call->head_width - panel * columns;
        width = width < columns ? width : columns;
        if (call->kernel->precision == PRECISION_BF16)
            pack_values_bf16(call, from, columns, width, to);
        else
            pack_values_fp32(call, from, columns, width, to);
        from += (size_t)columns * element;
        to += (size_t)columns * (size_t)division->layout.value_depth * element;
    }
}

// Scores of up to tile_rows queries, as rows of layout.width, and their exponentials: over the floats or as
// bf16.
static void score_queries(const struct division *division, const char *queries, int rows, char *scratch,
                          float *inverse_sums)
{
    const struct attention_call *call = division->call;
    const struct gemm_kernel *kernel = call->kernel;
    const struct layout *layout = &division->layout;
    int columns = kernel->panel_columns;
    size_t panel_size = (size_t)columns * (size_t)layout->key_depth * (size_t)kernel->element_size;
    float *scores = (float *)(scratch + layout->scores);
    for (int panel = 0; panel < layout->key_panels; panel++)
        kernel->cores[rows](queries, call->qkv_stride, scratch + layout->keys + (size_t)panel * panel_size,
                            call->head_width, scores + panel * columns, layout->width, nowhere);
    float scale = 1.0f / sqrtf((float)call->head_width);
    if (kernel->precision == PRECISION_BF16)
        call->ops->exponentials_bf16(scores, rows, layout->width, scale, call->tokens,
                                     (uint16_t *)(scratch + layout->weights), inverse_sums);
    else
        call->ops->exponentials(scores, rows, layout->width, scale, call->tokens, inverse_sums);
}

// The softmax weights of these rows, where the call wants them. In bf16 their scores are still there.
static void give_weights(const struct division *division, int image_head, int first, int rows,
                         const float *inverse_sums, char *scratch)
{
    const struct attention_call *call = division->call;
    size_t tokens = (size_t)call->tokens, width = (size_t)division->layout.width;
    float *scores = (float *)(scratch + division->layout.scores);
    float again[GEMM_MAX_TILE_ROWS];
    rows = call->weights ? rows : 1;
    if (call->kernel->precision == PRECISION_BF16) {
        call->ops->exponentials(scores, rows, division->layout.width, 1.0f / sqrtf((float)call->head_width),
                                call->tokens, again);
        inverse_sums = again;
    }
    if (call->map && first == 0)
        call->ops->scale(scores + 1, inverse_sums[0], call->tokens - 1,
                         call->map + (size_t)image_head * (tokens - 1));
    for (int row = 0; call->weights && row < rows; row++)
        call->ops->scale(scores + (size_t)row * width, inverse_sums[row], call->tokens,
                         call->weights + ((size_t)image_head * tokens + (size_t)(first + row)) * tokens);
}

// Weighted sums of the values for the same queries, into `output`.
static void sum_values(const struct division *division, int rows, const float *inverse_sums, char *scratch,
                       char *output)
{
    const struct attention_call *call = division->call;
    const struct gemm_kernel *kernel = call->kernel;
    const struct layout *layout = &division->layout;
    bool bf16 = kernel->precision == PRECISION_BF16;
    int columns = kernel->panel_columns, width = layout->value_panels * columns;
    size_t element = (size_t)kernel->element_size;
    size_t panel_size = (size_t)columns * (size_t)layout->value_depth * element;
    const char *weights = scratch + (bf16 ? layout->weights : layout->scores);
    float *sums = (float *)(scratch + layout->sums);
    for (int panel = 0; panel < layout->value_panels; panel++)
        kernel->cores[rows](weights, (size_t)layout->width * element,
                            scratch + layout->values + (size_t)panel * panel_size, layout->value_depth,
                            sums + panel * columns, width, nowhere);
    for (int row = 0; row < rows; row++) {
        char *to = output + (size_t)row * call->output_stride;
        const float *sum = sums + (size_t)row * (size_t)width;
        if (call->output_type == GEMM_OUTPUT_BF16)
            call->ops->scale_bf16(sum, inverse_sums[row], call->head_width, (uint16_t *)to);
        else
            call->ops->scale(sum, inverse_sums[row], call->head_width, (float *)to);
    }
}

static void run_unit(void *context, int unit, int thread)
{
    const struct division *division = context;
    const struct attention_call *call = division->call;
    int part = unit % division->parts, head = unit / division->parts % call->heads;
    int image = unit / division->parts / call->heads;
    int tile_rows = call->kernel->tile_rows, width = call->heads * call->head_width;
    char *scratch = call->scratch + (size_t)thread * division->layout.size;
    size_t element = (size_t)call->kernel->element_size;
    const char *queries = (const char *)call->qkv + (size_t)image * call->qkv_image_stride +
                          (size_t)(head * call->head_width) * element;
    char *output = (char *)call->output + (size_t)image * call->output_image_stride +
                   (size_t)(head * call->head_width) *
                       (call->output_type == GEMM_OUTPUT_BF16 ? sizeof(uint16_t) : sizeof(float));
    pack_keys(division, queries + (size_t)width * element, scratch + division->layout.keys);
    pack_values(division, queries + 2 * (size_t)width * element, scratch + division->layout.values);
    int tiles = (call->queries + tile_rows - 1) / tile_rows;
    int end = tiles * (part + 1) / division->parts;
    for (int tile = tiles * part / division->parts; tile < end; tile++) {
        int row = call->queries * tile / tiles, rows = call->queries * (tile + 1) / tiles - row;
        float inverse_sums[GEMM_MAX_TILE_ROWS];
        score_queries(division, queries + (size_t)row * call->qkv_stride, rows, scratch, inverse_sums);
        sum_values(division, rows, inverse_sums, scratch, output + (size_t)row * call->output_stride);
        if (call->weights || (call->map && row == 0))
            give_weights(division, image * call->heads + head, row, rows, inverse_sums, scratch);
    }
}

void attention_run(struct team *team, const struct attention_call *call)
{
    struct division division = {
        .call = call, .layout = layout_of(call->kernel, call->tokens, call->head_width), .parts = 1};
    int units = call->images * call->heads, threads = team_threads(team);
    // Packing is repeated for every part, so heads are split only where they don't fill the threads evenly.
    int tiles = (call->queries + call->kernel->tile_rows - 1) / call->kernel->tile_rows;
    if (threads > 1 && units < UNITS_PER_THREAD * threads && units % threads)
        division.parts = tiles < 4 ? tiles : 4;
    team_run(team, run_unit, &division, units * division.parts);
}
