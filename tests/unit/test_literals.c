// test_literals.c: zlib reads the streams of literals.h, and they are as short as the bytes' entropy allows.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/picture/literals.h"
#include "tests/support/picture.h"

enum { STORED_MAX = 65535 };

// The stream's size, which is within both bounds; what zlib makes of it is data again.
static size_t check_stream(struct bytes data)
{
    size_t bound = literals_bound(data.size);
    uint8_t *stream = malloc(bound), *again = malloc(data.size + 1);
    assert_non_null(stream);
    assert_non_null(again);
    size_t size = literals_pack(data, (uint32_t)adler32_z(1, data.data, data.size), stream);
    assert_true(size <= bound);
    assert_true(size <= data.size + 5 * (data.size / STORED_MAX + 1) + 6);
    uLongf found = data.size + 1;
    uLong used = size;
    assert_int_equal(uncompress2(again, &found, stream, &used), Z_OK);
    assert_int_equal(found, data.size);
    assert_int_equal(used, size);
    assert_memory_equal(again, data.data, data.size);
    free(stream);
    free(again);
    return size;
}

static uint8_t *new_bytes(size_t size)
{
    uint8_t *bytes = calloc(size + 1, 1);
    assert_non_null(bytes);
    return bytes;
}

static void test_every_size_near_the_edges(void **state)
{
    (void)state;
    static const size_t edges[] = {0, 1024, 4096, STORED_MAX, 2 * STORED_MAX, 300000};
    uint8_t *noise = new_bytes(310000), *flat = new_bytes(310000);
    noise_fill(noise, 310000, 3);
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        for (size_t size = edges[i] < 9 ? 0 : edges[i] - 9; size <= edges[i] + 9; size++) {
            check_stream((struct bytes){noise, size});
            check_stream((struct bytes){flat, size});
        }
    free(noise);
    free(flat);
}

// A flat picture costs a bit a byte, the code and the frame.
static void test_one_value_costs_one_bit(void **state)
{
    (void)state;
    uint8_t *flat = new_bytes(100000);
    memset(flat, 200, 100000);
    assert_true(check_stream((struct bytes){flat, 100000}) <= 100000 / 8 + 200);
    free(flat);
}

// Differences as a photograph has them: Laplace's distribution. Huffman's codes lose less than a tenth of a
// bit (Gallager's bound is 0.086 beyond the likeliest value's share), and the frame takes 200 bytes.
static void test_size_is_near_the_entropy(void **state)
{
    (void)state;
    enum { SIZE = 150000 };
    uint8_t *bytes = new_bytes(SIZE);
    for (double scale = 1; scale < 50; scale *= 3) {
        double entropy = 0;
        unsigned counts[256] = {0};
        for (int i = 0; i < SIZE; i++) {
            double share = ((double)(splitmix64((uint64_t)i) >> 11) + 0.5) / 9007199254740992.0 - 0.5;
            double value = -scale * copysign(log(1 - 2 * fabs(share)), share);
            bytes[i] = (uint8_t)lrint(value);
            counts[bytes[i]]++;
        }
        for (int i = 0; i < 256; i++)
            if (counts[i])
                entropy -= counts[i] * log2((double)counts[i] / SIZE) / SIZE;
        double bits = 8.0 * (double)check_stream((struct bytes){bytes, SIZE}) / SIZE;
        if (bits > entropy + 0.15)
            fail_msg("scale %g: %g bits a byte, entropy %g", scale, bits, entropy);
    }
    free(bytes);
}

// Counts like Fibonacci's numbers make the deepest tree, which has to be cut.
static void test_codes_of_any_depth_are_cut(void **state)
{
    (void)state;
    for (int values = 2; values <= 26; values++) {
        size_t size = 0, count = 1, before = 0;
        uint8_t *bytes = new_bytes(4 * 320000);
        for (int value = 0; value < values; value++) {
            memset(bytes + size, value * 9, 4 * count);
            size += 4 * count;
            size_t next = count + before;
            before = count;
            count = next;
        }
        check_stream((struct bytes){bytes, size});
        free(bytes);
    }
}

// The code is made from every fourth byte: here of such that the others get its longest ones, 14 bits.
static void test_bytes_that_were_not_counted(void **state)
{
    (void)state;
    enum { SIZE = 200000 };
    uint8_t *bytes = new_bytes(SIZE);
    noise_fill(bytes, SIZE, 8);
    for (size_t i = 0; i < SIZE; i += 4)
        bytes[i] = (uint8_t)__builtin_ctzll(splitmix64(i) | 1 << 20);
    assert_int_equal(check_stream((struct bytes){bytes, SIZE}), SIZE + 5 * 4 + 6);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size_near_the_edges),   cmocka_unit_test(test_one_value_costs_one_bit),
        cmocka_unit_test(test_size_is_near_the_entropy),    cmocka_unit_test(test_codes_of_any_depth_are_cut),
        cmocka_unit_test(test_bytes_that_were_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
