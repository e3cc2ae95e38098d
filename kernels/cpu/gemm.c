// gemm.c: packing of weights and the division of a product into units of one panel by a block of rows. The
// tiles themselves are computed by the kernels' cores (gemm_core.h), their ends by vector_ops.epilogue.
//
// Order of units: all panels of one block of rows, then the next block: the block of A stays in the
// second-level cache while the weights stream past.
#include "kernels/cpu/gemm.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu/vector_ops.h"
#include "kernels/memory_plan.h"

enum { ALIGNMENT = 64, BLOCK_TILES = 18, UNITS_PER_THREAD = 6 };
enum { INT8_GROUP = 4 }; // group of every kernel of int8

static int panels_of(const struct gemm_kernel *kernel, int n)
{
    return (n + kernel->panel_columns - 1) / kernel->panel_columns;
}

static size_t panel_size_of(const struct gemm_kernel *kernel, int k)
{
    size_t depth = memory_round_up((size_t)k, kernel->quads ? 2 * INT8_GROUP : (size_t)kernel->group);
    return memory_round_up(depth * (size_t)kernel->panel_columns * (size_t)kernel->element_size, ALIGNMENT);
}

static size_t column_vector_size(const struct gemm_kernel *kernel, int n)
{
    return memory_round_up((size_t)panels_of(kernel, n) * (size_t)kernel->panel_columns * sizeof(float),
                           ALIGNMENT);
}

size_t gemm_packed_size(const struct gemm_kernel *kernel, int n, int k)
{
    size_t vectors = kernel->precision == PRECISION_INT8 ? 3 : 1;
    return (size_t)panels_of(kernel, n) * panel_size_of(kernel, k) + vectors * column_vector_size(kernel, n);
}

struct packing {
    struct gemm_weights *packed;
    const float *weights;
    const float *bias;
    char *data;
    float *packed_bias;
    float *scale;
    int32_t *sums;
};

static void pack_column_fp32(const float *from, int k, int columns, float *to)
{
    for (int i = 0; i < k; i++)
        to[(size_t)i * (size_t)columns] = from[i];
}

static uint16_t bf16_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static void pack_column_bf16(const float *from, int k, int columns, uint16_t *to)
{
    for (int i = 0; i < k; i++)
        to[(size_t)(i / 2) * (size_t)(2 * columns) + (size_t)(i % 2)] = bf16_of(from[i]);
}

// The greatest sum of the weights of one sign in a quad: k, k + 1, k + 4, k + 5.
static float greatest_in_quads(const float *from, int k)
{
    float greatest = 0;
    for (int first = 0; first < k; first += 2 * INT8_GROUP) {
        float above[2] = {0}, below[2] = {0};
        for (int i = first; i < k && i < first + 2 * INT8_GROUP; i++) {
            int quad = i / 2 % 2;
            above[quad] += from[i] > 0 ? from[i] : 0;
            below[quad] -= from[i] < 0 ? from[i] : 0;
        }
        for (int quad = 0; quad < 2; quad++) {
            float most = above[quad] > below[quad] ? above[quad] : below[quad];
            greatest = greatest > most ? greatest : most;
        }
    }
    return greatest;
}

// Symmetric, -127..127, by the column's greatest magnitude. The weights of one sign in a quad add up to 128
// at most, which times 255 fits 16 bits: to 126 before they are rounded. Returns the sum of the quantised
// weights. Bytes hold no NaN, so the scale does where a weight is not finite.
static int32_t pack_column_int8(const float *from, int k, bool quads, int columns, int8_t *to, float *scale)
{
    float greatest = 0, most = 127, poison = 0;
    for (int i = 0; i < k; i++) {
        greatest = fmaxf(greatest, fabsf(from[i]));
        poison += from[i] * 0.0f;
    }
    float together = quads ? greatest_in_quads(from, k) : 0;
    if (together / 126 > greatest / most) {
        greatest = together;
        most = 126;
    }
    *scale = greatest / most + poison;
    float inverse = greatest > 0 ? most / greatest : 0.0f;
    int32_t sum = 0;
    for (int i = 0; i < k; i++) {
        int8_t value = (int8_t)lrintf(from[i] * inverse);
        to[(size_t)(i / INT8_GROUP) * (size_t)(INT8_GROUP * columns) + (size_t)(i % INT8_GROUP)] = value;
        sum += value;
    }
    return sum;
}

static void pack_panel(void *context, int panel, int thread)
{
    (void)thread;
    const struct packing *packing = context;
    struct gemm_weights *packed = packing->packed;
    const struct gemm_kernel *kernel = packed->kernel;
    int columns = kernel->panel_columns, k = packed->k;
    char *to = packing->data + (size_t)panel * packed->panel_size;
    memset(to, 0, packed->panel_size);
    for (int column = 0; column < columns; column++) {
        int n = panel * columns + column;
        bool real = n < packed->n;
        packing->packed_bias[n] = real && packing->bias ? packing->bias[n] : 0.0f;
        if (kernel->precision == PRECISION_INT8) {
            packing->scale[n] = 0.0f;
            packing->sums[n] = 0;
        }
        if (!real)
            continue;
        const float *from = packing->weights + (size_t)n * (size_t)k;
        char *first = to + (size_t)column * (size_t)(kernel->group * kernel->element_size);
        if (kernel->precision == PRECISION_INT8)
            packing->sums[n] =
                pack_column_int8(from, k, kernel->quads, columns, (int8_t *)first, &packing->scale[n]);
        else if (kernel->precision == PRECISION_BF16)
            pack_column_bf16(from, k, columns, (uint16_t *)first);
        else
            pack_column_fp32(from, k, columns, (float *)first);
    }
}

void gemm_pack(struct gemm_weights *packed, const struct gemm_kernel *kernel, struct team *team,
               const float *weights, const float *bias, int n, int k, void *memory)
{
    *packed = (struct gemm_weights){.kernel = kernel, .n = n, .k = k, .panels = panels_of(kernel, n)};
    packed->panel_size = panel_size_of(kernel, k);
    char *vectors = (char *)memory + (size_t)packed->panels * packed->panel_size;
    size_t vector_size = column_vector_size(kernel, n);
    struct packing packing = {packed, weights, bias, memory, (float *)vectors, NULL, NULL};
    if (kernel->precision == PRECISION_INT8) {
        packing.scale = (float *)(vectors + vector_size);
        packing.sums = (int32_t *)(vectors + 2 * vector_size);
    }
    packed->data = memory;
    packed->bias = packing.packed_bias;
    packed->scale = packing.scale;
    packed->sums = packing.sums;
    team_run(team, pack_panel, &packing, packed->panels);
}

struct division {
    const struct gemm_call *call;
    int blocks; // of rows, in one image
    int tiles;  // of one image
    int threads;
};

// How the tiles of one image and panel end, as for its first row.
static struct epilogue epilogue_of(const struct gemm_call *call, int image, int panel)
{
    const struct gemm_weights *weights = call->weights;
    int columns = weights->kernel->panel_columns, first = panel * columns;
    size_t out = (size_t)(first - call->first_panel * columns), i = (size_t)image;
    size_t size = call->output == GEMM_OUTPUT_BF16 ? 2 : 4;
    struct epilogue epilogue = {
        .columns = weights->n - first < columns ? weights->n - first : columns,
        .tile_stride = columns,
        .bias = weights->bias + first,
        .gelu = call->gelu,
        .residual_stride = call->residual_stride,
        .output = call->output,
        .c = (char *)call->c + i * call->c_image_stride + out * size,
        .c_stride = call->c_stride,
        .row_scale_stride = call->row_scale_stride,
    };
    if (call->residual)
        epilogue.residual =
            (const float *)((const char *)call->residual + i * call->residual_image_stride) + out;
    if (weights->scale) {
        epilogue.column_scale = weights->scale + first;
        epilogue.column_sums = weights->sums + first;
        epilogue.row_scales =
            (const struct row_scale *)((const char *)call->row_scales + i * call->row_scale_image_stride);
    }
    return epilogue;
}

static void move_down(struct epilogue *epilogue, int rows)
{
    size_t r = (size_t)rows;
    epilogue->c = (char *)epilogue->c + r * epilogue->c_stride;
    if (epilogue->residual)
        epilogue->residual =
            (const float *)((const char *)epilogue->residual + r * epilogue->residual_stride);
    if (epilogue->row_scales)
        epilogue->row_scales =
            (const struct row_scale *)((const char *)epilogue->row_scales + r * epilogue->row_scale_stride);
}

// So that the lines which the tile's end writes come while its sums are computed.
static void fetch_output(const struct epilogue *epilogue, int rows)
{
    size_t size = (size_t)epilogue->columns * (epilogue->output == GEMM_OUTPUT_BF16 ? 2 : 4);
    for (int row = 0; row < rows; row++)
        for (size_t at = 0; at < size; at += ALIGNMENT)
            __builtin_prefetch((char *)epilogue->c + (size_t)row * epilogue->c_stride + at, 1);
}

// What this thread is likely to need after this unit: the others take the units in between.
static const char *next_panel(const struct division *division, int unit)
{
    const struct gemm_call *call = division->call;
    int next = call->first_panel + (unit + division->threads) % call->panel_count;
    return (const char *)call->weights->data + (size_t)next * call->weights->panel_size;
}

// Rows are spread evenly over tiles, so that none is nearly empty.
static int first_row(const struct division *division, int tile)
{
    return (int)((int64_t)division->call->rows * tile / division->tiles);
}

static void run_unit(void *context, int unit, int thread)
{
    (void)thread;
    const struct division *division = context;
    const struct gemm_call *call = division->call;
    const struct gemm_weights *weights = call->weights;
    const struct gemm_kernel *kernel = weights->kernel;
    int panel = call->first_panel + unit % call->panel_count;
    int block = unit / call->panel_count % division->blocks;
    int image = unit / call->panel_count / division->blocks;
    const char *a = (const char *)call->a + (size_t)image * call->a_image_stride;
    const char *w = (const char *)weights->data + (size_t)panel * weights->panel_size;
    int tile = (int)((int64_t)division->tiles * block / division->blocks);
    int end = (int)((int64_t)division->tiles * (block + 1) / division->blocks);
    _Alignas(ALIGNMENT) char sums[GEMM_MAX_TILE_ROWS * GEMM_MAX_PANEL_COLUMNS * sizeof(float)];
    int tiles = end - tile, steps = tiles * ((weights->k + kernel->group - 1) / kernel->group);
    struct gemm_ahead ahead = {next_panel(division, unit),
                               (weights->panel_size + (size_t)steps - 1) / (size_t)steps};
    struct epilogue epilogue = epilogue_of(call, image, panel);
    move_down(&epilogue, first_row(division, tile));
    for (; tile < end; tile++) {
        int row = first_row(division, tile), rows = first_row(division, tile + 1) - row;
        fetch_output(&epilogue, rows);
        kernel->cores[rows](a + (size_t)row * call->a_stride, call->a_stride, w, weights->k, sums,
                            kernel->panel_columns, ahead);
        ahead.at = (const char *)ahead.at + weights->panel_size / (size_t)tiles;
        // The tile's sums are fresh in the first-level cache.
        epilogue.rows = rows;
        call->ops->epilogue(sums, &epilogue);
        move_down(&epilogue, rows);
    }
}

// Tiles are spread evenly over blocks.
void gemm_run(struct team *team, const struct gemm_call *call)
{
    const struct gemm_kernel *kernel = call->weights->kernel;
    struct division division = {.call = call, .threads = team_threads(team)};
    division.tiles = (call->rows + kernel->tile_rows - 1) / kernel->tile_rows;
    int blocks = (division.tiles + BLOCK_TILES - 1) / BLOCK_TILES;
    int wanted = UNITS_PER_THREAD * team_threads(team);
    int units = call->images * call->panel_count;
    if (team_threads(team) > 1 && units * blocks < wanted)
        blocks = (wanted + units - 1) / units;
    division.blocks = blocks < division.tiles ? blocks : division.tiles;
    team_run(team, run_unit, &division, units * division.blocks);
}
