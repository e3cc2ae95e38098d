// test_jpeg.c: decoding against the bytes Pillow decodes (tests/golden/preprocess.txt), and everything that
// must be refused: what Pillow refuses, CMYK, pictures over the limit, too many scans, bytes that are no
// JPEG.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jpeglib.h>

#include "common/base/digest.h"
#include "common/picture/image.h"
#include "tests/support/picture.h"

enum { MAX_PIXELS = 1000000, MIN_JPEGS = 12, MIN_REFUSED = 4 };

static void check_decoded(const char *name, int width, int height, const char *expected)
{
    struct buffer data = golden_jpeg(name);
    struct image image;
    struct error err = {""};
    if (jpeg_decode(buffer_bytes(&data), MAX_PIXELS, &image, &err) != STATUS_OK)
        fail_msg("%s: %s", name, err.message);
    assert_int_equal(image.width, width);
    assert_int_equal(image.height, height);
    char found[DIGEST_TEXT_SIZE];
    struct digest digest = digest_of(image.pixels, (size_t)width * (size_t)height * 3);
    digest_text(&digest, found);
    if (strcmp(found, expected) != 0)
        fail_msg("%s: pixels %s, Pillow %s", name, found, expected);
    image_release(&image);
    buffer_release(&data);
}

static void check_refused(struct bytes data, int64_t max_pixels, const char *sentence)
{
    struct image image = {.width = 1};
    struct error err = {""};
    assert_int_equal(jpeg_decode(data, max_pixels, &image, &err), STATUS_REJECTED);
    assert_null(image.pixels);
    if (!strstr(err.message, sentence))
        fail_msg("'%s' does not hold '%s'", err.message, sentence);
}

static void check_refused_file(const char *name, const char *sentence)
{
    struct buffer data = golden_jpeg(name);
    check_refused(buffer_bytes(&data), MAX_PIXELS, sentence);
    buffer_release(&data);
}

static void test_as_pillow(void **state)
{
    (void)state;
    struct buffer golden = repository_file("tests/golden/preprocess.txt");
    assert_int_equal(buffer_append(&golden, "", 1, NULL), STATUS_OK);
    int decoded = 0, refused = 0;
    char *rest = (char *)golden.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char name[64], expected[DIGEST_TEXT_SIZE];
        int width, height;
        if (sscanf(line, "jpeg %63s %d %d %64s", name, &width, &height, expected) == 4) {
            check_decoded(name, width, height, expected);
            decoded++;
        } else if (sscanf(line, "refused %63s", name) == 1) {
            check_refused_file(name, "");
            refused++;
        }
    }
    buffer_release(&golden);
    assert_true(decoded >= MIN_JPEGS);
    assert_true(refused >= MIN_REFUSED);
}

static void test_sentences(void **state)
{
    (void)state;
    check_refused_file("cmyk", "CMYK");
    check_refused_file("truncated", "truncated");
    check_refused_file("truncated_progressive", "truncated");
    check_refused_file("without_end", "truncated");
    check_refused((struct bytes){NULL, 0}, MAX_PIXELS, "empty");
    check_refused((struct bytes){(const uint8_t *)"\xff\xd8", 2}, MAX_PIXELS, "not a JPEG");
    check_refused((struct bytes){(const uint8_t *)"\x89PNG\r\n\x1a\n", 8}, MAX_PIXELS, "not a JPEG");
    check_refused((struct bytes){(const uint8_t *)"\xff\xd8\xff\xd9", 4}, MAX_PIXELS, "");
}

// Offset of the last or first marker 0xff, code in data.
static size_t marker_at(struct bytes data, uint8_t code, bool last)
{
    size_t found = data.size;
    for (size_t i = 0; i + 1 < data.size; i++)
        if (data.data[i] == 0xff && data.data[i + 1] == code) {
            found = i;
            if (!last)
                break;
        }
    assert_true(found < data.size);
    return found;
}

static void test_pixel_limit(void **state)
{
    (void)state;
    struct buffer data = golden_jpeg("s420"); // 131 x 97
    struct image image;
    assert_int_equal(jpeg_decode(buffer_bytes(&data), 131 * 97, &image, NULL), STATUS_OK);
    image_release(&image);
    check_refused(buffer_bytes(&data), 131 * 97 - 1, "131 x 97");
    // The frame header may claim any size: 0xff 0xc0, length (2), precision (1), height (2), width (2).
    size_t frame = marker_at(buffer_bytes(&data), 0xc0, false);
    memset(data.data + frame + 5, 0xff, 4);
    check_refused(buffer_bytes(&data), INT64_MAX, "65500");
    memset(data.data + frame + 5, 0xea, 4); // 60138 x 60138
    check_refused(buffer_bytes(&data), MAX_PIXELS, "60138 x 60138");
    buffer_release(&data);
}

static void check_decoding_size(const char *name, int64_t max_pixels, size_t expected)
{
    struct buffer data = golden_jpeg(name);
    assert_int_equal(jpeg_decoding_size(buffer_bytes(&data), max_pixels), expected);
    buffer_release(&data);
}

static void test_decoding_size(void **state)
{
    (void)state;
    check_decoding_size("s420", MAX_PIXELS, 131 * 97 * 3);
    check_decoding_size("truncated", MAX_PIXELS, 131 * 97 * 3); // the header is there
    check_decoding_size("progressive", MAX_PIXELS, 131 * 97 * 9);
    check_decoding_size("s420", 131 * 97 - 1, 0);
    check_decoding_size("truncated_header", MAX_PIXELS, 0);
    check_decoding_size("cmyk", MAX_PIXELS, 0);
    assert_int_equal(jpeg_decoding_size((struct bytes){NULL, 0}, MAX_PIXELS), 0);
}

static void test_twelve_bits_are_refused(void **state)
{
    (void)state;
    struct buffer data = golden_jpeg("s420");
    data.data[marker_at(buffer_bytes(&data), 0xc0, false) + 4] = 12;
    check_refused(buffer_bytes(&data), MAX_PIXELS, "precision 12");
    buffer_release(&data);
}

// The same progressive file, but its last scan comes count times; each costs a walk over the whole picture.
static struct buffer repeat_last_scan(struct bytes data, int count)
{
    size_t scan = marker_at(data, 0xda, true);
    size_t end = marker_at(data, 0xd9, true);
    struct buffer bomb;
    buffer_init(&bomb, PICTURE_MAX_FILE_SIZE);
    assert_int_equal(buffer_append(&bomb, data.data, scan, NULL), STATUS_OK);
    for (int i = 0; i < count; i++)
        assert_int_equal(buffer_append(&bomb, data.data + scan, end - scan, NULL), STATUS_OK);
    assert_int_equal(buffer_append(&bomb, data.data + end, data.size - end, NULL), STATUS_OK);
    return bomb;
}

static void test_too_many_scans(void **state)
{
    (void)state;
    struct buffer data = golden_jpeg("progressive");
    struct buffer bomb = repeat_last_scan(buffer_bytes(&data), 600);
    check_refused(buffer_bytes(&bomb), MAX_PIXELS, "more than 500 scans");
    buffer_release(&bomb);
    buffer_release(&data);
}

static void on_error(j_common_ptr jpeg)
{
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    fail_msg("libjpeg: %s", text);
}

// A black square in six progressive scans, of which the last refines coefficients that are all 0.
static struct buffer black_progressive(int side)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    errors.error_exit = on_error;
    jpeg_create_compress(&jpeg);
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    jpeg_mem_dest(&jpeg, &bytes, &size);
    jpeg.image_width = jpeg.image_height = (JDIMENSION)side;
    jpeg.input_components = 1;
    jpeg.in_color_space = JCS_GRAYSCALE;
    jpeg_set_defaults(&jpeg);
    jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    JSAMPROW row = calloc((size_t)side, 1);
    while (jpeg.next_scanline < jpeg.image_height)
        jpeg_write_scanlines(&jpeg, &row, 1);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    struct buffer data;
    buffer_init(&data, PICTURE_MAX_FILE_SIZE);
    assert_int_equal(buffer_append(&data, bytes, size, NULL), STATUS_OK);
    free(row);
    free(bytes);
    return data;
}

// The larger the picture, the fewer scans it may have: 490 of them over 3 million pixels are refused after as
// much work as 20 of the largest picture take; the same 490 over few pixels are none too many.
static void test_scans_of_large_pictures(void **state)
{
    (void)state;
    enum { SIDE = 1750, SCANS = 490, MOST_S = 1 }; // 2 s when all scans are read
    struct buffer data = black_progressive(SIDE);
    struct buffer bomb = repeat_last_scan(buffer_bytes(&data), SCANS);
    assert_true(bomb.size < 100000);
    struct image image;
    clock_t begun = clock();
    check_refused(buffer_bytes(&bomb), SIDE * SIDE, "more than 20 scans of 1750 x 1750 pixels");
    assert_true(clock() - begun < MOST_S * CLOCKS_PER_SEC);
    assert_int_equal(jpeg_decode(buffer_bytes(&bomb), SIDE * SIDE, &image, NULL), STATUS_REJECTED);
    assert_true(image.too_large);
    assert_int_equal(jpeg_decode(buffer_bytes(&data), SIDE * SIDE, &image, NULL), STATUS_OK);
    image_release(&image);
    buffer_release(&data);
    buffer_release(&bomb);
    data = black_progressive(SIDE / 10);
    bomb = repeat_last_scan(buffer_bytes(&data), SCANS);
    assert_int_equal(jpeg_decode(buffer_bytes(&bomb), SIDE * SIDE, &image, NULL), STATUS_OK);
    image_release(&image);
    buffer_release(&data);
    buffer_release(&bomb);
}

// A prefix is either refused or, once the last row is complete, decoded like the whole.
static void check_every_prefix(const char *name)
{
    struct buffer data = golden_jpeg(name);
    struct image whole;
    assert_int_equal(jpeg_decode(buffer_bytes(&data), MAX_PIXELS, &whole, NULL), STATUS_OK);
    for (size_t size = 0; size < data.size; size++) {
        struct image image;
        enum status status = jpeg_decode((struct bytes){data.data, size}, MAX_PIXELS, &image, NULL);
        if (status != STATUS_OK) {
            assert_int_equal(status, STATUS_REJECTED);
            continue;
        }
        assert_true(size + 2 >= data.size);
        assert_memory_equal(image.pixels, whole.pixels, (size_t)whole.width * (size_t)whole.height * 3);
        image_release(&image);
    }
    image_release(&whole);
    buffer_release(&data);
}

static void test_every_prefix(void **state)
{
    (void)state;
    check_every_prefix("odd_420");
    check_every_prefix("grey");
    check_every_prefix("progressive");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_pillow),      cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_pixel_limit),    cmocka_unit_test(test_twelve_bits_are_refused),
        cmocka_unit_test(test_too_many_scans), cmocka_unit_test(test_scans_of_large_pictures),
        cmocka_unit_test(test_every_prefix),   cmocka_unit_test(test_decoding_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
