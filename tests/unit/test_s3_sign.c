// test_s3_sign.c: signatures against the examples that AWS publishes in the S3 API reference, "Signature
// Calculations for the Authorization Header" and "Authenticating Requests: Using Query Parameters".
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/services/s3_sign.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define TIME  "20130524T000000Z"
#define HOST                                                                                                 \
    {                                                                                                        \
        "host", "examplebucket.s3.amazonaws.com"                                                             \
    }

static const struct s3_signer signer = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                        "us-east-1"};

static const struct s3_header of_empty[] = {HOST, {"x-amz-content-sha256", EMPTY}, {"x-amz-date", TIME}};

static void expect(const struct s3_signed_parts *parts, const char *expected)
{
    char signature[DIGEST_TEXT_SIZE];
    s3_signature(&signer, parts, signature);
    assert_string_equal(signature, expected);
}

static void test_get_of_a_range(void **state)
{
    (void)state;
    const struct s3_header headers[] = {
        HOST, {"range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY}, {"x-amz-date", TIME}};
    const struct s3_signed_parts parts = {TIME, "GET", "/test.txt", "", headers, 4, EMPTY};
    char *authorization = s3_authorization(&signer, &parts);
    assert_string_equal(
        authorization, "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
                       "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
                       "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    free(authorization);
}

static void test_put(void **state)
{
    (void)state;
    static const char body[] = "Welcome to Amazon S3.";
    char body_digest[DIGEST_TEXT_SIZE];
    struct digest digest = digest_of(body, sizeof body - 1);
    digest_text(&digest, body_digest);
    const struct s3_header headers[] = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                        HOST,
                                        {"x-amz-content-sha256", body_digest},
                                        {"x-amz-date", TIME},
                                        {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    const struct s3_signed_parts parts = {TIME, "PUT", "/test%24file.text", "", headers, 5, body_digest};
    expect(&parts, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void test_queries(void **state)
{
    (void)state;
    struct s3_signed_parts parts = {TIME, "GET", "/", "lifecycle=", of_empty, 3, EMPTY};
    expect(&parts, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    parts.query = "max-keys=2&prefix=J";
    expect(&parts, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void test_presigned_url(void **state)
{
    (void)state;
    const char *query = "X-Amz-Algorithm=AWS4-HMAC-SHA256"
                        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
                        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host";
    const struct s3_signed_parts parts = {TIME, "GET", "/test.txt", query, of_empty, 1, "UNSIGNED-PAYLOAD"};
    expect(&parts, "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

static void test_time(void **state)
{
    (void)state;
    char text[S3_TIME_SIZE];
    s3_time(1369353600999, text);
    assert_string_equal(text, TIME);
    s3_time(951782399000, text); // date -u -d @951782399
    assert_string_equal(text, "20000228T235959Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_of_a_range), cmocka_unit_test(test_put),  cmocka_unit_test(test_queries),
        cmocka_unit_test(test_presigned_url),  cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
