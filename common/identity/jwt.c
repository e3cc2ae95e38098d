// jwt.c: claims are read only behind a good signature.
#include "common/identity/jwt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/memory.h"

struct jwt {
    struct jwks *jwks;
    char *issuer, *audience, *site_claim, *role_claim;
    int64_t clock_skew_s;
};

enum status jwt_open(struct jwt **opened, const struct jwt_options *options, struct error *err)
{
    struct jwks *jwks;
    *opened = NULL;
    if (!*options->issuer || !*options->audience || !*options->site_claim || !*options->role_claim)
        return error_set(
            err, STATUS_REJECTED,
            "jwt_jwks needs jwt_issuer, jwt_audience, jwt_site_claim and jwt_role_claim beside it");
    enum status status = jwks_open(&jwks, &options->jwks, err);
    if (status != STATUS_OK)
        return status;
    struct jwt *jwt = memory_alloc(sizeof *jwt);
    *jwt = (struct jwt){.jwks = jwks,
                        .issuer = memory_strdup(options->issuer),
                        .audience = memory_strdup(options->audience),
                        .site_claim = memory_strdup(options->site_claim),
                        .role_claim = memory_strdup(options->role_claim),
                        .clock_skew_s = options->clock_skew_s};
    *opened = jwt;
    return STATUS_OK;
}

void jwt_close(struct jwt *jwt)
{
    if (!jwt)
        return;
    jwks_close(jwt->jwks);
    free(jwt->issuer);
    free(jwt->audience);
    free(jwt->site_claim);
    free(jwt->role_claim);
    free(jwt);
}

// ---- claims ----

static const cJSON *claim(const cJSON *json, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(json, name);
}

// A text, or the texts of a list, one after the other; NULL behind the last. Other values are passed over.
static const char *text_at(const cJSON *value, int place)
{
    if (cJSON_IsString(value))
        return place == 0 ? value->valuestring : NULL;
    if (!cJSON_IsArray(value))
        return NULL;
    const cJSON *item;
    cJSON_ArrayForEach(item, value)
    {
        if (cJSON_IsString(item) && place-- == 0)
            return item->valuestring;
    }
    return NULL;
}

static enum status check_times(const struct jwt *jwt, const cJSON *json, int64_t now_s, struct error *err)
{
    const cJSON *ends = claim(json, "exp"), *begins = claim(json, "nbf");
    double now = (double)now_s, skew = (double)jwt->clock_skew_s;
    if (!cJSON_IsNumber(ends))
        return error_set(err, STATUS_REJECTED, "the token has no end (exp)");
    if (now >= ends->valuedouble + skew)
        return error_set(err, STATUS_REJECTED, "the token has expired");
    if (begins && (!cJSON_IsNumber(begins) || now < begins->valuedouble - skew))
        return error_set(err, STATUS_REJECTED, "the token is not valid yet (nbf)");
    return STATUS_OK;
}

static enum status check_purpose(const struct jwt *jwt, const cJSON *json, struct error *err)
{
    const cJSON *issuer = claim(json, "iss"), *audience = claim(json, "aud");
    const char *text;
    if (!cJSON_IsString(issuer) || strcmp(issuer->valuestring, jwt->issuer) != 0)
        return error_set(err, STATUS_REJECTED, "the token is from another issuer");
    for (int place = 0; (text = text_at(audience, place)); place++)
        if (strcmp(text, jwt->audience) == 0)
            return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "the token is for another audience");
}

static bool highest_role(const cJSON *value, enum role *role)
{
    bool found = false;
    enum role one;
    const char *text;
    for (int place = 0; (text = text_at(value, place)); place++)
        if (role_parse(text, &one) && (!found || one > *role)) {
            *role = one;
            found = true;
        }
    return found;
}

static enum status read_person(const struct jwt *jwt, const cJSON *json, struct identity *identity,
                               struct error *err)
{
    const cJSON *actor = claim(json, "sub"), *sites = claim(json, jwt->site_claim);
    const char *site = text_at(sites, 0);
    if (!cJSON_IsString(actor) || !identity_actor_good(actor->valuestring))
        return error_set(err, STATUS_REJECTED, "the token's subject is none: 1 to 64 of A-Za-z0-9_.@|:+-");
    if (!site || text_at(sites, 1) || !identity_site_good(site))
        return error_set(err, STATUS_REJECTED, "the token names no site, or several");
    if (!highest_role(claim(json, jwt->role_claim), &identity->role))
        return error_set(err, STATUS_REJECTED, "the token gives no role: reader, analyst or operator");
    strcpy(identity->actor, actor->valuestring);
    strcpy(identity->site, site);
    snprintf(identity->account, sizeof identity->account, "jwt:%s:%s", identity->site, identity->actor);
    return STATUS_OK;
}

static enum status read_claims(const struct jwt *jwt, const cJSON *json, int64_t now_s,
                               struct identity *identity, struct error *err)
{
    if (!cJSON_IsObject(json) || json_repeated_name(json))
        return error_set(err, STATUS_REJECTED, "the token's claims are none");
    enum status status = check_times(jwt, json, now_s, err);
    if (status == STATUS_OK)
        status = check_purpose(jwt, json, err);
    return status == STATUS_OK ? read_person(jwt, json, identity, err) : status;
}

enum status jwt_identity(struct jwt *jwt, const char *token, size_t size, int64_t now_s,
                         struct identity *identity, struct error *err)
{
    static const struct json_limits limits = {.bytes = JOSE_TOKEN_MOST, .values = 1024, .depth = 16};
    struct jose_header header;
    struct buffer payload;
    cJSON *json = NULL;
    buffer_init(&payload, JOSE_TOKEN_MOST);
    memset(identity, 0, sizeof *identity);
    enum status status = jose_header_read(token, size, &header, err);
    if (status == STATUS_OK)
        status = jwks_verify(jwt->jwks, token, size, &header, &payload, err);
    if (status == STATUS_OK && json_parse(buffer_bytes(&payload), &limits, &json, err) != STATUS_OK)
        status = error_set(err, STATUS_REJECTED, "the token's claims are no JSON");
    if (status == STATUS_OK)
        status = read_claims(jwt, json, now_s, identity, err);
    if (status != STATUS_OK)
        memset(identity, 0, sizeof *identity);
    cJSON_Delete(json);
    buffer_release(&payload);
    return status;
}
