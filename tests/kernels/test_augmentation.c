// test_augmentation.c: each step of augmentation gives the bytes of torchvision's transform given the same
// draws (tests/golden/make_augmentation.py); and the draws have the ranges that they should have.
//
// SKINSIGHT_AUGMENTATION_GOLDEN names a further file of the same kind, of photographs that are not in the
// repository.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/digest.h"
#include "common/base/file.h"
#include "kernels/image/augmentation.h"
#include "kernels/image/preprocess.h"
#include "tests/support/picture.h"

enum { MOST_SIDE = 224, STEPS = 9, DIGITS = 16 };

static const char *const step_names[STEPS] = {"resize",   "crop",     "flips",    "rotation", "jitter 1",
                                              "jitter 2", "jitter 3", "jitter 4", "floats"};
static struct error err;

struct golden {
    struct image picture;
    char name[512];
    int size;
    struct augmentation draws;
    char digests[STEPS][DIGITS + 1];
};

static void read_picture(struct golden *golden, const char *kind, int width, int height, int seed)
{
    if (strcmp(kind, "noise") == 0) {
        golden->picture = noise_image(width, height, (uint64_t)seed);
        return;
    }
    struct buffer file;
    buffer_init(&file, PICTURE_MAX_FILE_SIZE);
    if (file_read(golden->name, &file, &err) != STATUS_OK ||
        jpeg_decode(buffer_bytes(&file), 1 << 26, &golden->picture, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    buffer_release(&file);
}

static bool read_golden(FILE *file, struct golden *golden)
{
    char kind[8];
    int width, height, seed, flips[2], order[JITTER_COUNT];
    struct augmentation *draws = &golden->draws;
    struct picture_area *crop = &draws->crop, *erased = &draws->erased;
    int got = fscanf(file, "%7s %d %d %d %511s %d %d %d %d %d %d %d %la", kind, &width, &height, &seed,
                     golden->name, &golden->size, &crop->top, &crop->left, &crop->height, &crop->width,
                     &flips[0], &flips[1], &draws->angle);
    if (got == EOF)
        return false;
    assert_int_equal(got, 13);
    for (int i = 0; i < JITTER_COUNT; i++) {
        assert_int_equal(fscanf(file, "%d", &order[i]), 1);
        draws->order[i] = (enum jitter)order[i];
    }
    for (int i = 0; i < JITTER_COUNT; i++)
        assert_int_equal(fscanf(file, "%la", &draws->factors[i]), 1);
    assert_int_equal(
        fscanf(file, "%d %d %d %d", &erased->top, &erased->left, &erased->height, &erased->width), 4);
    for (int i = 0; i < STEPS; i++)
        assert_int_equal(fscanf(file, "%16s", golden->digests[i]), 1);
    draws->flip_across = flips[0];
    draws->flip_down = flips[1];
    draws->jitter = true;
    read_picture(golden, kind, width, height, seed);
    return true;
}

static void check_step(const struct golden *golden, int step, const void *data, size_t size)
{
    char text[DIGEST_TEXT_SIZE];
    struct digest digest = digest_of(data, size);
    digest_text(&digest, text);
    if (memcmp(text, golden->digests[step], DIGITS) != 0)
        fail_msg("%s (seed or size %d), after %s: %.16s, torchvision has %s", golden->name, golden->size,
                 step_names[step], text, golden->digests[step]);
}

// What is erased of bytes is erased of floats, to half a grey level; all else stays.
static void check_erased_bytes(const struct golden *golden, const float mean[3], const float table[3 * 256],
                               uint8_t *view, const float *floats)
{
    static float bytes[MOST_SIDE * MOST_SIDE * 3];
    static const struct augmentation nothing;
    const struct picture_area *erased = &golden->draws.erased;
    augmentation_erase(&golden->draws, golden->size, mean, view);
    augmentation_normalise(view, golden->size, table, &nothing, bytes);
    for (int i = 0; i < golden->size * golden->size * 3; i++) {
        int y = i / 3 / golden->size - erased->top, x = i / 3 % golden->size - erased->left;
        bool inside = y >= 0 && y < erased->height && x >= 0 && x < erased->width;
        assert_true(fabsf(bytes[i] - floats[i]) <= (inside ? 0.5f / 255 / 0.224f : 0));
    }
}

static void check_steps(const struct golden *golden)
{
    static uint8_t view[MOST_SIDE * MOST_SIDE * 3], turned[sizeof view], whole[sizeof view];
    static float floats[MOST_SIDE * MOST_SIDE * 3];
    static const float mean[] = {0.485f, 0.456f, 0.406f}, std[] = {0.229f, 0.224f, 0.225f};
    float table[3 * 256];
    const struct augmentation *draws = &golden->draws;
    int size = golden->size, side = size + AUGMENTATION_MARGIN;
    size_t bytes = (size_t)size * (size_t)size * 3;
    struct image resized;
    assert_int_equal(augmentation_resize(&golden->picture, side, &resized, &err), STATUS_OK);
    check_step(golden, 0, resized.pixels, (size_t)side * (size_t)side * 3);
    assert_int_equal(augmentation_crop(&resized, &draws->crop, size, view, &err), STATUS_OK);
    check_step(golden, 1, view, bytes);
    augmentation_flip(view, size, draws->flip_across, draws->flip_down);
    check_step(golden, 2, view, bytes);
    augmentation_rotate(view, size, draws->angle, turned);
    check_step(golden, 3, turned, bytes);
    for (int i = 0; i < JITTER_COUNT; i++) {
        augmentation_jitter(turned, size, draws->order[i], draws->factors[draws->order[i]]);
        check_step(golden, 4 + i, turned, bytes);
    }
    preprocess_table(mean, std, table);
    augmentation_normalise(turned, size, table, draws, floats);
    check_step(golden, 8, floats, bytes * sizeof *floats);
    assert_int_equal(augmentation_view(&resized, draws, size, whole, &err), STATUS_OK);
    assert_memory_equal(whole, turned, bytes);
    check_erased_bytes(golden, mean, table, whole, floats);
    image_release(&resized);
}

static int check_file(const char *path)
{
    FILE *file = fopen(path, "r");
    struct golden golden;
    int count = 0;
    if (!file)
        fail_msg("%s can't be opened", path);
    for (; read_golden(file, &golden); count++) {
        check_steps(&golden);
        image_release(&golden.picture);
    }
    fclose(file);
    return count;
}

static void every_step_gives_torchvisions_bytes(void **state)
{
    (void)state;
    assert_int_equal(check_file(TEST_SOURCE_DIR "/tests/golden/augmentation.txt"), 18);
    const char *more = getenv("SKINSIGHT_AUGMENTATION_GOLDEN");
    if (more)
        printf("%d pictures of %s\n", check_file(more), more);
}

// Counts, and the mean and ends of what is uniform. 20,000 draws: a mean is off by 5 sigma once in two
// million.
static void check_uniform(const char *name, const double *values, size_t count, double low, double high)
{
    double sum = 0, least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        sum += values[i];
        least = fmin(least, values[i]);
        most = fmax(most, values[i]);
    }
    double sigma = (high - low) / sqrt(12.0 * (double)count),
           off = fabs(sum / (double)count - (low + high) / 2);
    if (off > 5 * sigma || least < low || most > high || least > low + (high - low) / 100 ||
        most < high - (high - low) / 100)
        fail_msg("%s: %g to %g with mean %g, %g to %g is wanted", name, least, most, sum / (double)count, low,
                 high);
}

static void draws_have_their_ranges(void **state)
{
    (void)state;
    enum { COUNT = 20000, SIZE = 224, SIDE = SIZE + AUGMENTATION_MARGIN };
    static double angles[COUNT], factors[JITTER_COUNT][COUNT], shares[COUNT], places[COUNT];
    const struct random_stream stream = {7, 3};
    size_t flips[2] = {0}, erased = 0, orders[JITTER_COUNT][JITTER_COUNT] = {{0}};
    for (size_t i = 0; i < COUNT; i++) {
        struct augmentation drawn = augmentation_draw(&stream, i, SIZE);
        const struct picture_area *crop = &drawn.crop, *hole = &drawn.erased;
        angles[i] = drawn.angle;
        for (int k = 0; k < JITTER_COUNT; k++) {
            factors[k][i] = drawn.factors[k];
            orders[k][drawn.order[k]]++;
        }
        flips[0] += drawn.flip_across;
        flips[1] += drawn.flip_down;
        erased += hole->height > 0;
        assert_true(crop->top >= 0 && crop->left >= 0 && crop->top + crop->height <= SIDE &&
                    crop->left + crop->width <= SIDE);
        assert_true(hole->height < SIZE && hole->width < SIZE && hole->top + hole->height <= SIZE &&
                    hole->left + hole->width <= SIZE);
        shares[i] = (double)(crop->height * crop->width) / (SIDE * SIDE);
        assert_true(shares[i] > 0.79 && shares[i] <= 1);
        double hole_share = (double)(hole->height * hole->width) / (SIZE * SIZE);
        assert_true(hole->height == 0 || (hole_share > 0.019 && hole_share < 0.335));
        places[i] = SIDE == crop->height ? 0.5 : (double)crop->top / (SIDE - crop->height);
    }
    check_uniform("place", places, COUNT, 0, 1);
    check_uniform("angle", angles, COUNT, 0, 360);
    check_uniform("brightness", factors[JITTER_BRIGHTNESS], COUNT, 0.8, 1.2);
    check_uniform("contrast", factors[JITTER_CONTRAST], COUNT, 0.8, 1.2);
    check_uniform("saturation", factors[JITTER_SATURATION], COUNT, 0.8, 1.2);
    check_uniform("hue", factors[JITTER_HUE], COUNT, -0.1, 0.1);
    assert_in_range(flips[0], COUNT / 2 - 400, COUNT / 2 + 400);
    assert_in_range(flips[1], COUNT / 2 - 400, COUNT / 2 + 400);
    assert_in_range(erased, COUNT / 2 - 400, COUNT / 2 + 400);
    for (int k = 0; k < JITTER_COUNT * JITTER_COUNT; k++)
        assert_in_range(orders[k / JITTER_COUNT][k % JITTER_COUNT], COUNT / 4 - 400, COUNT / 4 + 400);
}

static void draws_depend_on_seed_and_counter_alone(void **state)
{
    (void)state;
    const struct random_stream stream = {7, 3}, other = {8, 3};
    struct augmentation a = augmentation_draw(&stream, 5, 224), b = augmentation_draw(&stream, 5, 224);
    struct augmentation next = augmentation_draw(&stream, 6, 224),
                        elsewhere = augmentation_draw(&other, 5, 224);
    assert_memory_equal(&a.factors, &b.factors, sizeof a.factors);
    assert_true(a.angle == b.angle && a.angle != next.angle && a.angle != elsewhere.angle);
}

static void nothing_is_what_evaluation_sees(void **state)
{
    (void)state;
    enum { SIZE = 64 };
    uint8_t view[SIZE * SIZE * 3], evaluated[sizeof view];
    struct image picture = noise_image(200, 150, 4), resized;
    const struct preprocessing preprocessing = {.resize = SIZE + AUGMENTATION_MARGIN, .crop = SIZE};
    struct augmentation none = augmentation_none(SIZE);
    assert_int_equal(preprocess_view(&picture, &preprocessing, evaluated, &err), STATUS_OK);
    assert_int_equal(augmentation_resize(&picture, SIZE + AUGMENTATION_MARGIN, &resized, &err), STATUS_OK);
    assert_int_equal(augmentation_view(&resized, &none, SIZE, view, &err), STATUS_OK);
    assert_memory_equal(view, evaluated, sizeof view);
    image_release(&picture);
    image_release(&resized);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_gives_torchvisions_bytes),
        cmocka_unit_test(draws_have_their_ranges),
        cmocka_unit_test(draws_depend_on_seed_and_counter_alone),
        cmocka_unit_test(nothing_is_what_evaluation_sees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
