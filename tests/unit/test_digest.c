// test_digest.c: SHA-256 against the published vectors of FIPS 180-2 (appendix B) and NIST CAVP.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/base/digest.h"

static const struct {
    const char *message;
    const char *digest;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void test_published_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        char text[DIGEST_TEXT_SIZE];
        struct digest digest = digest_of(vectors[i].message, strlen(vectors[i].message));
        digest_text(&digest, text);
        assert_string_equal(text, vectors[i].digest);
    }
}

static void test_million_letters_in_uneven_pieces(void **state)
{
    (void)state;
    char letters[997];
    memset(letters, 'a', sizeof letters);
    struct digest_stream *stream = digest_stream_new();
    for (size_t left = 1000000; left > 0;) {
        size_t size = left < sizeof letters ? left : sizeof letters;
        digest_stream_add(stream, letters, size);
        left -= size;
    }
    struct digest digest = digest_stream_finish(stream);
    char text[DIGEST_TEXT_SIZE];
    digest_text(&digest, text);
    assert_string_equal(text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_empty_stream(void **state)
{
    (void)state;
    struct digest streamed = digest_stream_finish(digest_stream_new());
    struct digest whole = digest_of("", 0);
    assert_true(digest_equal(&streamed, &whole));
}

// RFC 4231, test cases 1, 2 and 6 (a key longer than a block).
static void test_published_vectors_under_a_key(void **state)
{
    (void)state;
    uint8_t long_key[131], short_key[20];
    memset(long_key, 0xaa, sizeof long_key);
    memset(short_key, 0x0b, sizeof short_key);
    const struct {
        struct bytes key;
        const char *message, *digest;
    } keyed[] = {
        {{short_key, sizeof short_key},
         "Hi There",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {{(const uint8_t *)"Jefe", 4},
         "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {{long_key, sizeof long_key},
         "Test Using Larger Than Block-Size Key - Hash Key First",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    };
    for (size_t i = 0; i < sizeof keyed / sizeof *keyed; i++) {
        char text[DIGEST_TEXT_SIZE];
        struct digest digest = digest_keyed(keyed[i].key, keyed[i].message, strlen(keyed[i].message));
        digest_text(&digest, text);
        assert_string_equal(text, keyed[i].digest);
    }
}

static void test_text_is_read_back(void **state)
{
    (void)state;
    struct digest digest;
    assert_true(digest_parse(vectors[1].digest, &digest));
    struct digest expected = digest_of("abc", 3);
    assert_true(digest_equal(&digest, &expected));
    expected.value[31] ^= 1;
    assert_false(digest_equal(&digest, &expected));
}

static void test_malformed_text_is_refused_and_leaves_the_digest(void **state)
{
    (void)state;
    char text[DIGEST_TEXT_SIZE + 1] = {0};
    struct digest before = digest_of("abc", 3);
    struct digest digest = before;
    assert_false(digest_parse("", &digest));
    memset(text, 'a', 63);
    assert_false(digest_parse(text, &digest));
    memset(text, 'a', 65);
    assert_false(digest_parse(text, &digest));
    memset(text, 'a', 64);
    text[64] = '\0';
    text[40] = 'g';
    assert_false(digest_parse(text, &digest));
    assert_true(digest_equal(&digest, &before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_million_letters_in_uneven_pieces),
        cmocka_unit_test(test_empty_stream),
        cmocka_unit_test(test_published_vectors_under_a_key),
        cmocka_unit_test(test_text_is_read_back),
        cmocka_unit_test(test_malformed_text_is_refused_and_leaves_the_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
