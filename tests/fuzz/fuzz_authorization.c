// fuzz_authorization.c: any bytes as the value of an Authorization header, as the claims of a well-signed
// token, and as a JWK set. Nobody gets in with them but by claims that say so.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/identity/gate.h"
#include "common/identity/jwt.h"
#include "tests/support/tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EVP_PKEY *key;
static struct identity_gate *gate;
static struct jwt *jwt;

static void open_all(void)
{
    char path[] = "/tmp/fuzz-authorization-XXXXXX", jwk[JWK_SIZE], set[JWK_SIZE + 16];
    struct error err;
    int file = mkstemp(path);
    key = EVP_EC_gen("P-256");
    jwk_of(key, "k", "", jwk);
    int length = snprintf(set, sizeof set, "{\"keys\":[%s]}", jwk);
    if (file < 0 || write(file, set, (size_t)length) != length)
        abort();
    close(file);
    const struct identity_options options = {.api_keys = "/nowhere/keys.json",
                                             .jwt_jwks = path,
                                             .jwt_issuer = "i",
                                             .jwt_audience = "a",
                                             .jwt_site_claim = "site",
                                             .jwt_role_claim = "role"};
    const struct jwt_options tokens = {.jwks = {.source = path, .authorities = ""},
                                       .issuer = "i",
                                       .audience = "a",
                                       .site_claim = "site",
                                       .role_claim = "role"};
    if (identity_open(&gate, &options, &err) != STATUS_OK || jwt_open(&jwt, &tokens, &err) != STATUS_OK)
        abort();
}

static void check(enum status status, const struct identity *who)
{
    bool known = identity_actor_good(who->actor) && identity_site_good(who->site) && who->account[0];
    if (status == STATUS_OK ? !known : who->actor[0] || who->site[0] || who->account[0])
        abort();
}

static void judge_claims(const char *claims)
{
    char token[TOKEN_SIZE];
    struct identity who;
    struct error err;
    token_make(key, "{\"alg\":\"ES256\",\"kid\":\"k\"}", claims, token);
    check(jwt_identity(jwt, token, strlen(token), 1000, &who, &err), &who);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct identity who;
    struct jose_set *set;
    struct error err;
    if (!key)
        open_all();
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    enum status status = identity_of(gate, text, &who, &err);
    check(status, &who);
    if (size < TOKEN_PART / 2)
        judge_claims(text);
    if (jose_set_read((struct bytes){.data = data, .size = size}, &set, &err) == STATUS_OK) {
        if (jose_set_count(set) < 1 || jose_set_count(set) > JOSE_KEYS_MOST)
            abort();
        jose_set_free(set);
    }
    free(text);
    return 0;
}
