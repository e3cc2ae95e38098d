// test_png.c: PNG round trips, kinds of PNG written by Pillow, and what must be refused.
//
// The files below were written by Pillow 13.0 from pictures whose RGB values stand beside them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/image.h"
#include "tests/support/picture.h"

enum { MAX_PIXELS = 1000000, LIMIT = 4 * 1024 * 1024 };

struct sample {
    const char *name;
    const char *hex; // the whole file
    uint8_t pixels[2 * 2 * 3];
};

// 2 x 2 pixels of each kind.
static const struct sample samples[] = {
    {"rgb",
     "89504e470d0a1a0a0000000d4948445200000002000000020802000000fdd49a730000001649444154789c63"
     "f8cfc0c5c8c4cc14bd45fcffbfdf0019a705307de43a140000000049454e44ae426082",
     {255, 0, 10, 1, 2, 3, 90, 180, 33, 0, 0, 254}},
    {"grey",
     "89504e470d0a1a0a0000000d494844520000000200000002080000000057dd52f80000000e49444154789c63"
     "60f06568f80f00033901cdb16177ee0000000049454e44ae426082",
     {0, 0, 0, 77, 77, 77, 128, 128, 128, 255, 255, 255}},
    {"grey with transparency",
     "89504e470d0a1a0a0000000d4948445200000002000000020804000000d8bfc5af0000001249444154789c63"
     "64f8efbb99a1a1fe3f030013d403ffce0c14600000000049454e44ae426082",
     {0, 0, 0, 77, 77, 77, 128, 128, 128, 255, 255, 255}},
    {"rgb with transparency",
     "89504e470d0a1a0a0000000d494844520000000200000002080600000072b60d240000001a49444154789c63"
     "f8cfc0c5c0c8c4dcc010b545f13f03c33f6600265904bffbead6590000000049454e44ae426082",
     {255, 0, 10, 1, 2, 3, 90, 180, 33, 0, 0, 254}},
    {"palette of 2 bits",
     "89504e470d0a1a0a0000000d49484452000000020000000202030000000fd8e5b70000000c504c5445050607"
     "c86400090909ffffffa734c48c0000000c49444154789c63706078000001a401214d5783010000000049454e"
     "44ae426082",
     {200, 100, 0, 5, 6, 7, 255, 255, 255, 9, 9, 9}},
    {"palette with transparency",
     "89504e470d0a1a0a0000000d49484452000000020000000202030000000fd8e5b70000000c504c5445050607"
     "c86400090909ffffffa734c48c0000000274524e53ff00e5b7304a0000000c49444154789c63706078000001"
     "a401214d5783010000000049454e44ae426082",
     {200, 100, 0, 5, 6, 7, 255, 255, 255, 9, 9, 9}},
    {"1 bit",
     "89504e470d0a1a0a0000000d49484452000000020000000201000000005acd30890000000c49444154789c63"
     "686070000001c400c1986635160000000049454e44ae426082",
     {255, 255, 255, 0, 0, 0, 0, 0, 0, 255, 255, 255}},
};

static void test_round_trip(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {3, 1}, {1, 3}, {224, 224}, {301, 17}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct image image = noise_image(sizes[i][0], sizes[i][1], i), back;
        struct buffer first, second;
        buffer_init(&first, LIMIT);
        buffer_init(&second, LIMIT);
        struct error err;
        assert_int_equal(png_encode(&image, &first, &err), STATUS_OK);
        assert_int_equal(png_encode(&image, &second, &err), STATUS_OK);
        assert_true(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
        assert_int_equal(png_decode(buffer_bytes(&first), MAX_PIXELS, &back, &err), STATUS_OK);
        assert_int_equal(back.width, image.width);
        assert_int_equal(back.height, image.height);
        assert_memory_equal(back.pixels, image.pixels, (size_t)image.width * (size_t)image.height * 3);
        image_release(&back);
        image_release(&image);
        buffer_release(&first);
        buffer_release(&second);
    }
}

static void test_kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        uint8_t file[512];
        size_t size = strlen(samples[i].hex) / 2;
        assert_true(size <= sizeof file && hex_decode(samples[i].hex, file, size));
        struct image image;
        struct error err = {""};
        if (png_decode((struct bytes){file, size}, 4, &image, &err) != STATUS_OK)
            fail_msg("%s: %s", samples[i].name, err.message);
        assert_int_equal(image.width, 2);
        assert_int_equal(image.height, 2);
        if (memcmp(image.pixels, samples[i].pixels, sizeof samples[i].pixels) != 0)
            fail_msg("%s: first pixel %d %d %d", samples[i].name, image.pixels[0], image.pixels[1],
                     image.pixels[2]);
        image_release(&image);
    }
}

static void check_refused(struct bytes data, int64_t max_pixels, const char *sentence)
{
    struct image image = {.width = 1};
    struct error err = {""};
    assert_int_equal(png_decode(data, max_pixels, &image, &err), STATUS_REJECTED);
    assert_null(image.pixels);
    if (!strstr(err.message, sentence))
        fail_msg("'%s' does not hold '%s'", err.message, sentence);
}

static void test_refused(void **state)
{
    (void)state;
    struct image image = noise_image(40, 30, 5);
    struct buffer file;
    buffer_init(&file, LIMIT);
    struct error err;
    assert_int_equal(png_encode(&image, &file, &err), STATUS_OK);
    check_refused((struct bytes){NULL, 0}, MAX_PIXELS, "empty");
    check_refused((struct bytes){(const uint8_t *)"\xff\xd8\xff\xe0 not one", 12}, MAX_PIXELS, "not a PNG");
    check_refused(buffer_bytes(&file), 40 * 30 - 1, "40 x 30");
    for (size_t size = 8; size < file.size; size++)
        check_refused((struct bytes){file.data, size}, MAX_PIXELS, "truncated");
    file.data[file.size / 2] ^= 1; // the checksum of the data no longer fits
    check_refused(buffer_bytes(&file), MAX_PIXELS, "");
    memset(file.data + 16, 0x7f, 8); // width and height
    check_refused(buffer_bytes(&file), INT64_MAX, "");
    image_release(&image);
    buffer_release(&file);
}

static void test_full_buffer_is_left_as_it_was(void **state)
{
    (void)state;
    struct image image = noise_image(100, 100, 5);
    struct buffer file;
    buffer_init(&file, 1000);
    assert_int_equal(buffer_append(&file, "before", 6, NULL), STATUS_OK);
    struct error err;
    assert_int_equal(png_encode(&image, &file, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "1000 bytes"));
    assert_int_equal(file.size, 6);
    image_release(&image);
    buffer_release(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_full_buffer_is_left_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
