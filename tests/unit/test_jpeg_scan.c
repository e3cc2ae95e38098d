// test_jpeg_scan.c: the coefficients against those that libjpeg reads for transcoding, which files are taken
// and which are left to libjpeg, and damaged files: with either decoder the same verdict, sentence and
// pixels.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/picture/jpeg_scan.h"
#include "tests/support/picture.h"

enum { MAX_PIXELS = 1000000, DAMAGES_PER_FILE = 400 };

static const char *const taken[] = {"s420", "s422",   "s444",      "odd_420",   "grey",           "restart",
                                    "wide", "narrow", "one_pixel", "adobe_rgb", "bytes_after_end"};
static const char *const left_to_libjpeg[] = {"progressive", "progressive_grey", "without_end"};
static const char *const out_of_order[] = {"damaged_restart"};

static void on_error(j_common_ptr jpeg)
{
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    fail_msg("libjpeg: %s", text);
}

static void open_jpeg(struct jpeg_decompress_struct *jpeg, struct jpeg_error_mgr *errors, struct bytes data)
{
    jpeg->err = jpeg_std_error(errors);
    errors->error_exit = on_error;
    jpeg_create_decompress(jpeg);
    jpeg_mem_src(jpeg, data.data, data.size);
    assert_int_equal(jpeg_read_header(jpeg, TRUE), JPEG_HEADER_OK);
}

// The block of an MCU among the coefficients that libjpeg read (ITU-T T.81, A.2).
static const JCOEF *expected_block(struct jpeg_decompress_struct *jpeg, jvirt_barray_ptr *arrays,
                                   unsigned mcu, int component, int index)
{
    const jpeg_component_info *info = &jpeg->comp_info[component];
    bool interleaved = jpeg->num_components > 1;
    unsigned across = interleaved ? (unsigned)info->h_samp_factor : 1;
    unsigned down = interleaved ? (unsigned)info->v_samp_factor : 1;
    unsigned size = interleaved ? 8 * (unsigned)jpeg->max_h_samp_factor : 8;
    unsigned mcus_per_row = (jpeg->image_width + size - 1) / size;
    unsigned row = mcu / mcus_per_row * down + (unsigned)index / across;
    unsigned column = mcu % mcus_per_row * across + (unsigned)index % across;
    return jpeg->mem->access_virt_barray((j_common_ptr)jpeg, arrays[component], row, 1, FALSE)[0][column];
}

static void check_coefficients(const char *name, struct bytes data)
{
    struct jpeg_decompress_struct jpeg, reference;
    struct jpeg_error_mgr errors, reference_errors;
    open_jpeg(&reference, &reference_errors, data);
    jvirt_barray_ptr *arrays = jpeg_read_coefficients(&reference);
    open_jpeg(&jpeg, &errors, data);
    jpeg_start_decompress(&jpeg);
    struct jpeg_scan *scan = jpeg_scan_new(&jpeg);
    if (!scan)
        fail_msg("%s is not taken", name);
    JBLOCK blocks[D_MAX_BLOCKS_IN_MCU];
    JBLOCKROW rows[D_MAX_BLOCKS_IN_MCU];
    for (int i = 0; i < D_MAX_BLOCKS_IN_MCU; i++)
        rows[i] = &blocks[i];
    unsigned count = jpeg.MCUs_per_row * jpeg.MCU_rows_in_scan;
    for (unsigned mcu = 0; mcu < count; mcu++) {
        assert_false(jpeg_scan_is_complete(scan));
        memset(blocks, 0, sizeof blocks);
        assert_true(jpeg_scan_decode_mcu(scan, &jpeg, rows));
        int index = 0; // within the component
        for (int i = 0; i < jpeg.blocks_in_MCU; i++) {
            int component = jpeg.MCU_membership[i];
            index = i > 0 && jpeg.MCU_membership[i - 1] == component ? index + 1 : 0;
            const JCOEF *expected = expected_block(&reference, arrays, mcu, component, index);
            if (memcmp(blocks[i], expected, sizeof blocks[i]) != 0)
                fail_msg("%s: MCU %u, block %d differs", name, mcu, i);
        }
    }
    assert_true(jpeg_scan_is_complete(scan));
    assert_false(jpeg_scan_decode_mcu(scan, &jpeg, rows));
    assert_int_equal(jpeg.unread_marker, JPEG_EOI);
    jpeg_scan_free(scan);
    jpeg_destroy_decompress(&jpeg);
    jpeg_destroy_decompress(&reference);
}

static void test_coefficients(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        struct buffer data = golden_jpeg(taken[i]);
        check_coefficients(taken[i], buffer_bytes(&data));
        buffer_release(&data);
    }
}

// Noise at the highest quality: blocks without an end of block, and, with the tables of annex K, long codes.
static void check_dense(bool own_tables)
{
    struct image image = noise_image(83, 61, 7);
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    errors.error_exit = on_error;
    jpeg_create_compress(&jpeg);
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    jpeg_mem_dest(&jpeg, &bytes, &size);
    jpeg.image_width = (JDIMENSION)image.width;
    jpeg.image_height = (JDIMENSION)image.height;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    jpeg.optimize_coding = own_tables;
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        JSAMPROW row = image.pixels + (size_t)jpeg.next_scanline * (size_t)image.width * 3;
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    check_coefficients(own_tables ? "dense, own tables" : "dense, tables of annex K",
                       (struct bytes){bytes, size});
    free(bytes);
    image_release(&image);
}

static void test_dense_coefficients(void **state)
{
    (void)state;
    check_dense(false);
    check_dense(true);
}

// Whether every MCU of the file is decoded; *is_taken tells whether it is tried.
static bool decodes(const char *name, bool *is_taken)
{
    struct buffer data = golden_jpeg(name);
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    open_jpeg(&jpeg, &errors, buffer_bytes(&data));
    jpeg_start_decompress(&jpeg);
    struct jpeg_scan *scan = jpeg_scan_new(&jpeg);
    *is_taken = scan != NULL;
    JBLOCK blocks[D_MAX_BLOCKS_IN_MCU];
    JBLOCKROW rows[D_MAX_BLOCKS_IN_MCU];
    for (int i = 0; i < D_MAX_BLOCKS_IN_MCU; i++)
        rows[i] = &blocks[i];
    bool decoded = scan != NULL;
    while (decoded && !jpeg_scan_is_complete(scan))
        decoded = jpeg_scan_decode_mcu(scan, &jpeg, rows);
    jpeg_scan_free(scan);
    jpeg_destroy_decompress(&jpeg);
    buffer_release(&data);
    return decoded;
}

static void test_left_to_libjpeg(void **state)
{
    (void)state;
    bool is_taken;
    for (size_t i = 0; i < sizeof left_to_libjpeg / sizeof *left_to_libjpeg; i++) {
        assert_false(decodes(left_to_libjpeg[i], &is_taken));
        assert_false(is_taken);
    }
    for (size_t i = 0; i < sizeof out_of_order / sizeof *out_of_order; i++) {
        assert_false(decodes(out_of_order[i], &is_taken));
        assert_true(is_taken);
    }
}

static void check_same(const char *what, struct bytes data)
{
    struct image own, libjpeg;
    struct error own_err = {""}, libjpeg_err = {""};
    enum status status = jpeg_decode_with(JPEG_ENTROPY_OWN, data, MAX_PIXELS, &own, &own_err);
    enum status expected = jpeg_decode_with(JPEG_ENTROPY_LIBJPEG, data, MAX_PIXELS, &libjpeg, &libjpeg_err);
    if (status != expected || strcmp(own_err.message, libjpeg_err.message) != 0)
        fail_msg("%s: %d '%s', libjpeg %d '%s'", what, status, own_err.message, expected,
                 libjpeg_err.message);
    if (status == STATUS_OK) {
        assert_int_equal(own.width, libjpeg.width);
        assert_int_equal(own.height, libjpeg.height);
        if (memcmp(own.pixels, libjpeg.pixels, (size_t)own.width * (size_t)own.height * 3) != 0)
            fail_msg("%s: pixels differ", what);
    }
    assert_int_equal(own.too_large, libjpeg.too_large);
    image_release(&own);
    image_release(&libjpeg);
}

// One to four bytes replaced, by anything or by what begins a marker; every fourth time, bytes cut out too.
static void damage(struct buffer *data, uint64_t seed)
{
    uint64_t random = splitmix64(seed);
    for (unsigned i = 0; i <= random % 4; i++) {
        uint64_t more = splitmix64(random + i);
        static const uint8_t telling[] = {0xff, 0x00, 0xd0, 0xd1, 0xd7, 0xd9, 0xfe};
        uint8_t byte = more & 1 ? (uint8_t)(more >> 8) : telling[(more >> 8) % sizeof telling];
        data->data[(more >> 16) % data->size] = byte;
    }
    if (random >> 8 & 3)
        return;
    size_t begin = (random >> 16) % data->size;
    size_t size = (random >> 40) % 16;
    if (size > data->size - begin)
        size = data->size - begin;
    memmove(data->data + begin, data->data + begin + size, data->size - begin - size);
    data->size -= size;
}

static void check_damaged(const char *name)
{
    struct buffer data = golden_jpeg(name), damaged;
    buffer_init(&damaged, PICTURE_MAX_FILE_SIZE);
    check_same(name, buffer_bytes(&data));
    for (uint64_t seed = 0; seed < DAMAGES_PER_FILE; seed++) {
        buffer_clear(&damaged);
        assert_int_equal(buffer_append(&damaged, data.data, data.size, NULL), STATUS_OK);
        damage(&damaged, seed * 1000003);
        char what[128];
        snprintf(what, sizeof what, "%s, damage %llu", name, (unsigned long long)seed);
        check_same(what, buffer_bytes(&damaged));
    }
    buffer_release(&damaged);
    buffer_release(&data);
}

static void test_damaged_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        check_damaged(taken[i]);
    for (size_t i = 0; i < sizeof out_of_order / sizeof *out_of_order; i++)
        check_damaged(out_of_order[i]);
}

// Byte FF as FF FF 00, which libjpeg does not read as it reads FF 00: its fast path takes what follows the
// first FF for zeros, then its slow path decodes the MCU anew into the same block, without clearing it.
static void test_byte_ff_written_twice(void **state)
{
    (void)state;
    struct image noise = noise_image(240, 160, 9);
    struct buffer data, changed;
    buffer_init(&data, PICTURE_MAX_FILE_SIZE);
    buffer_init(&changed, PICTURE_MAX_FILE_SIZE);
    assert_int_equal(jpeg_encode(&noise, 95, &data, NULL), STATUS_OK);
    int places = 0;
    for (size_t at = data.size / 8; at + 1 < data.size; at++) { // behind the headers
        if (data.data[at] != 0xff || data.data[at + 1] != 0)
            continue;
        places++;
        buffer_clear(&changed);
        assert_int_equal(buffer_append(&changed, data.data, at + 1, NULL), STATUS_OK);
        assert_int_equal(buffer_append(&changed, data.data + at, data.size - at, NULL), STATUS_OK);
        char what[64];
        snprintf(what, sizeof what, "FF twice at byte %zu", at);
        check_same(what, buffer_bytes(&changed));
    }
    assert_true(places > 50);
    buffer_release(&changed);
    buffer_release(&data);
    image_release(&noise);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coefficients),          cmocka_unit_test(test_dense_coefficients),
        cmocka_unit_test(test_left_to_libjpeg),       cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_byte_ff_written_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
