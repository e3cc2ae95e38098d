// digest.h: SHA-256 (OpenSSL) of bytes and files, and its lower-case hexadecimal text.
#ifndef SKINSIGHT_COMMON_BASE_DIGEST_H
#define SKINSIGHT_COMMON_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

enum { DIGEST_SIZE = 32, DIGEST_TEXT_SIZE = 65 };

struct digest {
    uint8_t value[DIGEST_SIZE];
};

struct digest digest_of(const void *data, size_t size);
// HMAC-SHA-256 (RFC 2104) under a key of any length.
struct digest digest_keyed(struct bytes key, const void *data, size_t size);
// Takes as long whatever differs, so that nobody learns a secret digest from the time.
bool digest_equal(const struct digest *a, const struct digest *b);
void digest_text(const struct digest *digest, char text[DIGEST_TEXT_SIZE]);
bool digest_parse(const char *text, struct digest *digest); // exactly 64 hexadecimal digits

// Several pieces, in the order they are added.
struct digest_stream;
struct digest_stream *digest_stream_new(void);
void digest_stream_add(struct digest_stream *stream, const void *data, size_t size);
struct digest digest_stream_finish(struct digest_stream *stream); // frees it

#endif
