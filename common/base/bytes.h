// bytes.h: byte ranges, growing buffers with a limit, and the two text encodings of bytes.
#ifndef SKINSIGHT_COMMON_BASE_BYTES_H
#define SKINSIGHT_COMMON_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

// A borrowed range. The module that made it says how long it lives.
struct bytes {
    const uint8_t *data;
    size_t size;
};

// A growing buffer that never exceeds its limit. The bytes are the buffer's; release it.
struct buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t limit;
    bool overflowed; // more than the limit was offered since it was last cleared
};

void buffer_init(struct buffer *buffer, size_t limit);
void buffer_clear(struct buffer *buffer); // keeps the memory for the next use
void buffer_release(struct buffer *buffer);
void buffer_wipe(struct buffer *buffer); // the same, for what tells of patients: with zeros in it
// REJECTED when the limit would be passed, FATAL when memory is out; the buffer is then unchanged.
enum status buffer_append(struct buffer *buffer, const void *data, size_t size, struct error *err) MUST_CHECK;
struct bytes buffer_bytes(const struct buffer *buffer);

bool bytes_equal(struct bytes a, struct bytes b);

// Lower-case hexadecimal; text needs 2 * size + 1 characters.
void hex_encode(const uint8_t *data, size_t size, char *text);
// False unless text is exactly 2 * size hexadecimal digits (either case).
bool hex_decode(const char *text, uint8_t *data, size_t size);

// RFC 4648 base64 with padding; text needs base64_encoded_size(size) + 1 characters.
size_t base64_encoded_size(size_t size);
void base64_encode(const uint8_t *data, size_t size, char *text);
// Accepts text with or without padding and nothing else: no white space, no trailing bits set, no
// length of 1 modulo 4. Writes at most base64_decoded_size(length) bytes; false when it is malformed.
size_t base64_decoded_size(size_t length); // upper bound
bool base64_decode(const char *text, size_t length, uint8_t *data, size_t *size);

#endif
