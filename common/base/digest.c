// digest.c: SHA-256 through OpenSSL's EVP interface.
//
// OpenSSL's digest calls fail only when memory is out (or its default provider is missing, which no input
// can cause), so a failure aborts like every other small allocation. Any thread; a stream has one owner.
#include "common/base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"

struct digest_stream {
    EVP_MD_CTX *context;
};

static void check(int done)
{
    if (done != 1) {
        fputs("SHA-256 is not available from OpenSSL\n", stderr);
        abort();
    }
}

struct digest digest_of(const void *data, size_t size)
{
    struct digest digest;
    check(EVP_Digest(data, size, digest.value, NULL, EVP_sha256(), NULL));
    return digest;
}

struct digest digest_keyed(struct bytes key, const void *data, size_t size)
{
    struct digest digest;
    const void *bytes = key.size > 0 ? (const void *)key.data : "";
    check(HMAC(EVP_sha256(), bytes, (int)key.size, data, size, digest.value, NULL) != NULL);
    return digest;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return CRYPTO_memcmp(a->value, b->value, DIGEST_SIZE) == 0;
}

void digest_text(const struct digest *digest, char text[DIGEST_TEXT_SIZE])
{
    hex_encode(digest->value, DIGEST_SIZE, text);
}

bool digest_parse(const char *text, struct digest *digest)
{
    struct digest parsed;
    if (!hex_decode(text, parsed.value, DIGEST_SIZE))
        return false;
    *digest = parsed;
    return true;
}

struct digest_stream *digest_stream_new(void)
{
    struct digest_stream *stream = memory_alloc(sizeof *stream);
    stream->context = EVP_MD_CTX_new();
    check(stream->context != NULL);
    check(EVP_DigestInit_ex(stream->context, EVP_sha256(), NULL));
    return stream;
}

void digest_stream_add(struct digest_stream *stream, const void *data, size_t size)
{
    check(EVP_DigestUpdate(stream->context, data, size));
}

struct digest digest_stream_finish(struct digest_stream *stream)
{
    struct digest digest;
    check(EVP_DigestFinal_ex(stream->context, digest.value, NULL));
    EVP_MD_CTX_free(stream->context);
    free(stream);
    return digest;
}
