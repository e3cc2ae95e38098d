// resize.c: drives the two passes of a resize over a ring of narrowed rows, picks the kernels for this CPU,
// and holds the plain kernels that the others are tested against.
//
// Output rows are made from top to bottom. Each needs a window of consecutive source rows; the ring holds
// the narrowed form of the window and of the up to three rows that were narrowed along with its last one.
// Where the columns are summed first, four output rows at a time need no ring, only four whole rows.
#include "kernels/image/resize.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cpu_features.h"
#include "common/base/memory.h"

static void plain_row(const struct resize_axis *axis, const uint8_t *row, uint8_t *output)
{
    for (int x = 0; x < axis->count; x++) {
        const int32_t *weight = axis->weight + (size_t)x * (size_t)axis->taps;
        const uint8_t *pixel = row + (size_t)axis->first[x] * 3;
        int32_t sum[3] = {1 << (RESIZE_FRACTION_BITS - 1), 1 << (RESIZE_FRACTION_BITS - 1),
                          1 << (RESIZE_FRACTION_BITS - 1)};
        for (int t = 0; t < axis->used[x]; t++, pixel += 3)
            for (int c = 0; c < 3; c++)
                sum[c] += pixel[c] * weight[t];
        // Weights are not negative and add up to 2^22 within a rounding each: no sum leaves 0..255.
        for (int c = 0; c < 3; c++)
            output[x * 3 + c] = (uint8_t)(sum[c] >> RESIZE_FRACTION_BITS);
    }
}

static void plain_horizontal(const struct resize_axis *axis, const uint8_t *const rows[RESIZE_ROWS],
                             uint8_t *const outputs[RESIZE_ROWS])
{
    for (int i = 0; i < RESIZE_ROWS; i++)
        plain_row(axis, rows[i], outputs[i]);
}

static void plain_vertical(const struct resize_axis *axis, int index, const uint8_t *const *rows,
                           uint8_t *output, size_t size)
{
    const int32_t *weight = axis->weight + (size_t)index * (size_t)axis->taps;
    for (size_t x = 0; x < size; x++) {
        int32_t sum = 1 << (RESIZE_FRACTION_BITS - 1);
        for (int t = 0; t < axis->used[index]; t++)
            sum += rows[t][x] * weight[t];
        output[x] = (uint8_t)(sum >> RESIZE_FRACTION_BITS);
    }
}

const struct resize_kernels resize_plain = {"plain", plain_horizontal, plain_horizontal, plain_vertical};

const struct resize_kernels *resize_kernels_at(int index)
{
    const struct resize_kernels *known[3] = {&resize_plain};
    int count = 1;
    struct cpu_features features = cpu_features_get();
    if (features.avx2)
        known[count++] = &resize_avx2;
    if (features.avx512)
        known[count++] = &resize_avx512;
    return index < count ? known[index] : NULL;
}

const struct resize_kernels *resize_kernels_best(void)
{
    int last = 0;
    while (resize_kernels_at(last + 1))
        last++;
    return resize_kernels_at(last);
}

struct resizer {
    const struct resize_kernels *kernels;
    const struct image *source;
    struct resize_axis across;
    struct resize_axis down;
    size_t stride;    // bytes of a ring row, padded
    size_t ring_rows; // rows in the ring
    uint8_t *ring;    // ring_rows, then one row for output, then one for what nobody needs
    // Four rows as wide as the source, padded: the last ones of the picture, or sums of columns.
    uint8_t *whole_rows;
    const uint8_t **rows; // down.taps pointers
    int narrowed;         // source rows before this one have been narrowed
};

static uint8_t *ring_row(const struct resizer *resizer, int y)
{
    return resizer->ring + (size_t)y % resizer->ring_rows * resizer->stride;
}

static uint8_t *whole_row(const struct resizer *resizer, int index)
{
    return resizer->whole_rows + (size_t)index * ((size_t)resizer->source->width * 3 + RESIZE_PADDING);
}

static void narrow(const struct resizer *resizer, const uint8_t *const rows[RESIZE_ROWS],
                   uint8_t *const outputs[RESIZE_ROWS])
{
    bool pairs = resizer->across.most == RESIZE_PAIR;
    (pairs ? resizer->kernels->horizontal_pairs : resizer->kernels->horizontal)(&resizer->across, rows,
                                                                                outputs);
}

// Narrows the last rows of the picture: they are copied to where reading beyond their ends is allowed. Where
// fewer than four are left, the last one is narrowed again into a row that nobody reads.
static void narrow_last_rows(struct resizer *resizer)
{
    const struct image *source = resizer->source;
    size_t size = (size_t)source->width * 3;
    uint8_t *unused = resizer->ring + (resizer->ring_rows + 1) * resizer->stride;
    const uint8_t *rows[RESIZE_ROWS];
    uint8_t *outputs[RESIZE_ROWS];
    int y = resizer->narrowed;
    for (int i = 0; i < RESIZE_ROWS; i++) {
        bool exists = y + i < source->height;
        uint8_t *copy = whole_row(resizer, i);
        if (exists)
            memcpy(copy, source->pixels + (size_t)(y + i) * size, size);
        rows[i] = exists || i == 0 ? copy : rows[i - 1]; // the first one always exists
        outputs[i] = exists ? ring_row(resizer, y + i) : unused;
    }
    narrow(resizer, rows, outputs);
    resizer->narrowed = y + RESIZE_ROWS;
}

static void narrow_rows(struct resizer *resizer)
{
    const struct image *source = resizer->source;
    int y = resizer->narrowed;
    size_t size = (size_t)source->width * 3;
    size_t left = (size_t)(source->height - y) * size;
    if (left < RESIZE_ROWS * size + RESIZE_PADDING) {
        narrow_last_rows(resizer);
        return;
    }
    const uint8_t *rows[RESIZE_ROWS];
    uint8_t *outputs[RESIZE_ROWS];
    for (int i = 0; i < RESIZE_ROWS; i++) {
        rows[i] = source->pixels + (size_t)(y + i) * size;
        outputs[i] = ring_row(resizer, y + i);
    }
    narrow(resizer, rows, outputs);
    resizer->narrowed = y + RESIZE_ROWS;
}

static void narrow_then_shorten(struct resizer *resizer, uint8_t *view)
{
    const struct resize_axis *down = &resizer->down;
    size_t size = (size_t)resizer->across.count * 3;
    uint8_t *output = resizer->ring + resizer->ring_rows * resizer->stride;
    resizer->narrowed = down->first[0];
    for (int i = 0; i < down->count; i++) {
        int begin = down->first[i];
        int end = begin + down->used[i];
        while (resizer->narrowed < end)
            narrow_rows(resizer);
        for (int t = 0; t < down->taps; t++)
            resizer->rows[t] = ring_row(resizer, begin + t < end ? begin + t : begin);
        resizer->kernels->vertical(down, i, resizer->rows, output, size);
        memcpy(view + (size_t)i * size, output, size);
    }
}

// One row of the source's height resized, as wide as the source: the columns that will be used.
static void shorten_row(struct resizer *resizer, int index, uint8_t *output)
{
    const struct resize_axis *down = &resizer->down, *across = &resizer->across;
    int last = across->count - 1;
    size_t begin = (size_t)across->first[0] * 3;
    size_t size = (size_t)(across->first[last] + across->used[last]) * 3 - begin;
    size_t vectors = size / RESIZE_PADDING * RESIZE_PADDING;
    size_t stride = (size_t)resizer->source->width * 3;
    for (int t = 0; t < down->taps; t++) {
        int y = down->first[index] + (t < down->used[index] ? t : 0);
        resizer->rows[t] = resizer->source->pixels + (size_t)y * stride + begin;
    }
    resizer->kernels->vertical(down, index, resizer->rows, output + begin, vectors);
    // The rest without vectors: they would read beyond the end of the picture.
    for (int t = 0; t < down->taps; t++)
        resizer->rows[t] += vectors;
    plain_vertical(down, index, resizer->rows, output + begin + vectors, size - vectors);
}

static void shorten_then_narrow(struct resizer *resizer, uint8_t *view)
{
    size_t size = (size_t)resizer->across.count * 3;
    for (int y = 0; y < resizer->down.count; y += RESIZE_ROWS) {
        const uint8_t *rows[RESIZE_ROWS];
        uint8_t *outputs[RESIZE_ROWS];
        for (int i = 0; i < RESIZE_ROWS; i++) {
            if (y + i < resizer->down.count)
                shorten_row(resizer, y + i, whole_row(resizer, i));
            rows[i] = whole_row(resizer, i);
            outputs[i] = ring_row(resizer, i);
        }
        narrow(resizer, rows, outputs);
        for (int i = 0; i < RESIZE_ROWS && y + i < resizer->down.count; i++)
            memcpy(view + (size_t)(y + i) * size, outputs[i], size);
    }
}

// Since version 13 Pillow sums the columns first where that cuts off more than twice as many rows as summing
// the rows would cut off columns. Each pass rounds to bytes, so the order shows in the bits.
static bool columns_first(const struct image *source, int resize)
{
    return source->height > resize && source->height - resize > 2 * (source->width - resize);
}

// torchvision's CenterCrop: int(round((resize - crop) / 2)), where round takes halves to even.
static int crop_offset(int resize, int crop)
{
    int offset = (resize - crop) / 2;
    return (resize - crop) % 2 != 0 ? offset + offset % 2 : offset;
}

static enum status resizer_init(struct resizer *resizer, int resize, int crop, struct error *err)
{
    int offset = crop_offset(resize, crop);
    const struct image *source = resizer->source;
    enum status status = resize_axis_init(&resizer->across, source->width, resize, offset, crop, err);
    if (status == STATUS_OK)
        status = resize_axis_init(&resizer->down, source->height, resize, offset, crop, err);
    if (status != STATUS_OK)
        return status;
    resizer->stride = ((size_t)crop * 3 / RESIZE_PADDING + 2) * RESIZE_PADDING;
    resizer->ring_rows = (size_t)resizer->down.taps + RESIZE_ROWS;
    size_t ring_size = (resizer->ring_rows + 2) * resizer->stride;
    resizer->ring = memory_try_alloc(ring_size);
    size_t whole_size = RESIZE_ROWS * ((size_t)source->width * 3 + RESIZE_PADDING);
    resizer->whole_rows = memory_try_alloc(whole_size);
    resizer->rows = memory_try_alloc((size_t)resizer->down.taps * sizeof *resizer->rows);
    if (!resizer->ring || !resizer->whole_rows || !resizer->rows)
        return error_set(err, STATUS_FATAL, "no memory to resize a picture of %d x %d pixels", source->width,
                         source->height);
    // Padding is read but never shown; it is cleared so that no run depends on old memory.
    memset(resizer->ring, 0, ring_size);
    memset(resizer->whole_rows, 0, whole_size);
    return STATUS_OK;
}

static void resizer_release(struct resizer *resizer)
{
    resize_axis_release(&resizer->across);
    resize_axis_release(&resizer->down);
    free(resizer->ring);
    free(resizer->whole_rows);
    free(resizer->rows);
}

static void copy_crop(const struct image *source, int crop, int offset, uint8_t *view)
{
    size_t size = (size_t)crop * 3;
    for (int y = 0; y < crop; y++)
        memcpy(view + (size_t)y * size,
               source->pixels + ((size_t)(offset + y) * (size_t)source->width + (size_t)offset) * 3, size);
}

enum status resize_crop(const struct resize_kernels *kernels, const struct image *source, int resize,
                        int crop, uint8_t *view, struct error *err)
{
    assert(source->width > 0 && source->height > 0 && 0 < crop && crop <= resize);
    if (source->width == resize && source->height == resize) {
        copy_crop(source, crop, crop_offset(resize, crop), view);
        return STATUS_OK;
    }
    struct resizer resizer = {.kernels = kernels, .source = source};
    enum status status = resizer_init(&resizer, resize, crop, err);
    if (status == STATUS_OK && columns_first(source, resize))
        shorten_then_narrow(&resizer, view);
    else if (status == STATUS_OK)
        narrow_then_shorten(&resizer, view);
    resizer_release(&resizer);
    return status;
}
