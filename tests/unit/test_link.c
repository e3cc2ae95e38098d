// test_link.c: links to attention maps. The expected signatures come from Python's hmac.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "producer/gateway/link.h"

#define ID     "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
#define FIRST  "bddb108233ecb3cfdfc8714f5c0846e939cd87ad72fc4ab0bd39a36584f55180"
#define SECOND "c42325bef8f5a034bbd334f5059824bcf7447b15fc0fe6761c89b17585d594d2"
#define ENDS   INT64_C(1795420685370)

static enum status init_from(struct link_signer *signer, const char *text)
{
    char path[] = "/tmp/test_link.XXXXXX";
    struct error err;
    int file = mkstemp(path);
    assert_true(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
    close(file);
    enum status status = link_signer_init(signer, "https://skin.example", path, &err);
    unlink(path);
    return status;
}

static void test_link(void **state)
{
    (void)state;
    struct link_signer signer;
    char url[LINK_URL_SIZE];
    assert_int_equal(init_from(&signer, "first key of the links\nsecond key of the links\n"), STATUS_OK);
    link_make(&signer, ID, ENDS, url);
    assert_string_equal(url,
                        "https://skin.example/attention/" ID ".png?expires=1795420685370&signature=" FIRST);
    assert_int_equal(link_check(&signer, ID, "1795420685370", FIRST, ENDS - 1), LINK_GOOD);
    assert_int_equal(link_check(&signer, ID, "1795420685370", SECOND, ENDS - 1), LINK_GOOD);
    assert_int_equal(link_check(&signer, ID, "1795420685370", FIRST, ENDS), LINK_EXPIRED);
    assert_int_equal(init_from(&signer, "second key of the links"), STATUS_OK);
    assert_int_equal(link_check(&signer, ID, "1795420685370", FIRST, ENDS - 1), LINK_FORGED);
    assert_int_equal(link_check(&signer, ID, "1795420685370", SECOND, ENDS - 1), LINK_GOOD);
}

static void test_altered_links(void **state)
{
    (void)state;
    struct link_signer signer;
    assert_int_equal(init_from(&signer, "first key of the links"), STATUS_OK);
    const char *other = "f81d4fae-7dec-11d0-a765-00a0c91e6bf7";
    assert_int_equal(link_check(&signer, other, "1795420685370", FIRST, 0), LINK_FORGED);
    static const char *const ends[] = {
        "", "1795420685371", "-1", "1795420685370 ", "01795420685370", "1e13", "99999999999999999999999999"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        assert_int_equal(link_check(&signer, ID, ends[i], FIRST, 0), LINK_FORGED);
    for (size_t i = 0; i < strlen(FIRST); i++) {
        char signature[] = FIRST;
        signature[i] = signature[i] == '0' ? '1' : '0';
        assert_int_equal(link_check(&signer, ID, "1795420685370", signature, 0), LINK_FORGED);
    }
    assert_int_equal(link_check(&signer, ID, "1795420685370", "", 0), LINK_FORGED);
    assert_int_equal(link_check(&signer, ID, "1795420685370", FIRST "0", 0), LINK_FORGED);
}

static void test_keys(void **state)
{
    (void)state;
    struct link_signer signer, other;
    struct error err;
    char url[LINK_URL_SIZE];
    assert_int_equal(init_from(&signer, "too short"), STATUS_REJECTED);
    assert_int_equal(init_from(&signer, "first key of the links\nshort\n"), STATUS_REJECTED);
    assert_int_equal(
        init_from(&signer, "first key of the links\nsecond key of the links\nthird key of the links"),
        STATUS_REJECTED);
    assert_int_equal(link_signer_init(&signer, "http://a", "", &err), STATUS_OK); // random keys
    assert_int_equal(link_signer_init(&other, "http://a", "", &err), STATUS_OK);
    link_make(&signer, ID, ENDS, url);
    const char *signature = strstr(url, "signature=") + strlen("signature=");
    assert_int_equal(link_check(&signer, ID, "1795420685370", signature, 0), LINK_GOOD);
    assert_int_equal(link_check(&other, ID, "1795420685370", signature, 0), LINK_FORGED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_link),
        cmocka_unit_test(test_altered_links),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
