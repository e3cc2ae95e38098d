// test_preprocess.c: view and normalised floats against digests that torchvision and Pillow gave
// (tests/golden/preprocess.txt, written by make_preprocess.py).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/digest.h"
#include "kernels/image/preprocess.h"
#include "tests/support/picture.h"

enum { CROP = 224, FLOATS = 3 * CROP * CROP, MIN_RGB_LINES = 60, MIN_JPEG_LINES = 12 };

static const struct preprocessing recipe = {.version = "v1",
                                            .resize = 256,
                                            .crop = CROP,
                                            .mean = {0.485f, 0.456f, 0.406f},
                                            .std = {0.229f, 0.224f, 0.225f}};

static void floats_digest(const struct image *image, char text[DIGEST_TEXT_SIZE])
{
    static uint8_t view[CROP * CROP * 3];
    static float floats[FLOATS];
    float table[3 * 256];
    struct error err;
    assert_int_equal(preprocess_view(image, &recipe, view, &err), STATUS_OK);
    preprocess_table(recipe.mean, recipe.std, table);
    preprocess_normalise(view, CROP, table, floats);
    struct digest digest = digest_of(floats, sizeof floats);
    digest_text(&digest, text);
}

static int check_lines(const char *kind, int (*check)(const char *line))
{
    struct buffer golden = repository_file("tests/golden/preprocess.txt");
    assert_int_equal(buffer_append(&golden, "", 1, NULL), STATUS_OK);
    int wrong = 0, lines = 0;
    char *rest = (char *)golden.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (strncmp(line, kind, strlen(kind)) != 0)
            continue;
        wrong += check(line);
        lines++;
    }
    buffer_release(&golden);
    assert_int_equal(wrong, 0);
    return lines;
}

static int check_rgb(const char *line)
{
    int width, height, seed;
    char expected[DIGEST_TEXT_SIZE], found[DIGEST_TEXT_SIZE];
    assert_int_equal(sscanf(line, "rgb %d %d %d %64s", &width, &height, &seed, expected), 4);
    struct image image = noise_image(width, height, (uint64_t)seed);
    floats_digest(&image, found);
    image_release(&image);
    if (strcmp(found, expected) == 0)
        return 0;
    print_error("%d x %d: floats %s, torchvision %s\n", width, height, found, expected);
    return 1;
}

static int check_jpeg(const char *line)
{
    char name[64], expected[DIGEST_TEXT_SIZE], found[DIGEST_TEXT_SIZE];
    assert_int_equal(sscanf(line, "jpeg %63s %*d %*d %*s %64s", name, expected), 2);
    struct buffer data = golden_jpeg(name);
    struct image image;
    struct error err;
    assert_int_equal(jpeg_decode(buffer_bytes(&data), 1000000, &image, &err), STATUS_OK);
    buffer_release(&data);
    floats_digest(&image, found);
    image_release(&image);
    if (strcmp(found, expected) == 0)
        return 0;
    print_error("%s: floats %s, torchvision %s\n", name, found, expected);
    return 1;
}

static void test_noise_of_many_sizes(void **state)
{
    (void)state;
    assert_true(check_lines("rgb ", check_rgb) >= MIN_RGB_LINES);
}

static void test_jpegs(void **state)
{
    (void)state;
    assert_true(check_lines("jpeg ", check_jpeg) >= MIN_JPEG_LINES);
}

// torchvision's CenterCrop takes int(round(half the difference)), and Python rounds halves to even: of a
// 256-pixel square, 139 pixels (58.5) start at 58, 137 pixels (59.5) at 60.
static void test_odd_crops_round_half_to_even(void **state)
{
    (void)state;
    static const struct {
        int crop, offset;
    } cases[] = {{139, 58}, {137, 60}, {256, 0}, {255, 0}, {1, 128}};
    struct image image = noise_image(256, 256, 9);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static uint8_t view[256 * 256 * 3];
        struct preprocessing odd = recipe;
        odd.crop = cases[i].crop;
        struct error err;
        assert_int_equal(preprocess_view(&image, &odd, view, &err), STATUS_OK);
        size_t corner = ((size_t)cases[i].offset * 256 + (size_t)cases[i].offset) * 3;
        assert_memory_equal(view, image.pixels + corner, (size_t)cases[i].crop * 3);
    }
    image_release(&image);
}

// (float(v) / 255 - mean) / std, each step rounded to float: three values of numpy.float32 arithmetic.
static void test_table(void **state)
{
    (void)state;
    float table[3 * 256];
    preprocess_table(recipe.mean, recipe.std, table);
    static const struct {
        int at;
        float value;
    } known[] = {{0, -0x1.0f177ap+1f},
                 {128, 0x1.2f5e64p-4f},
                 {256 + 200, 0x1.773738p+0f},
                 {512 + 255, 0x1.51eb86p+1f}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (table[known[i].at] != known[i].value)
            fail_msg("table[%d] is %a, expected %a", known[i].at, (double)table[known[i].at],
                     (double)known[i].value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise_of_many_sizes),
        cmocka_unit_test(test_jpegs),
        cmocka_unit_test(test_odd_crops_round_half_to_even),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
