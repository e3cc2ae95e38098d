// augmentation.c: the draws, and the steps that move pixels; jitter.c has those that change colours.
#include "kernels/image/augmentation.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/image/resize.h"

// Draws of one picture: each has its place, so that a step more moves no other's.
enum {
    DRAW_FLIP_ACROSS,
    DRAW_FLIP_DOWN,
    DRAW_ANGLE,
    DRAW_FACTORS,                             // JITTER_COUNT of them
    DRAW_ORDER = DRAW_FACTORS + JITTER_COUNT, // JITTER_COUNT - 1
    DRAW_ERASE = DRAW_ORDER + JITTER_COUNT - 1,
    DRAW_ERASED_PLACE,                       // two
    DRAW_CROP_PLACE = DRAW_ERASED_PLACE + 2, // two
    DRAW_CROP = DRAW_CROP_PLACE + 2,         // TRIES times two
    TRIES = 10,
    DRAW_ERASED = DRAW_CROP + 2 * TRIES, // TRIES times two
    DRAWS = 64,
};
_Static_assert(DRAW_ERASED + 2 * TRIES <= DRAWS, "each picture has its own draws");

struct draws {
    const struct random_stream *stream;
    uint64_t first;
};

static double uniform(const struct draws *draws, int index, double low, double high)
{
    return low + (high - low) * counter_random_uniform(draws->stream, draws->first + (uint64_t)index);
}

static int below(const struct draws *draws, int index, int limit)
{
    return (int)counter_random_below(draws->stream, draws->first + (uint64_t)index, (uint64_t)limit);
}

// An area of `share` of side x side with a ratio of width to height that is uniform in its logarithm; strict:
// smaller than the side. Height 0 where no try fits.
static struct picture_area draw_area(const struct draws *draws, int first, int side, const double shares[2],
                                     const double ratios[2], bool strict)
{
    for (int i = 0; i < TRIES; i++) {
        double area = (double)side * side * uniform(draws, first + 2 * i, shares[0], shares[1]);
        double ratio = exp(uniform(draws, first + 2 * i + 1, log(ratios[0]), log(ratios[1])));
        int width = (int)lrint(sqrt(area * ratio)), height = (int)lrint(sqrt(area / ratio));
        if (width > 0 && height > 0 && width <= side - strict && height <= side - strict)
            return (struct picture_area){.height = height, .width = width};
    }
    return (struct picture_area){0};
}

struct augmentation augmentation_none(int size)
{
    return (struct augmentation){
        .crop = {AUGMENTATION_MARGIN / 2, AUGMENTATION_MARGIN / 2, size, size},
        .factors = {1, 1, 1, 0},
    };
}

static void draw_jitter(const struct draws *draws, struct augmentation *augmentation)
{
    augmentation->jitter = true;
    for (int i = 0; i < JITTER_COUNT; i++) {
        augmentation->order[i] = (enum jitter)i;
        augmentation->factors[i] = i == JITTER_HUE ? uniform(draws, DRAW_FACTORS + i, -0.1, 0.1)
                                                   : uniform(draws, DRAW_FACTORS + i, 0.8, 1.2);
    }
    for (int i = JITTER_COUNT - 1; i > 0; i--) { // Fisher and Yates
        int other = below(draws, DRAW_ORDER + i - 1, i + 1);
        enum jitter kind = augmentation->order[i];
        augmentation->order[i] = augmentation->order[other];
        augmentation->order[other] = kind;
    }
}

struct augmentation augmentation_draw(const struct random_stream *stream, uint64_t counter, int size)
{
    const struct draws draws = {stream, counter * DRAWS};
    struct augmentation drawn = augmentation_none(size);
    int side = size + AUGMENTATION_MARGIN;
    drawn.crop = draw_area(&draws, DRAW_CROP, side, (double[]){0.8, 1}, (double[]){3.0 / 4, 4.0 / 3}, false);
    if (drawn.crop.height == 0) // as torchvision: all of a square
        drawn.crop = (struct picture_area){0, 0, side, side};
    drawn.crop.top = below(&draws, DRAW_CROP_PLACE, side - drawn.crop.height + 1);
    drawn.crop.left = below(&draws, DRAW_CROP_PLACE + 1, side - drawn.crop.width + 1);
    drawn.flip_across = below(&draws, DRAW_FLIP_ACROSS, 2);
    drawn.flip_down = below(&draws, DRAW_FLIP_DOWN, 2);
    drawn.angle = uniform(&draws, DRAW_ANGLE, 0, 360);
    draw_jitter(&draws, &drawn);
    if (below(&draws, DRAW_ERASE, 2)) {
        struct picture_area lying =
            draw_area(&draws, DRAW_ERASED, size, (double[]){0.02, 0.33}, (double[]){0.3, 3.3}, true);
        drawn.erased.height = lying.width; // torchvision's ratio is of height to width here
        drawn.erased.width = lying.height;
        drawn.erased.top = below(&draws, DRAW_ERASED_PLACE, size - drawn.erased.height + 1);
        drawn.erased.left = below(&draws, DRAW_ERASED_PLACE + 1, size - drawn.erased.width + 1);
    }
    return drawn;
}

enum status augmentation_resize(const struct image *source, int side, struct image *resized,
                                struct error *err)
{
    enum status status = image_init(resized, side, side, err);
    if (status == STATUS_OK)
        status = resize_crop(resize_kernels_best(), source, side, side, resized->pixels, err);
    if (status != STATUS_OK)
        image_release(resized);
    return status;
}

enum status augmentation_crop(const struct image *source, const struct picture_area *area, int size,
                              uint8_t *view, struct error *err)
{
    struct image part = {0};
    enum status status = image_init(&part, area->width, area->height, err);
    if (status == STATUS_OK) {
        size_t row = (size_t)area->width * 3;
        for (int y = 0; y < area->height; y++)
            memcpy(part.pixels + (size_t)y * row,
                   source->pixels +
                       3 * ((size_t)(area->top + y) * (size_t)source->width + (size_t)area->left),
                   row);
        status = resize_crop(resize_kernels_best(), &part, size, size, view, err);
    }
    image_release(&part);
    return status;
}

static void swap_pixels(uint8_t *a, uint8_t *b)
{
    for (int i = 0; i < 3; i++) {
        uint8_t value = a[i];
        a[i] = b[i];
        b[i] = value;
    }
}

void augmentation_flip(uint8_t *view, int size, bool across, bool down)
{
    for (int y = 0; across && y < size; y++)
        for (int x = 0; x < size / 2; x++)
            swap_pixels(view + 3 * (y * size + x), view + 3 * (y * size + size - 1 - x));
    for (int y = 0; down && y < size / 2; y++)
        for (int x = 0; x < size; x++)
            swap_pixels(view + 3 * (y * size + x), view + 3 * ((size - 1 - y) * size + x));
}

// To 15 decimals, as Python rounds: the nearest decimal, then the nearest double.
static double round_decimals(double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.15f", value);
    return strtod(text, NULL);
}

static int fixed(double value)
{
    return (int)floor(value * 65536.0 + 0.5);
}

// Each point of the result looks up the point that it comes from, in fixed point with 16 fraction bits that
// are added up along rows and columns, as Pillow does.
void augmentation_rotate(const uint8_t *view, int size, double angle, uint8_t *rotated)
{
    double radians = -(fmod(angle, 360.0) * (M_PI / 180.0)), centre = size / 2.0;
    double cosine = round_decimals(cos(radians)), sine = round_decimals(sin(radians));
    double back = round_decimals(-sin(radians));
    double x_origin = cosine * -centre + sine * -centre + 0.0 + centre;
    double y_origin = back * -centre + cosine * -centre + 0.0 + centre;
    int x_row = fixed(x_origin + cosine * 0.5 + sine * 0.5),
        y_row = fixed(y_origin + back * 0.5 + cosine * 0.5);
    int x_across = fixed(cosine), x_down = fixed(sine), y_across = fixed(back), y_down = fixed(cosine);
    for (int y = 0; y < size; y++) {
        int from_x = x_row, from_y = y_row;
        for (int x = 0; x < size; x++) {
            int column = from_x >> 16, row = from_y >> 16;
            uint8_t *pixel = rotated + 3 * (y * size + x);
            if (column >= 0 && column < size && row >= 0 && row < size)
                memcpy(pixel, view + 3 * (row * size + column), 3);
            else
                memset(pixel, 0, 3);
            from_x += x_across;
            from_y += y_across;
        }
        x_row += x_down;
        y_row += y_down;
    }
}

enum status augmentation_view(const struct image *source, const struct augmentation *augmentation, int size,
                              uint8_t *view, struct error *err)
{
    assert(source->width == size + AUGMENTATION_MARGIN && source->height == size + AUGMENTATION_MARGIN);
    enum status status = augmentation_crop(source, &augmentation->crop, size, view, err);
    if (status != STATUS_OK)
        return status;
    augmentation_flip(view, size, augmentation->flip_across, augmentation->flip_down);
    if (augmentation->angle != 0) {
        size_t bytes = (size_t)size * (size_t)size * 3;
        uint8_t *copy = memory_try_alloc(bytes);
        if (!copy)
            return error_set(err, STATUS_FATAL, "no memory to turn a picture of %d pixels a side", size);
        memcpy(copy, view, bytes);
        augmentation_rotate(copy, size, augmentation->angle, view);
        free(copy);
    }
    for (int i = 0; augmentation->jitter && i < JITTER_COUNT; i++) {
        enum jitter kind = augmentation->order[i];
        augmentation_jitter(view, size, kind, augmentation->factors[kind]);
    }
    return STATUS_OK;
}

void augmentation_erase(const struct augmentation *augmentation, int size, const float mean[3], uint8_t *view)
{
    const struct picture_area *erased = &augmentation->erased;
    for (int y = erased->top; y < erased->top + erased->height; y++)
        for (int x = erased->left; x < erased->left + erased->width; x++)
            for (int c = 0; c < 3; c++)
                view[3 * ((size_t)y * (size_t)size + (size_t)x) + (size_t)c] =
                    (uint8_t)lroundf(255 * mean[c]);
}

void augmentation_normalise(const uint8_t *view, int size, const float table[3 * 256],
                            const struct augmentation *augmentation, float *output)
{
    size_t count = (size_t)size * (size_t)size;
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++)
            output[3 * i + c] = table[256 * c + view[3 * i + c]];
    const struct picture_area *erased = &augmentation->erased;
    for (int y = 0; y < erased->height; y++)
        memset(output + 3 * ((size_t)(erased->top + y) * (size_t)size + (size_t)erased->left), 0,
               3 * (size_t)erased->width * sizeof *output);
}
