// winograd.c: shares out blocks of tiles and runs them. See winograd.h.
#include "kernels/cpu/winograd.h"

enum { LINE = 64, UNITS_PER_THREAD = 12 };

// The tiles of all images, divided into units of a block by a group of panels.
struct winograd_work {
    const struct winograd_product *product;
    int tiles, blocks, groups;
    int held[TEAM_MAX_THREADS]; // the block whose points lie in a thread's scratch; -1: none
};

// A block at work: points of `count` tiles in a thread's scratch, and the sums of a panel behind them.
// Strides are in bytes.
struct winograd_block {
    const struct winograd_product *product;
    int first, count;
    char *points, *sums;
    size_t row, point; // from one tile's values to the next's, from point to point
    size_t sums_row, sums_point;
};

static int point_count(int size)
{
    return (size + 2) * (size + 2);
}

// Whole cache lines. A stride of many powers of two would put the rows of a tile all into the same few places
// of the first-level cache, and points that are an even number of lines apart share few of them.
static size_t row_stride(int depth)
{
    size_t size = ((size_t)depth * sizeof(float) + LINE - 1) / LINE * LINE;
    return size % 1024 == 0 ? size + LINE : size;
}

static size_t point_stride(int rows, size_t row)
{
    return ((size_t)rows * row / LINE | 1) * LINE;
}

static struct winograd_block block_of(const struct winograd_product *product, int first, int end,
                                      char *scratch)
{
    const struct gemm_weights *weights = product->weights;
    struct winograd_block block = {
        .product = product,
        .first = first,
        .count = end - first,
        .points = scratch,
        .row = row_stride(weights->k),
        .sums_row = (size_t)weights->kernel->panel_columns * sizeof(float),
    };
    block.point = point_stride(block.count, block.row);
    block.sums_point = point_stride(block.count, block.sums_row);
    block.sums = scratch + (size_t)point_count(product->size) * block.point;
    return block;
}

int winograd_tiles(int size, int height, int width)
{
    return (height + size - 1) / size * ((width + size - 1) / size);
}

size_t winograd_scratch_size(const struct gemm_kernel *kernel, int size, int block, int depth)
{
    return (size_t)point_count(size) * (point_stride(block, row_stride(depth)) +
                                        point_stride(block, (size_t)kernel->panel_columns * sizeof(float)));
}

// A tile counted through the images, and its image's first place.
static struct winograd_tile tile_of(const struct winograd_product *product, int index, size_t *first_place)
{
    int across = (product->width + product->size - 1) / product->size;
    int of_image = winograd_tiles(product->size, product->height, product->width), at = index % of_image;
    *first_place = (size_t)(index / of_image) * (size_t)product->height * (size_t)product->width;
    return (struct winograd_tile){.size = product->size,
                                  .height = product->height,
                                  .width = product->width,
                                  .y = at / across * product->size,
                                  .x = at % across * product->size};
}

static const float *place_of(const float *map, size_t place, size_t stride)
{
    return (const float *)((const char *)map + place * stride);
}

static void gather_points(const struct winograd_block *block)
{
    const struct winograd_product *product = block->product;
    for (int i = 0; i < block->count; i++) {
        size_t place;
        struct winograd_tile tile = tile_of(product, block->first + i, &place);
        tile.columns = product->weights->k;
        tile.in = place_of(product->in, place, product->in_stride);
        tile.in_stride = product->in_stride;
        tile.out = (float *)(block->points + (size_t)i * block->row);
        tile.out_stride = block->point;
        product->device->conv->winograd_in(&tile);
    }
}

// Places from the sums of their points.
static void finish_points(const struct winograd_block *block, int panel)
{
    const struct winograd_product *product = block->product;
    const struct gemm_weights *weights = product->weights;
    int columns = weights->kernel->panel_columns, column = panel * columns;
    for (int i = 0; i < block->count; i++) {
        size_t place;
        struct winograd_tile tile = tile_of(product, block->first + i, &place);
        tile.columns = weights->n - column < columns ? weights->n - column : columns;
        tile.in = (const float *)(block->sums + (size_t)i * block->sums_row);
        tile.in_stride = block->sums_point;
        tile.out = (float *)place_of(product->out, place, product->out_stride) + column;
        tile.out_stride = product->out_stride;
        tile.bias = weights->bias + column;
        tile.activation = product->activation;
        if (product->residual) {
            tile.residual = place_of(product->residual, place, product->residual_stride) + column;
            tile.residual_stride = product->residual_stride;
        }
        product->device->conv->winograd_out(&tile);
    }
}

// Some tiles' sums at one point, part by part of the depth.
static void sum_parts(const struct winograd_product *product, const char *a, size_t a_row, int rows,
                      const char *w, struct gemm_ahead ahead, float *sums)
{
    const struct gemm_weights *weights = product->weights;
    const struct gemm_kernel *kernel = weights->kernel;
    int parts = (weights->k + product->part_depth - 1) / product->part_depth, columns = kernel->panel_columns;
    _Alignas(LINE) float more[GEMM_MAX_TILE_ROWS * GEMM_MAX_PANEL_COLUMNS];
    for (int part = 0; part < parts; part++) {
        int from = (int)((int64_t)weights->k * part / parts);
        int to = (int)((int64_t)weights->k * (part + 1) / parts);
        kernel->cores[rows](a + (size_t)from * sizeof(float), a_row,
                            w + (size_t)from * (size_t)columns * sizeof(float), to - from, part ? more : sums,
                            columns, ahead);
        ahead.at = (const char *)ahead.at + (size_t)(to - from) * ahead.step;
        if (part)
            product->device->kernels.ops->add(sums, more, rows * columns, sums);
    }
}

static void run_panel(const struct winograd_block *block, int panel)
{
    const struct winograd_product *product = block->product;
    const struct gemm_weights *weights = product->weights;
    int tile_rows = weights->kernel->tile_rows, tiles = (block->count + tile_rows - 1) / tile_rows;
    size_t steps = (size_t)tiles * (size_t)weights->k;
    const char *w = (const char *)weights->data + (size_t)panel * weights->panel_size;
    for (int point = 0; point < point_count(product->size); point++, w += product->point_size) {
        const char *next = point + 1 < point_count(product->size) ? w + product->point_size : w;
        struct gemm_ahead ahead = {next, (weights->panel_size + steps - 1) / steps};
        const char *a = block->points + (size_t)point * block->point;
        char *sums = block->sums + (size_t)point * block->sums_point;
        for (int i = 0; i < tiles; i++) { // spread evenly, so that none is nearly empty
            int row = block->count * i / tiles, rows = block->count * (i + 1) / tiles - row;
            sum_parts(product, a + (size_t)row * block->row, block->row, rows, w, ahead,
                      (float *)(sums + (size_t)row * block->sums_row));
            ahead.at = (const char *)ahead.at + weights->panel_size / (size_t)tiles;
        }
    }
    finish_points(block, panel);
}

static void work_unit(void *context, int unit, int thread)
{
    struct winograd_work *work = context;
    const struct winograd_product *product = work->product;
    int at = unit / work->groups, group = unit % work->groups, panels = product->weights->panels;
    int first = (int)((int64_t)work->tiles * at / work->blocks);
    int end = (int)((int64_t)work->tiles * (at + 1) / work->blocks);
    struct winograd_block block =
        block_of(product, first, end, product->scratch + (size_t)thread * product->scratch_size);
    if (work->held[thread] != at)
        gather_points(&block);
    work->held[thread] = at;
    for (int panel = panels * group / work->groups; panel < panels * (group + 1) / work->groups; panel++)
        run_panel(&block, panel);
}

// Where there are too few blocks for all threads, these share a block's panels.
void winograd_run(const struct winograd_product *product)
{
    struct team *team = product->device->team;
    int threads = team_threads(team), panels = product->weights->panels;
    struct winograd_work work = {.product = product, .groups = 1};
    for (int i = 0; i < threads; i++)
        work.held[i] = -1;
    work.tiles = product->images * winograd_tiles(product->size, product->height, product->width);
    work.blocks = (work.tiles + product->block - 1) / product->block;
    if (threads > 1 && work.blocks < UNITS_PER_THREAD * threads)
        work.groups = (UNITS_PER_THREAD * threads + work.blocks - 1) / work.blocks;
    if (work.groups > panels)
        work.groups = panels;
    team_run(team, work_unit, &work, work.blocks * work.groups);
}
