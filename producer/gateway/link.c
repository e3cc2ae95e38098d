// link.c: signs links and looks at them again.
#include "producer/gateway/link.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/file.h"

enum { FILE_LIMIT = 4096, SIGNED_SIZE = 128, EXPIRES_DIGITS_MOST = 16 };

static enum status read_keys(struct link_signer *signer, const char *path, struct error *err)
{
    struct buffer text;
    buffer_init(&text, FILE_LIMIT);
    enum status status = file_read_secret(path, LINK_KEY_LEAST, &text, err);
    const char *at = (const char *)text.data;
    size_t left = text.size;
    while (status == STATUS_OK && left > 0) {
        const char *end = memchr(at, '\n', left);
        size_t size = end ? (size_t)(end - at) : left;
        if (size < LINK_KEY_LEAST || signer->key_count == LINK_KEYS_MOST) {
            status = error_set(err, STATUS_REJECTED,
                               "'%s' must hold one or two keys, each a line of %d bytes or more", path,
                               LINK_KEY_LEAST);
            break;
        }
        signer->keys[signer->key_count++] = digest_of(at, size);
        left -= end ? size + 1 : size;
        at += size + 1;
    }
    if (text.data)
        explicit_bzero(text.data, text.capacity);
    buffer_release(&text);
    return status;
}

enum status link_signer_init(struct link_signer *signer, const char *public_url, const char *path,
                             struct error *err)
{
    *signer = (struct link_signer){.public_url = public_url};
    if (*path)
        return read_keys(signer, path, err);
    if (RAND_bytes(signer->keys[0].value, DIGEST_SIZE) != 1)
        return error_set(err, STATUS_FATAL, "no random numbers from OpenSSL");
    signer->key_count = 1;
    return STATUS_OK;
}

static struct digest sign(const struct digest *key, const char *request_id, const char *expires)
{
    char text[SIGNED_SIZE];
    int size = snprintf(text, sizeof text, "attention%c%.40s%c%.20s", '\0', request_id, '\0', expires);
    return digest_keyed((struct bytes){key->value, DIGEST_SIZE}, text, (size_t)size);
}

void link_make(const struct link_signer *signer, const char *request_id, int64_t expires_at,
               char url[LINK_URL_SIZE])
{
    char expires[24], signature[DIGEST_TEXT_SIZE];
    snprintf(expires, sizeof expires, "%" PRId64, expires_at);
    struct digest digest = sign(&signer->keys[0], request_id, expires);
    digest_text(&digest, signature);
    snprintf(url, LINK_URL_SIZE, "%s/attention/%s.png?expires=%s&signature=%s", signer->public_url,
             request_id, expires, signature);
}

enum link_verdict link_check(const struct link_signer *signer, const char *request_id, const char *expires,
                             const char *signature, int64_t now)
{
    struct digest given;
    size_t digits = strspn(expires, "0123456789");
    bool good = false;
    if (digits == 0 || digits > EXPIRES_DIGITS_MOST || expires[digits] || !digest_parse(signature, &given))
        return LINK_FORGED;
    for (size_t i = 0; i < signer->key_count; i++) {
        struct digest wanted = sign(&signer->keys[i], request_id, expires);
        good |= digest_equal(&wanted, &given);
    }
    if (!good)
        return LINK_FORGED;
    return strtoll(expires, NULL, 10) > now ? LINK_GOOD : LINK_EXPIRED;
}
