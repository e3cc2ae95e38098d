// test_png.c: the pictures in the files that png_encode writes, and a buffer that is too small for one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cpu_features.h"
#include "common/picture/image.h"
#include "tests/support/picture.h"

enum { LIMIT = 4 * 1024 * 1024 };

// Decodes with libpng's own simple reader, as strange to png.c as can be had in C.
static void check_holds(struct bytes file, const struct image *image)
{
    png_image reader = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&reader, file.data, file.size))
        fail_msg("no PNG: %s", reader.message);
    assert_int_equal(reader.format, PNG_FORMAT_RGB);
    assert_int_equal(reader.width, image->width);
    assert_int_equal(reader.height, image->height);
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(reader));
    assert_non_null(pixels);
    if (!png_image_finish_read(&reader, NULL, pixels, 0, NULL))
        fail_msg("a damaged PNG: %s", reader.message);
    assert_memory_equal(pixels, image->pixels, PNG_IMAGE_SIZE(reader));
    free(pixels);
}

static void check_sizes(void)
{
    static const int sizes[][2] = {{1, 1}, {3, 1}, {1, 3}, {11, 5}, {224, 224}, {301, 17}, {2000, 2}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct image image = noise_image(sizes[i][0], sizes[i][1], i);
        struct buffer first, second;
        buffer_init(&first, LIMIT);
        buffer_init(&second, LIMIT);
        struct error err;
        assert_int_equal(png_encode(&image, &first, &err), STATUS_OK);
        assert_int_equal(png_encode(&image, &second, &err), STATUS_OK);
        assert_true(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
        check_holds(buffer_bytes(&first), &image);
        image_release(&image);
        buffer_release(&first);
        buffer_release(&second);
    }
}

static void test_a_reader_gets_the_picture_back(void **state)
{
    (void)state;
    cpu_features_force(CPU_LEVEL_PLAIN);
    check_sizes();
    cpu_features_force(CPU_LEVEL_BEST);
    check_sizes();
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
        cmocka_unit_test(test_a_reader_gets_the_picture_back),
        cmocka_unit_test(test_full_buffer_is_left_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
