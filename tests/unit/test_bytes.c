// test_bytes.c: buffers and their limit, hexadecimal, base64 (vectors of RFC 4648, section 10, and whatever a
// submitter may get wrong).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "common/base/bytes.h"

static const struct {
    const char *plain;
    const char *coded;
} rfc_4648[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};
enum { VECTORS = sizeof rfc_4648 / sizeof *rfc_4648 };

static void expect_decoded(const char *text, size_t length, const char *plain)
{
    uint8_t data[64];
    size_t size = 999;
    if (!base64_decode(text, length, data, &size))
        fail_msg("'%.*s' is refused", (int)length, text);
    assert_int_equal(size, strlen(plain));
    assert_true(size <= base64_decoded_size(length));
    assert_memory_equal(data, plain, size);
}

static void test_base64_vectors(void **state)
{
    (void)state;
    for (int i = 0; i < VECTORS; i++) {
        char text[32];
        size_t size = strlen(rfc_4648[i].plain);
        base64_encode((const uint8_t *)rfc_4648[i].plain, size, text);
        assert_string_equal(text, rfc_4648[i].coded);
        assert_int_equal(base64_encoded_size(size), strlen(text));
        expect_decoded(rfc_4648[i].coded, strlen(rfc_4648[i].coded), rfc_4648[i].plain);
    }
}

static void test_base64_without_padding(void **state)
{
    (void)state;
    for (int i = 0; i < VECTORS; i++)
        expect_decoded(rfc_4648[i].coded, strcspn(rfc_4648[i].coded, "="), rfc_4648[i].plain);
}

static void test_base64_whole_alphabet(void **state)
{
    (void)state;
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t data[64];
    char text[72];
    size_t size;
    assert_true(base64_decode(alphabet, 64, data, &size));
    assert_int_equal(size, 48);
    // Four digits of six bits: 0, 1, 2, 3 is 0x00, 0x10, 0x83; 60..63 is 0xf3, 0xdf, 0xbf (worked by hand).
    assert_memory_equal(data, "\x00\x10\x83", 3);
    assert_memory_equal(data + 45, "\xf3\xdf\xbf", 3);
    base64_encode(data, size, text);
    assert_string_equal(text, alphabet);
}

static void test_base64_malformed(void **state)
{
    (void)state;
    static const char *const malformed[] = {
        "A",      "AAAAA",     "A===",  "Z",        "Zm9vY", "Zm9v=",    "Zm9v==",   "Zm9v====",   "Zg=",
        "Zg===",  "Z===",      "====",  "=",        "==",    "Zg==Zg==", "Zm8=Zm8=", "Zm=v",       "=Zm9",
        "Zm9v\n", "Zm9v Zg==", " Zm9v", "Zm\r\n9v", "Zm9_",  "Zm9-",     "Zm9v.",    "Zm9\x80",    "Zm9\xff",
        "Zm9@",   "Zm9[",      "Zm9`",  "Zm9{",     "Zm9:",  "Zm9*",     "Zm9,",     "data:,Zm9v",
    };
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        uint8_t data[64];
        size_t size;
        if (base64_decode(malformed[i], strlen(malformed[i]), data, &size))
            fail_msg("'%s' is taken", malformed[i]);
    }
    uint8_t data[8];
    size_t size;
    assert_false(base64_decode("Zm\0v", 4, data, &size));
}

// Of the last digit only the upper bits count; the others must be zero, or two texts would mean the same
// bytes.
static void test_base64_trailing_bits(void **state)
{
    (void)state;
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 64; i++) {
        uint8_t data[8];
        size_t size;
        char one[] = {'Z', alphabet[i], '=', '='};
        char two[] = {'Z', 'm', alphabet[i], '='};
        assert_int_equal(base64_decode(one, 4, data, &size), i % 16 == 0);
        assert_int_equal(base64_decode(one, 2, data, &size), i % 16 == 0);
        assert_int_equal(base64_decode(two, 4, data, &size), i % 4 == 0);
        assert_int_equal(base64_decode(two, 3, data, &size), i % 4 == 0);
    }
}

// Every length from 0 to 200, against OpenSSL; the memory is exactly as large as promised, so that a
// sanitizer sees a byte too many.
static void test_base64_against_openssl(void **state)
{
    (void)state;
    uint32_t random = 12345;
    for (size_t size = 0; size <= 200; size++) {
        uint8_t *data = malloc(size + 1);
        char *text = malloc(base64_encoded_size(size) + 1);
        uint8_t *back = malloc(base64_decoded_size(base64_encoded_size(size)));
        unsigned char expected[300];
        size_t back_size;
        assert_true(data && text && back);
        for (size_t i = 0; i < size; i++)
            data[i] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
        base64_encode(data, size, text);
        EVP_EncodeBlock(expected, data, (int)size);
        assert_string_equal(text, (char *)expected);
        assert_true(base64_decode(text, strlen(text), back, &back_size));
        assert_int_equal(back_size, size);
        assert_memory_equal(back, data, size);
        free(data);
        free(text);
        free(back);
    }
}

static void test_hex(void **state)
{
    (void)state;
    static const uint8_t data[] = {0x00, 0x01, 0x9a, 0xbc, 0xff};
    uint8_t back[5];
    char text[11];
    hex_encode(data, 5, text);
    assert_string_equal(text, "00019abcff");
    assert_true(hex_decode(text, back, 5));
    assert_memory_equal(back, data, 5);
    assert_true(hex_decode("00019ABCff", back, 5));
    assert_memory_equal(back, data, 5);
    hex_encode(data, 0, text);
    assert_string_equal(text, "");
    assert_true(hex_decode("", back, 0));
}

static void test_hex_malformed(void **state)
{
    (void)state;
    static const char *const malformed[] = {"",
                                            "0",
                                            "00",
                                            "000",
                                            "00000",
                                            "0g00",
                                            "g000",
                                            "00 0",
                                            "0x00",
                                            "-100",
                                            "00/0",
                                            "00:0",
                                            "00@0",
                                            "00G0",
                                            "00`0",
                                            "\xff"
                                            "000"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        uint8_t data[2];
        if (hex_decode(malformed[i], data, 2))
            fail_msg("'%s' is taken", malformed[i]);
    }
}

static void test_buffer_grows_to_its_limit(void **state)
{
    (void)state;
    struct buffer buffer;
    struct error err;
    uint8_t block[700];
    buffer_init(&buffer, 5000);
    for (int i = 0; i < 7; i++) {
        memset(block, i, sizeof block);
        assert_int_equal(buffer_append(&buffer, block, sizeof block, &err), STATUS_OK);
    }
    assert_int_equal(buffer.size, 4900);
    assert_int_equal(buffer_append(&buffer, block, 101, &err), STATUS_REJECTED);
    assert_string_equal(err.message, "more than the allowed 5000 bytes");
    assert_int_equal(buffer.size, 4900);
    assert_int_equal(buffer_append(&buffer, block, SIZE_MAX, &err), STATUS_REJECTED);
    assert_int_equal(buffer_append(&buffer, block, 100, &err), STATUS_OK);
    assert_int_equal(buffer_append(&buffer, NULL, 0, &err), STATUS_OK);
    for (size_t i = 0; i < buffer.size; i++)
        assert_int_equal(buffer.data[i], i / 700 < 7 ? i / 700 : 6);
    buffer_clear(&buffer);
    assert_int_equal(buffer_bytes(&buffer).size, 0);
    assert_int_equal(buffer_append(&buffer, "abc", 3, &err), STATUS_OK);
    assert_true(bytes_equal(buffer_bytes(&buffer), (struct bytes){(const uint8_t *)"abc", 3}));
    buffer_release(&buffer);
    buffer_release(&buffer);                                             // twice is harmless
    assert_int_equal(buffer_append(&buffer, "abc", 3, &err), STATUS_OK); // and it can be used again
    buffer_release(&buffer);
}

static void test_a_buffer_without_room(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 0);
    assert_int_equal(buffer_append(&buffer, "", 0, NULL), STATUS_OK);
    assert_int_equal(buffer_append(&buffer, "x", 1, NULL), STATUS_REJECTED);
    buffer_release(&buffer);
}

static void test_bytes_equal(void **state)
{
    (void)state;
    const uint8_t a[] = "abc", b[] = "abd";
    assert_true(bytes_equal((struct bytes){a, 3}, (struct bytes){a, 3}));
    assert_true(bytes_equal((struct bytes){a, 2}, (struct bytes){b, 2}));
    assert_false(bytes_equal((struct bytes){a, 3}, (struct bytes){b, 3}));
    assert_false(bytes_equal((struct bytes){a, 3}, (struct bytes){a, 2}));
    assert_true(bytes_equal((struct bytes){NULL, 0}, (struct bytes){a, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64_vectors),
        cmocka_unit_test(test_base64_without_padding),
        cmocka_unit_test(test_base64_whole_alphabet),
        cmocka_unit_test(test_base64_malformed),
        cmocka_unit_test(test_base64_trailing_bits),
        cmocka_unit_test(test_base64_against_openssl),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_hex_malformed),
        cmocka_unit_test(test_buffer_grows_to_its_limit),
        cmocka_unit_test(test_a_buffer_without_room),
        cmocka_unit_test(test_bytes_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
