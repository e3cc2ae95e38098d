// bytes.c: buffers, hexadecimal and base64.
#include "common/base/bytes.h"

#include <stdlib.h>
#include <string.h>

void buffer_init(struct buffer *buffer, size_t limit)
{
    *buffer = (struct buffer){.limit = limit};
}

void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
    buffer->overflowed = false;
}

void buffer_release(struct buffer *buffer)
{
    free(buffer->data);
    buffer->data = NULL;
    buffer->size = buffer->capacity = 0;
}

void buffer_wipe(struct buffer *buffer)
{
    if (buffer->data)
        explicit_bzero(buffer->data, buffer->capacity);
    buffer_release(buffer);
}

enum status buffer_append(struct buffer *buffer, const void *data, size_t size, struct error *err)
{
    if (size > buffer->limit - buffer->size) {
        buffer->overflowed = true;
        return error_set(err, STATUS_REJECTED, "more than the allowed %zu bytes", buffer->limit);
    }
    size_t needed = buffer->size + size;
    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : 1024;
        while (capacity < needed)
            capacity *= 2;
        uint8_t *grown = realloc(buffer->data, capacity);
        if (!grown)
            return error_set(err, STATUS_FATAL, "no memory for a buffer of %zu bytes", capacity);
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    if (size)
        memcpy(buffer->data + buffer->size, data, size);
    buffer->size = needed;
    return STATUS_OK;
}

struct bytes buffer_bytes(const struct buffer *buffer)
{
    return (struct bytes){buffer->data, buffer->size};
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

void hex_encode(const uint8_t *data, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        *text++ = digits[data[i] >> 4];
        *text++ = digits[data[i] & 15];
    }
    *text = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(const char *text, uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text[0]);
        int low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0)
            return false;
        data[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return *text == '\0';
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encoded_size(size_t size)
{
    return (size + 2) / 3 * 4;
}

void base64_encode(const uint8_t *data, size_t size, char *text)
{
    size_t i = 0;
    for (; i + 3 <= size; i += 3) {
        uint32_t word = (uint32_t)data[i] << 16 | (uint32_t)data[i + 1] << 8 | data[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *text++ = base64_digits[word >> shift & 63];
    }
    if (i < size) {
        uint32_t word = (uint32_t)data[i] << 16 | (i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0);
        *text++ = base64_digits[word >> 18 & 63];
        *text++ = base64_digits[word >> 12 & 63];
        *text++ = i + 1 < size ? base64_digits[word >> 6 & 63] : '=';
        *text++ = '=';
    }
    *text = '\0';
}

size_t base64_decoded_size(size_t length)
{
    return length / 4 * 3 + 3;
}

// Value plus one; 0: not a digit.
static const uint8_t base64_values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

// -1: not a digit.
static int base64_value(char c)
{
    return base64_values[(uint8_t)c] - 1;
}

bool base64_decode(const char *text, size_t length, uint8_t *data, size_t *size)
{
    size_t digits = length;
    if (length % 4 == 0)
        while (digits > 0 && length - digits < 2 && text[digits - 1] == '=')
            digits--;
    if (digits % 4 == 1)
        return false;
    uint32_t word = 0;
    int bits = 0;
    uint8_t *out = data;
    size_t i = 0;
    for (; i + 4 <= digits; i += 4) { // most of every image
        int first = base64_value(text[i]), second = base64_value(text[i + 1]);
        int third = base64_value(text[i + 2]), fourth = base64_value(text[i + 3]);
        if ((first | second | third | fourth) < 0)
            return false;
        *out++ = (uint8_t)(first << 2 | second >> 4);
        *out++ = (uint8_t)(second << 4 | third >> 2);
        *out++ = (uint8_t)(third << 6 | fourth);
    }
    for (; i < digits; i++) {
        int value = base64_value(text[i]);
        if (value < 0)
            return false;
        word = (word << 6 | (uint32_t)value) & 0xffffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *out++ = (uint8_t)(word >> bits);
        }
    }
    *size = (size_t)(out - data);
    return (word & ((1u << bits) - 1)) == 0;
}
