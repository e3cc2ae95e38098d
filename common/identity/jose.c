// jose.c: cjose takes a token apart and checks its signature; what it is kinder about than we are (names that
// stand twice, other algorithms, keys for other purposes) is refused before it sees it.
#include "common/identity/jose.h"

#include <cjose/cjose.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/json.h"
#include "common/base/memory.h"

enum { RSA_LEAST = 2048, RSA_MOST = 8192, HEADER_MOST = 2048 };

struct jose_key {
    char id[JOSE_KEY_ID_SIZE];
    enum jose_algorithm algorithm;
    cjose_jwk_t *jwk;
};

struct jose_set {
    size_t count;
    struct jose_key keys[JOSE_KEYS_MOST];
};

static const char *const algorithm_names[] = {"RS256", "ES256"};

static const char *text_of(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static bool has(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name) != NULL;
}

// ---- a set ----

// For which algorithm a key is; false: for none of ours.
static bool algorithm_of(const cJSON *json, enum jose_algorithm *algorithm)
{
    const char *type = text_of(json, "kty"), *curve = text_of(json, "crv");
    const char *use = text_of(json, "use"), *name = text_of(json, "alg");
    if (!type || (has(json, "use") && (!use || strcmp(use, "sig") != 0)))
        return false;
    if (strcmp(type, "RSA") == 0)
        *algorithm = JOSE_RS256;
    else if (strcmp(type, "EC") == 0 && curve && strcmp(curve, "P-256") == 0)
        *algorithm = JOSE_ES256;
    else
        return false;
    return !has(json, "alg") || (name && strcmp(name, algorithm_names[*algorithm]) == 0);
}

static cjose_jwk_t *import_key(const cJSON *json, enum jose_algorithm algorithm)
{
    char *text = cJSON_PrintUnformatted(json);
    cjose_jwk_t *jwk = text ? cjose_jwk_import(text, strlen(text), NULL) : NULL;
    cJSON_free(text);
    if (jwk && algorithm == JOSE_RS256) {
        size_t bits = cjose_jwk_get_keysize(jwk, NULL);
        if (bits < RSA_LEAST || bits > RSA_MOST) {
            cjose_jwk_release(jwk);
            jwk = NULL;
        }
    }
    return jwk;
}

static enum status read_key(const cJSON *json, struct jose_set *set, struct error *err)
{
    struct jose_key *key = &set->keys[set->count];
    const char *id = text_of(json, "kid");
    if (!cJSON_IsObject(json))
        return error_set(err, STATUS_REJECTED, "a key of the JWK set is no object");
    if (has(json, "d") || has(json, "k"))
        return error_set(err, STATUS_REJECTED,
                         "the JWK set holds a secret key: whoever reads it can make tokens");
    if (!algorithm_of(json, &key->algorithm) || (has(json, "kid") && (!id || strlen(id) >= sizeof key->id)))
        return STATUS_OK;
    key->jwk = import_key(json, key->algorithm);
    if (!key->jwk)
        return STATUS_OK;
    strcpy(key->id, id ? id : "");
    set->count++;
    return STATUS_OK;
}

static enum status read_set(const cJSON *json, struct jose_set *set, struct error *err)
{
    const cJSON *keys = cJSON_GetObjectItemCaseSensitive(json, "keys"), *item;
    enum status status = STATUS_OK;
    if (!cJSON_IsArray(keys) || json_repeated_name(json))
        return error_set(err, STATUS_REJECTED, "this is no JWK set");
    if (cJSON_GetArraySize(keys) > JOSE_KEYS_MOST)
        return error_set(err, STATUS_REJECTED, "the JWK set has more than %d keys", JOSE_KEYS_MOST);
    cJSON_ArrayForEach(item, keys)
    {
        if (status == STATUS_OK)
            status = read_key(item, set, err);
    }
    if (status == STATUS_OK && set->count == 0)
        status = error_set(err, STATUS_REJECTED, "the JWK set has no key for RS256 or ES256");
    return status;
}

enum status jose_set_read(struct bytes text, struct jose_set **made, struct error *err)
{
    static const struct json_limits limits = {.bytes = JOSE_SET_BYTES, .values = 4096, .depth = 8};
    struct jose_set *set = memory_alloc(sizeof *set);
    cJSON *json = NULL;
    *made = NULL;
    enum status status = json_parse(text, &limits, &json, err);
    if (status == STATUS_OK)
        status = read_set(json, set, err);
    cJSON_Delete(json);
    if (status == STATUS_OK)
        *made = set;
    else
        jose_set_free(set);
    return status;
}

void jose_set_free(struct jose_set *set)
{
    for (size_t i = 0; set && i < set->count; i++)
        cjose_jwk_release(set->keys[i].jwk);
    free(set);
}

size_t jose_set_count(const struct jose_set *set)
{
    return set->count;
}

static const struct jose_key *find_key(const struct jose_set *set, const struct jose_header *header)
{
    const struct jose_key *found = NULL;
    for (size_t i = 0; i < set->count; i++) {
        const struct jose_key *key = &set->keys[i];
        if (key->algorithm != header->algorithm || (*header->key_id && strcmp(key->id, header->key_id) != 0))
            continue;
        if (found)
            return NULL; // two: which one is meant is not known
        found = key;
    }
    return found;
}

bool jose_set_has(const struct jose_set *set, const struct jose_header *header)
{
    return find_key(set, header) != NULL;
}

// ---- a token ----

// base64url without padding. The text is at most JOSE_TOKEN_MOST long.
static bool decode(const char *text, size_t length, uint8_t *data, size_t *size)
{
    char plain[JOSE_TOKEN_MOST];
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '+' || text[i] == '/' || text[i] == '=')
            return false;
        plain[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    }
    return base64_decode(plain, length, data, size);
}

// Three parts of base64url, each in the one form it has: cjose would pass over stray characters and bits.
// header: the first one, decoded.
static bool take_apart(const char *token, size_t size, uint8_t header[JOSE_TOKEN_MOST], size_t *header_size)
{
    uint8_t other[JOSE_TOKEN_MOST];
    size_t other_size;
    const char *first = size <= JOSE_TOKEN_MOST ? memchr(token, '.', size) : NULL;
    const char *end = token + size;
    const char *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    return second && decode(token, (size_t)(first - token), header, header_size) &&
           decode(first + 1, (size_t)(second - first - 1), other, &other_size) &&
           decode(second + 1, (size_t)(end - second - 1), other, &other_size);
}

static bool is_jwt(const cJSON *json)
{
    const char *type = text_of(json, "typ");
    return !has(json, "typ") || (type && (strcasecmp(type, "JWT") == 0 || strcasecmp(type, "at+jwt") == 0));
}

static enum status read_header(const cJSON *json, struct jose_header *header, struct error *err)
{
    const char *name = text_of(json, "alg"), *id = text_of(json, "kid");
    if (!cJSON_IsObject(json) || json_repeated_name(json) || !name)
        return error_set(err, STATUS_REJECTED, "the token's header is none");
    if (has(json, "crit") || has(json, "b64"))
        return error_set(err, STATUS_REJECTED, "the token asks for what is not known here (crit)");
    if (!is_jwt(json))
        return error_set(err, STATUS_REJECTED, "the token is of another type than JWT");
    if (has(json, "kid") && (!id || !*id || strlen(id) >= sizeof header->key_id))
        return error_set(err, STATUS_REJECTED, "the token's key id is none");
    strcpy(header->key_id, id ? id : "");
    for (size_t i = 0; i < sizeof algorithm_names / sizeof *algorithm_names; i++)
        if (strcmp(name, algorithm_names[i]) == 0) {
            header->algorithm = (enum jose_algorithm)i;
            return STATUS_OK;
        }
    return error_set(err, STATUS_REJECTED, "tokens are signed with RS256 or ES256 here");
}

enum status jose_header_read(const char *token, size_t size, struct jose_header *header, struct error *err)
{
    static const struct json_limits limits = {.bytes = HEADER_MOST, .values = 64, .depth = 8};
    uint8_t text[JOSE_TOKEN_MOST];
    struct bytes bytes = {.data = text};
    cJSON *json = NULL;
    *header = (struct jose_header){.key_id = ""};
    if (!take_apart(token, size, text, &bytes.size))
        return error_set(err, STATUS_REJECTED, "the credential is neither a key nor a token");
    if (json_parse(bytes, &limits, &json, err) != STATUS_OK)
        return error_set(err, STATUS_REJECTED, "the token's header is no JSON");
    enum status status = read_header(json, header, err);
    cJSON_Delete(json);
    return status;
}

enum status jose_verify(const struct jose_set *set, const char *token, size_t size,
                        const struct jose_header *header, struct buffer *payload, struct error *err)
{
    uint8_t *text = NULL;
    size_t text_size = 0;
    enum status status = STATUS_REJECTED;
    const struct jose_key *key = find_key(set, header);
    if (!key)
        return error_set(err, STATUS_REJECTED, "the token is signed by an unknown key");
    cjose_jws_t *jws = cjose_jws_import(token, size, NULL);
    if (jws && cjose_jws_verify(jws, key->jwk, NULL) && cjose_jws_get_plaintext(jws, &text, &text_size, NULL))
        status = buffer_append(payload, text, text_size, err); // the text is the jws's
    else
        (void)error_set(err, status, "the token's signature is not good");
    cjose_jws_release(jws); // NULL is allowed
    return status;
}
