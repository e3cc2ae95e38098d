// s3_sign.c: AWS signature 4, as AWS documents it for S3 ("Authenticating Requests: Using the Authorization
// Header"): a canonical text of the request, and an HMAC of its digest under a key of the day, region and
// service.
#include "common/services/s3_sign.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/memory.h"

enum { DAY_LENGTH = 8 }; // of a time's text

void s3_time(int64_t wall_ms, char text[S3_TIME_SIZE])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    if (strftime(text, S3_TIME_SIZE, "%Y%m%dT%H%M%SZ", &utc) == 0)
        text[0] = '\0'; // after the year 9999
}

static struct digest keyed_text(struct bytes key, const char *text)
{
    return digest_keyed(key, text, strlen(text));
}

static struct bytes digest_bytes(const struct digest *digest)
{
    return (struct bytes){digest->value, DIGEST_SIZE};
}

static struct digest signing_key(const struct s3_signer *signer, const char *time)
{
    char day[DAY_LENGTH + 1];
    snprintf(day, sizeof day, "%.*s", DAY_LENGTH, time);
    char *secret = memory_format("AWS4%s", signer->secret_key);
    struct digest of_day = keyed_text((struct bytes){(const uint8_t *)secret, strlen(secret)}, day);
    struct digest of_region = keyed_text(digest_bytes(&of_day), signer->region);
    struct digest of_service = keyed_text(digest_bytes(&of_region), "s3");
    OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
    return keyed_text(digest_bytes(&of_service), "aws4_request");
}

static char *scope_of(const struct s3_signer *signer, const char *time)
{
    return memory_format("%.*s/%s/s3/aws4_request", DAY_LENGTH, time, signer->region);
}

// text becomes text, addition and end; a new string.
static char *extend(char *text, const char *addition, const char *end)
{
    char *longer = memory_format("%s%s%s", text, addition, end);
    free(text);
    return longer;
}

static char *header_names(const struct s3_signed_parts *parts)
{
    char *names = memory_strdup("");
    for (size_t i = 0; i < parts->header_count; i++)
        names = extend(names, parts->headers[i].name, i + 1 < parts->header_count ? ";" : "");
    return names;
}

static struct digest digest_of_request(const struct s3_signed_parts *parts)
{
    char *names = header_names(parts);
    char *text = memory_format("%s\n%s\n%s\n", parts->method, parts->path, parts->query);
    for (size_t i = 0; i < parts->header_count; i++) {
        text = extend(text, parts->headers[i].name, ":");
        text = extend(text, parts->headers[i].value, "\n");
    }
    text = extend(text, "\n", names);
    text = extend(text, "\n", parts->body_digest);
    struct digest digest = digest_of(text, strlen(text));
    free(text);
    free(names);
    return digest;
}

void s3_signature(const struct s3_signer *signer, const struct s3_signed_parts *parts,
                  char signature[DIGEST_TEXT_SIZE])
{
    char request_digest[DIGEST_TEXT_SIZE];
    struct digest request = digest_of_request(parts);
    digest_text(&request, request_digest);
    char *scope = scope_of(signer, parts->time);
    char *to_sign = memory_format("AWS4-HMAC-SHA256\n%s\n%s\n%s", parts->time, scope, request_digest);
    struct digest key = signing_key(signer, parts->time);
    struct digest signed_text = keyed_text(digest_bytes(&key), to_sign);
    digest_text(&signed_text, signature);
    free(to_sign);
    free(scope);
}

char *s3_authorization(const struct s3_signer *signer, const struct s3_signed_parts *parts)
{
    char signature[DIGEST_TEXT_SIZE];
    s3_signature(signer, parts, signature);
    char *scope = scope_of(signer, parts->time);
    char *names = header_names(parts);
    char *value = memory_format("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                                signer->access_key, scope, names, signature);
    free(names);
    free(scope);
    return value;
}
