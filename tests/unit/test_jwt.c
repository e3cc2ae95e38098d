// test_jwt.c: which tokens are good: published ones, and tokens of a provider whose every claim, key and part
// is wrong in turn; a set of keys that changes, in a file and at a URL.
#include "common/identity/jwt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/identity/gate.h"
#include "tests/support/process.h"
#include "tests/support/tokens.h"

enum { NOW_S = 1800000000, SKEW_S = 60 };

static char folder[SCRATCH_SIZE];
static char path[SCRATCH_SIZE + 16]; // of the set
static struct error err;
static EVP_PKEY *rsa, *ec, *stranger, *small, *other_curve;

// ---- a provider ----

static void write_set(const char *keys)
{
    FILE *file = fopen(path, "w");
    fprintf(file, "{\"keys\":[%s]}", keys);
    fclose(file);
}

static void write_usual_set(void)
{
    char one[JWK_SIZE], other[JWK_SIZE], both[2 * JWK_SIZE];
    jwk_of(rsa, "r1", ",\"use\":\"sig\",\"alg\":\"RS256\"", one);
    jwk_of(ec, "e1", "", other);
    snprintf(both, sizeof both, "%s,%s", one, other);
    write_set(both);
}

static struct jwt_options usual_options(void)
{
    return (struct jwt_options){.jwks = {.source = path, .authorities = ""},
                                .issuer = "https://login.example",
                                .audience = "skinsight",
                                .site_claim = "site",
                                .role_claim = "role",
                                .clock_skew_s = SKEW_S};
}

static struct jwt *open_jwt(void)
{
    const struct jwt_options options = usual_options();
    struct jwt *jwt;
    if (jwt_open(&jwt, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return jwt;
}

static const char usual_claims[] =
    "{\"iss\":\"https://login.example\",\"aud\":\"skinsight\",\"sub\":\"dr-lee\","
    "\"exp\":1800000300,\"nbf\":1799999990,\"site\":\"north\",\"role\":\"analyst\"}";
static const char usual_header[] = "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"JWT\"}";
static const char ec_header[] = "{\"alg\":\"ES256\",\"kid\":\"e1\"}";

static enum status judge(struct jwt *jwt, const char *token, struct identity *who)
{
    return jwt_identity(jwt, token, strlen(token), NOW_S, who, &err);
}

static enum status judge_claims(struct jwt *jwt, const char *claims)
{
    char token[TOKEN_SIZE];
    struct identity who;
    token_make(rsa, usual_header, claims, token);
    enum status status = judge(jwt, token, &who);
    if (status != STATUS_OK)
        assert_string_equal(who.actor, "");
    return status;
}

// ---- the cases ----

// RFC 7515, A.2 and A.3: the same payload, signed in 2015 by others.
static void test_published_tokens(void **state)
{
    (void)state;
    static const char set_text[] =
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_"
        "wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2"
        "mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-"
        "bSf63kpaSHSXndS5z5rexMdb"
        "BYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-"
        "DWNmoudF8NAco9_h9"
        "iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"},{\"kty\":\"EC\",\"crv\":\"P-256\","
        "\"x\":\"f83OJ3D2xF1B"
        "g8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";
#define PAYLOAD                                                                                              \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    static const char *const tokens[] = {
        "eyJhbGciOiJSUzI1NiJ9." PAYLOAD
        ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"
        "O8W2Fp5jujGbds9uJdbF9CU"
        "Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_"
        "eSN9383LcOLn6_dO-"
        "-xi12jzDwusC-"
        "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_I"
        "oypGlUPQGe77Rw",
        "eyJhbGciOiJFUzI1NiJ9." PAYLOAD
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    };
    struct jose_set *set;
    assert_int_equal(jose_set_read((struct bytes){(const uint8_t *)set_text, strlen(set_text)}, &set, &err),
                     STATUS_OK);
    assert_int_equal(jose_set_count(set), 2);
    for (size_t i = 0; i < 2; i++) {
        struct jose_header header;
        struct buffer payload;
        buffer_init(&payload, 1024);
        assert_int_equal(jose_header_read(tokens[i], strlen(tokens[i]), &header, &err), STATUS_OK);
        assert_int_equal(jose_verify(set, tokens[i], strlen(tokens[i]), &header, &payload, &err), STATUS_OK);
        assert_memory_equal(payload.data, "{\"iss\":\"joe\",\r\n \"exp\":1300819380,", 32);
        buffer_release(&payload);
    }
    jose_set_free(set);
}

static void test_good_tokens(void **state)
{
    (void)state;
    char token[TOKEN_SIZE];
    struct identity who;
    struct jwt *jwt = open_jwt();
    token_make(rsa, usual_header, usual_claims, token);
    assert_int_equal(judge(jwt, token, &who), STATUS_OK);
    assert_string_equal(who.actor, "dr-lee");
    assert_string_equal(who.site, "north");
    assert_int_equal(who.role, ROLE_ANALYST);
    assert_false(who.urgent);
    assert_string_equal(who.account, "jwt:north:dr-lee");
    token_make(ec, ec_header, usual_claims, token);
    assert_int_equal(judge(jwt, token, &who), STATUS_OK);
    token_make(rsa, "{\"alg\":\"RS256\"}", usual_claims, token); // the only key of its algorithm
    assert_int_equal(judge(jwt, token, &who), STATUS_OK);
    // A list of audiences, roles and one site; a clock that differs.
    assert_int_equal(
        judge_claims(jwt,
                     "{\"iss\":\"https://login.example\",\"aud\":[\"other\",\"skinsight\"],\"sub\":\"a\","
                     "\"exp\":1799999941,\"nbf\":1800000060,\"site\":[\"north\"],\"role\":[\"x\","
                     "\"operator\",\"reader\",7]}"),
        STATUS_OK);
    jwt_close(jwt);
}

#define CLAIMS(iss, aud, sub, exp, nbf, site, role)                                                          \
    "{\"iss\":" iss ",\"aud\":" aud ",\"sub\":" sub ",\"exp\":" exp ",\"nbf\":" nbf ",\"site\":" site        \
    ",\"role\":" role "}"
#define ISS "\"https://login.example\""
#define AUD "\"skinsight\""
#define SUB "\"dr-lee\""

static void test_claims_that_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        CLAIMS("\"https://evil.example\"", AUD, SUB, "1800000300", "0", "\"north\"", "\"reader\""),
        CLAIMS("[" ISS "]", AUD, SUB, "1800000300", "0", "\"north\"", "\"reader\""),
        CLAIMS(ISS, "\"other\"", SUB, "1800000300", "0", "\"north\"", "\"reader\""),
        CLAIMS(ISS, "[]", SUB, "1800000300", "0", "\"north\"", "\"reader\""),
        CLAIMS(ISS, "null", SUB, "1800000300", "0", "\"north\"", "\"reader\""),
        CLAIMS(ISS, AUD, SUB, "1799999940", "0", "\"north\"", "\"reader\""), // expired, with the skew
        CLAIMS(ISS, AUD, SUB, "\"1800000300\"", "0", "\"north\"", "\"reader\""),
        CLAIMS(ISS, AUD, SUB, "null", "0", "\"north\"", "\"reader\""),
        CLAIMS(ISS, AUD, SUB, "1800000300", "1800000061", "\"north\"", "\"reader\""),
        CLAIMS(ISS, AUD, SUB, "1800000300", "\"0\"", "\"north\"", "\"reader\""),
        CLAIMS(ISS, AUD, "\"\"", "1800000300", "0", "\"north\"", "\"reader\""),
        CLAIMS(ISS, AUD, "\"Jane Doe\"", "1800000300", "0", "\"north\"", "\"reader\""),
        CLAIMS(ISS, AUD, "7", "1800000300", "0", "\"north\"", "\"reader\""),
        CLAIMS(ISS, AUD, SUB, "1800000300", "0", "\"north/../south\"", "\"reader\""),
        CLAIMS(ISS, AUD, SUB, "1800000300", "0", "[\"north\",\"south\"]", "\"reader\""),
        CLAIMS(ISS, AUD, SUB, "1800000300", "0", "null", "\"reader\""),
        CLAIMS(ISS, AUD, SUB, "1800000300", "0", "\"north\"", "\"admin\""),
        CLAIMS(ISS, AUD, SUB, "1800000300", "0", "\"north\"", "[]"),
        CLAIMS(ISS, AUD, SUB, "1800000300", "0", "\"north\"", "\"reader\",\"site\":\"south\""),     // twice
        "{\"iss\":" ISS ",\"aud\":" AUD ",\"sub\":" SUB ",\"site\":\"north\",\"role\":\"reader\"}", // no end
        "[]",
        "",
        "{",
    };
    struct jwt *jwt = open_jwt();
    assert_int_equal(judge_claims(jwt, CLAIMS(ISS, AUD, SUB, "1800000300", "0", "\"north\"", "\"reader\"")),
                     STATUS_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (judge_claims(jwt, bad[i]) != STATUS_REJECTED)
            fail_msg("accepted: %s", bad[i]);
        assert_null(strstr(err.message, "Jane"));
    }
    jwt_close(jwt);
}

// The key says for what it is; nothing in a token changes that.
static void test_headers_and_keys_that_are_refused(void **state)
{
    (void)state;
    char token[TOKEN_SIZE], pem[2000];
    struct identity who;
    struct jwt *jwt = open_jwt();
    const struct {
        EVP_PKEY *key;
        const char *header;
    } cases[] = {
        {stranger, usual_header},
        {rsa, "{\"alg\":\"ES256\",\"kid\":\"r1\"}"},
        {ec, "{\"alg\":\"RS256\",\"kid\":\"e1\"}"},
        {ec, "{\"alg\":\"ES256\",\"kid\":\"r1\"}"},
        {rsa, "{\"alg\":\"RS512\",\"kid\":\"r1\"}"},
        {rsa, "{\"alg\":\"PS256\",\"kid\":\"r1\"}"},
        {rsa, "{\"alg\":\"rs256\",\"kid\":\"r1\"}"},
        {rsa, "{\"kid\":\"r1\"}"},
        {rsa, "{\"alg\":\"RS256\",\"alg\":\"none\",\"kid\":\"r1\"}"},
        {rsa, "{\"alg\":\"RS256\",\"kid\":\"r2\"}"},
        {rsa, "{\"alg\":\"RS256\",\"kid\":\"\"}"},
        {rsa, "{\"alg\":\"RS256\",\"kid\":7}"},
        {rsa, "{\"alg\":\"RS256\",\"kid\":\"r1\",\"crit\":[\"exp\"]}"},
        {rsa, "{\"alg\":\"RS256\",\"kid\":\"r1\",\"b64\":false}"},
        {rsa, "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"JWE\"}"},
        {stranger, "{\"alg\":\"RS256\",\"jku\":\"https://evil.example/keys\"}"},
        {rsa, "[\"RS256\"]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        token_make(cases[i].key, cases[i].header, usual_claims, token);
        if (judge(jwt, token, &who) != STATUS_REJECTED)
            fail_msg("accepted: %s", cases[i].header);
    }
    // A key that comes with its token.
    char jwk[JWK_SIZE], header[JWK_SIZE + 100];
    jwk_of(stranger, "r1", "", jwk);
    snprintf(header, sizeof header, "{\"alg\":\"RS256\",\"kid\":\"r1\",\"jwk\":%s}", jwk);
    token_make(stranger, header, usual_claims, token);
    assert_int_equal(judge(jwt, token, &who), STATUS_REJECTED);
    // No signature at all, in four ways of writing it.
    static const char *const none[] = {"none", "None", "NONE", "nOnE"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(header, sizeof header, "{\"alg\":\"%s\"}", none[i]);
        token_begin(header, usual_claims, token);
        strcat(token, ".");
        assert_int_equal(judge(jwt, token, &who), STATUS_REJECTED);
    }
    // HMAC with the public key for its secret.
    BIO *memory = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(memory, rsa);
    int size = BIO_read(memory, pem, sizeof pem);
    BIO_free(memory);
    uint8_t mac[32];
    unsigned mac_size;
    token_begin("{\"alg\":\"HS256\",\"kid\":\"r1\"}", usual_claims, token);
    HMAC(EVP_sha256(), pem, size, (const uint8_t *)token, strlen(token), mac, &mac_size);
    token_end(mac, mac_size, token);
    assert_int_equal(judge(jwt, token, &who), STATUS_REJECTED);
    jwt_close(jwt);
}

// Every character of a good token, changed; and other shapes.
static void test_changed_tokens(void **state)
{
    (void)state;
    char token[TOKEN_SIZE], changed[TOKEN_SIZE + 16];
    struct identity who;
    struct jwt *jwt = open_jwt();
    token_make(ec, ec_header, usual_claims, token);
    for (size_t i = 0; token[i]; i++) {
        strcpy(changed, token);
        changed[i] = token[i] == 'A' ? 'B' : 'A';
        if (judge(jwt, changed, &who) == STATUS_OK)
            fail_msg("character %zu", i);
        strcpy(changed + i, token + i + 1); // left out
        if (judge(jwt, changed, &who) == STATUS_OK)
            fail_msg("without character %zu", i);
    }
    static const char *const shapes[] = {"%s.", "%s.x", "%s=", ".%s", "%s\n", "%s "};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        snprintf(changed, sizeof changed, shapes[i], token);
        assert_int_equal(judge(jwt, changed, &who), STATUS_REJECTED);
    }
    assert_int_equal(judge(jwt, "", &who), STATUS_REJECTED);
    assert_int_equal(judge(jwt, "..", &who), STATUS_REJECTED);
    assert_int_equal(judge(jwt, token, &who), STATUS_OK);
    jwt_close(jwt);
}

static void test_sets(void **state)
{
    (void)state;
    char jwk[JWK_SIZE], text[3 * JWK_SIZE], token[TOKEN_SIZE];
    struct identity who;
    struct jwt *jwt;
    const struct jwt_options options = usual_options();
    const struct {
        EVP_PKEY *key;
        const char *more;
    } unusable[] = {
        {small, ""},
        {other_curve, ""},
        {rsa, ",\"use\":\"enc\""},
        {rsa, ",\"alg\":\"PS256\""},
        {rsa, ",\"d\":\"AQAB\""}, // a private key
    };
    for (size_t i = 0; i < sizeof unusable / sizeof *unusable; i++) {
        jwk_of(unusable[i].key, "k", unusable[i].more, jwk);
        write_set(jwk);
        if (jwt_open(&jwt, &options, &err) != STATUS_REJECTED)
            fail_msg("accepted: set %zu", i);
    }
    static const char *const none[] = {
        "", "7", "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
        "{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"e\",\"x\":\"AAAA\",\"y\":\"AAAA\"}"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        write_set(none[i]);
        assert_int_equal(jwt_open(&jwt, &options, &err), STATUS_REJECTED);
    }
    // Two keys of one id: which one is meant is not known.
    char other[JWK_SIZE];
    jwk_of(rsa, "r1", "", jwk);
    jwk_of(stranger, "r1", "", other);
    snprintf(text, sizeof text, "%s,%s", jwk, other);
    write_set(text);
    jwt = open_jwt();
    token_make(rsa, usual_header, usual_claims, token);
    assert_int_equal(judge(jwt, token, &who), STATUS_REJECTED);
    // Rotation: the next token finds the new file.
    write_set(other);
    token_make(stranger, usual_header, usual_claims, token);
    assert_int_equal(judge(jwt, token, &who), STATUS_OK);
    write_set("");
    assert_int_equal(judge(jwt, token, &who), STATUS_RETRY);
    write_usual_set();
    assert_int_equal(judge(jwt, token, &who), STATUS_REJECTED);
    jwt_close(jwt);
    struct jwt_options incomplete = usual_options();
    incomplete.audience = "";
    assert_int_equal(jwt_open(&jwt, &incomplete, &err), STATUS_REJECTED);
    incomplete = usual_options();
    incomplete.jwks.source = "http://login.example/keys";
    assert_int_equal(jwt_open(&jwt, &incomplete, &err), STATUS_REJECTED);
}

// By the Authorization header, on today's clock.
static void test_the_gate(void **state)
{
    (void)state;
    char token[TOKEN_SIZE], header[TOKEN_SIZE + 16], claims[512];
    const struct identity_options options = {.api_keys = "",
                                             .jwt_jwks = path,
                                             .jwt_issuer = "https://login.example",
                                             .jwt_audience = "skinsight",
                                             .jwt_site_claim = "site",
                                             .jwt_role_claim = "role"};
    struct identity_gate *gate;
    struct identity who;
    assert_int_equal(identity_open(&gate, &options, &err), STATUS_OK);
    long long now_s = (long long)(clock_wall_ms() / 1000);
    for (int minutes = -1; minutes <= 1; minutes += 2) {
        snprintf(claims, sizeof claims,
                 "{\"iss\":" ISS ",\"aud\":" AUD ",\"sub\":" SUB
                 ",\"exp\":%lld,\"site\":\"north\",\"role\":\"reader\"}",
                 now_s + 60 * minutes);
        token_make(rsa, usual_header, claims, token);
        snprintf(header, sizeof header, "Bearer %s", token);
        assert_int_equal(identity_of(gate, header, &who, &err), minutes > 0 ? STATUS_OK : STATUS_REJECTED);
    }
    assert_string_equal(who.site, "north");
    snprintf(header, sizeof header, "Bearer ssk_%043d", 0);
    assert_int_equal(identity_of(gate, header, &who, &err), STATUS_REJECTED); // keys are not accepted here
    identity_close(gate);
}

static int make_provider(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("P-256");
    stranger = EVP_RSA_gen(2048);
    small = EVP_RSA_gen(1024);
    other_curve = EVP_EC_gen("P-384");
    scratch_make(folder);
    snprintf(path, sizeof path, "%s/keys.json", folder);
    return 0;
}

static int drop_provider(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(stranger);
    EVP_PKEY_free(small);
    EVP_PKEY_free(other_curve);
    scratch_remove(folder);
    return 0;
}

static int usual(void **state)
{
    (void)state;
    write_usual_set();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_tokens),
        cmocka_unit_test_setup(test_good_tokens, usual),
        cmocka_unit_test_setup(test_claims_that_are_refused, usual),
        cmocka_unit_test_setup(test_headers_and_keys_that_are_refused, usual),
        cmocka_unit_test_setup(test_changed_tokens, usual),
        cmocka_unit_test_setup(test_sets, usual),
        cmocka_unit_test_setup(test_the_gate, usual),
    };
    return cmocka_run_group_tests(tests, make_provider, drop_provider);
}
