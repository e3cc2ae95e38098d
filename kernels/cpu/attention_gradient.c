// attention_gradient.c: see attention_gradient.h. Rows of p and ds are made tile by tile; groups of
// GROUP_TILES tiles are turned into p^T and ds^T, whose products with dy and q come last.
#include "kernels/cpu/attention_gradient.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu/train_products.h"
#include "kernels/memory_plan.h"

enum { ALIGNMENT = 64, GROUP_TILES = 8 };

// What the panels of one head are made of, and where they begin in the scratch memory.
struct panels {
    int columns, depth; // of the matrix: columns, values of each
    size_t at, size;    // size: of one panel
};

struct layout {
    struct panels keys, values;                 // columns: tokens, to be multiplied by q and dy
    struct panels key_rows, queries, gradients; // columns: the head's, to be multiplied by ds, ds^T, p^T
    int width;                                  // of a row of scores
    size_t scores, dp, p, ds, p_turned, ds_turned, sums, size;
    size_t row_size, turned_stride; // bytes of a row of p or ds, and of p^T
};

struct division {
    const struct attention_gradient_call *call;
    struct layout layout;
};

struct unit {
    const struct division *division;
    char *scratch;
    const char *q, *dy; // of the head
    char *dq;
    size_t row_stride, dy_stride; // bytes
};

static const char any_line[64];
static const struct gemm_ahead nowhere = {any_line, 0};

static size_t take(size_t *at, size_t size)
{
    size_t begin = *at;
    *at += memory_round_up(size, ALIGNMENT);
    return begin;
}

static struct panels panels_of(const struct gemm_kernel *kernel, int columns, int depth, size_t *at)
{
    struct panels panels = {.columns = columns, .depth = depth};
    panels.size = train_panels_size(kernel, kernel->panel_columns, depth);
    panels.at = take(at, train_panels_size(kernel, columns, depth));
    return panels;
}

static struct layout layout_of(const struct gemm_kernel *kernel, int tokens, int head_width)
{
    struct layout layout = {0};
    size_t at = 0, element = (size_t)kernel->element_size;
    size_t rows = (size_t)(kernel->tile_rows * GROUP_TILES);
    layout.width = (int)memory_round_up((size_t)tokens, (size_t)kernel->panel_columns);
    layout.keys = panels_of(kernel, tokens, head_width, &at);
    layout.values = panels_of(kernel, tokens, head_width, &at);
    layout.key_rows = panels_of(kernel, head_width, tokens, &at);
    layout.queries = panels_of(kernel, head_width, tokens, &at);
    layout.gradients = panels_of(kernel, head_width, tokens, &at);
    size_t floats = (size_t)(kernel->tile_rows * layout.width) * sizeof(float);
    layout.scores = take(&at, floats);
    layout.dp = take(&at, floats);
    layout.row_size = (size_t)layout.width * element;
    layout.p = take(&at, rows * layout.row_size);
    layout.ds = take(&at, rows * layout.row_size);
    layout.turned_stride = memory_round_up((size_t)(tokens + 1) * element, ALIGNMENT) + ALIGNMENT;
    layout.p_turned = take(&at, (size_t)tokens * layout.turned_stride);
    layout.ds_turned = take(&at, (size_t)tokens * layout.turned_stride);
    size_t width = memory_round_up((size_t)head_width, (size_t)kernel->panel_columns);
    layout.sums = take(&at, (size_t)kernel->tile_rows * width * sizeof(float));
    layout.size = at;
    return layout;
}

size_t attention_gradient_scratch(const struct gemm_kernel *kernel, int tokens, int head_width)
{
    return layout_of(kernel, tokens, head_width).size;
}

// Rows of `tokens` values of the head as columns: panel[depth / group][token][group].
static void pack_tokens(const struct unit *unit, const struct panels *panels, const char *from)
{
    const struct attention_gradient_call *call = unit->division->call;
    int columns = call->kernel->panel_columns, group = call->kernel->group;
    int words = (panels->depth + group - 1) / group;
    char *to = unit->scratch + panels->at;
    for (int first = 0; first < panels->columns; first += columns, to += panels->size) {
        int count = panels->columns - first < columns ? panels->columns - first : columns;
        if (count < columns)
            memset(to, 0, panels->size);
        call->ops->transpose((const uint32_t *)(from + (size_t)first * unit->row_stride),
                             (int)(unit->row_stride / sizeof(uint32_t)), count, words, (uint32_t *)to,
                             columns);
    }
}

// The head's columns of `rows` rows: panel[row / group][column][group].
static void pack_head(const struct unit *unit, const struct panels *panels, const char *from, size_t stride,
                      int rows)
{
    const struct attention_gradient_call *call = unit->division->call;
    const struct train_rows source = {from, stride, rows};
    int columns = call->kernel->panel_columns;
    char *to = unit->scratch + panels->at;
    for (int first = 0; first < panels->columns; first += columns, to += panels->size)
        train_pack_columns(call->kernel, call->train_ops, &source, first,
                           panels->columns - first < columns ? panels->columns - first : columns, to);
}

// out = a times the panels' columns, for up to tile_rows rows of `depth` values.
static void multiply(const struct unit *unit, const struct panels *panels, const char *a, size_t a_stride,
                     int rows, int depth, float *out, int out_stride)
{
    const struct gemm_kernel *kernel = unit->division->call->kernel;
    const char *panel = unit->scratch + panels->at;
    for (int first = 0; first < panels->columns; first += kernel->panel_columns, panel += panels->size)
        kernel->cores[rows](a, a_stride, panel, depth, out + first, out_stride, nowhere);
}

// The entropy's gradient by the class token's weights: log p + 1. (The 1 falls out in ds.)
static void add_diversity(const struct unit *unit, float *dp, const float *weights, float inverse)
{
    const struct attention_gradient_call *call = unit->division->call;
    for (int i = 0; i < call->tokens; i++) {
        double p = (double)weights[i] * inverse;
        if (!(p == 0)) // p log p goes to 0; NaN goes on
            dp[i] += (float)(call->diversity * log(p));
    }
}

// p and ds of up to tile_rows queries from `first` on, and their dq.
static void run_tile(const struct unit *unit, int first, int rows, char *p, char *ds)
{
    const struct attention_gradient_call *call = unit->division->call;
    const struct layout *layout = &unit->division->layout;
    bool half = call->kernel->precision == PRECISION_BF16;
    float *scores = (float *)(unit->scratch + layout->scores), *dp = (float *)(unit->scratch + layout->dp);
    float *sums = (float *)(unit->scratch + layout->sums), inverse[GEMM_MAX_TILE_ROWS];
    float factor = 1.0f / sqrtf((float)call->head_width);
    int width = (int)memory_round_up((size_t)call->head_width, (size_t)call->kernel->panel_columns);
    multiply(unit, &layout->keys, unit->q + (size_t)first * unit->row_stride, unit->row_stride, rows,
             call->head_width, scores, layout->width);
    multiply(unit, &layout->values, unit->dy + (size_t)first * unit->dy_stride, unit->dy_stride, rows,
             call->head_width, dp, layout->width);
    call->ops->exponentials(scores, rows, layout->width, factor, call->tokens, inverse);
    if (first == 0 && call->diversity != 0)
        add_diversity(unit, dp, scores, inverse[0]);
    for (int row = 0; row < rows; row++)
        call->train_ops->softmax_gradient(
            &(struct softmax_row){.count = call->tokens,
                                  .weights = scores + (size_t)row * (size_t)layout->width,
                                  .dp = dp + (size_t)row * (size_t)layout->width,
                                  .inverse = inverse[row],
                                  .factor = factor,
                                  .p = p + (size_t)row * layout->row_size,
                                  .ds = ds + (size_t)row * layout->row_size},
            half);
    multiply(unit, &layout->key_rows, ds, layout->row_size, rows, call->tokens, sums, width);
    for (int row = 0; row < rows; row++)
        call->train_ops->scale(sums + (size_t)row * (size_t)width, NULL, call->head_width,
                               unit->dq + (size_t)(first + row) * unit->row_stride, half);
}

// Rows of p or ds from query `first` on as columns of the turned matrix.
static void turn(const struct unit *unit, char *from, int first, int rows, char *to)
{
    const struct attention_gradient_call *call = unit->division->call;
    const struct layout *layout = &unit->division->layout;
    int stride = (int)(layout->row_size / sizeof(uint32_t));
    int to_stride = (int)(layout->turned_stride / sizeof(uint32_t));
    uint16_t *pair = (uint16_t *)(unit->scratch + layout->scores); // free by now
    if (call->kernel->group == 1) {
        call->ops->transpose((const uint32_t *)from, stride, rows, call->tokens, (uint32_t *)to + first,
                             to_stride);
        return;
    }
    // Two rows of halves become one of words, over the first of them and what follows it.
    if (rows % 2)
        memset(from + (size_t)rows * layout->row_size, 0, layout->row_size);
    for (int row = 0; row < rows; row += 2) {
        char *at = from + (size_t)row * layout->row_size;
        call->ops->interleave((const uint16_t *)at, (const uint16_t *)(at + layout->row_size), call->tokens,
                              pair);
        memcpy(at, pair, (size_t)call->tokens * sizeof(uint32_t));
    }
    call->ops->transpose((const uint32_t *)from, 2 * stride, (rows + 1) / 2, call->tokens,
                         (uint32_t *)to + first / 2, to_stride);
}

// dk or dv of all tokens: the turned matrix times the panels of q or dy.
static void sum_queries(const struct unit *unit, const char *turned, const struct panels *panels, char *out)
{
    const struct attention_gradient_call *call = unit->division->call;
    const struct layout *layout = &unit->division->layout;
    int tile_rows = call->kernel->tile_rows;
    int width = (int)memory_round_up((size_t)call->head_width, (size_t)call->kernel->panel_columns);
    float *sums = (float *)(unit->scratch + layout->sums);
    for (int first = 0; first < call->tokens; first += tile_rows) {
        int rows = call->tokens - first < tile_rows ? call->tokens - first : tile_rows;
        multiply(unit, panels, turned + (size_t)first * layout->turned_stride, layout->turned_stride, rows,
                 call->queries, sums, width);
        for (int row = 0; row < rows; row++)
            call->train_ops->scale(sums + (size_t)row * (size_t)width, NULL, call->head_width,
                                   out + (size_t)(first + row) * unit->row_stride,
                                   call->kernel->precision == PRECISION_BF16);
    }
}

static void run_queries(const struct unit *unit)
{
    const struct attention_gradient_call *call = unit->division->call;
    const struct layout *layout = &unit->division->layout;
    int tile_rows = call->kernel->tile_rows, group = tile_rows * GROUP_TILES;
    char *p = unit->scratch + layout->p, *ds = unit->scratch + layout->ds;
    for (int first = 0; first < call->queries; first += group) {
        int rows = call->queries - first < group ? call->queries - first : group;
        for (int row = 0; row < rows; row += tile_rows)
            run_tile(unit, first + row, rows - row < tile_rows ? rows - row : tile_rows,
                     p + (size_t)row * layout->row_size, ds + (size_t)row * layout->row_size);
        turn(unit, p, first, rows, unit->scratch + layout->p_turned);
        turn(unit, ds, first, rows, unit->scratch + layout->ds_turned);
    }
}

static void run_unit(void *context, int index, int thread)
{
    const struct division *division = context;
    const struct attention_gradient_call *call = division->call;
    int image = index / call->heads, head = index % call->heads, width = call->heads * call->head_width;
    size_t element = (size_t)call->kernel->element_size, part = (size_t)width * element;
    size_t offset = (size_t)(head * call->head_width) * element;
    struct unit unit = {
        .division = division,
        .scratch = call->scratch + (size_t)thread * division->layout.size,
        .row_stride = 3 * part,
        .dy_stride = part,
    };
    size_t first = (size_t)image * (size_t)call->tokens * unit.row_stride + offset;
    unit.q = (const char *)call->qkv + first;
    unit.dq = (char *)call->dqkv + first;
    unit.dy = (const char *)call->dy + (size_t)image * (size_t)call->queries * part + offset;
    pack_tokens(&unit, &division->layout.keys, unit.q + part);
    pack_tokens(&unit, &division->layout.values, unit.q + 2 * part);
    pack_head(&unit, &division->layout.key_rows, unit.q + part, unit.row_stride, call->tokens);
    pack_head(&unit, &division->layout.queries, unit.q, unit.row_stride, call->queries);
    pack_head(&unit, &division->layout.gradients, unit.dy, unit.dy_stride, call->queries);
    run_queries(&unit);
    sum_queries(&unit, unit.scratch + division->layout.ds_turned, &division->layout.queries, unit.dq + part);
    sum_queries(&unit, unit.scratch + division->layout.p_turned, &division->layout.gradients,
                unit.dq + 2 * part);
    for (int row = call->queries; row < call->tokens; row++)
        memset(unit.dq + (size_t)row * unit.row_stride, 0, (size_t)call->head_width * element);
}

void attention_gradient_run(struct team *team, const struct attention_gradient_call *call)
{
    struct division division = {.call = call,
                                .layout = layout_of(call->kernel, call->tokens, call->head_width)};
    team_run(team, run_unit, &division, call->images * call->heads);
}
