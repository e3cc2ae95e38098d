// json_write.c: appends JSON to a buffer. Numbers are written without printf: a prediction has eighty floats.
#include "common/base/json_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"

static const char hex_digits[] = "0123456789abcdef";

void json_write_begin(struct json_writer *writer, struct buffer *out, struct error *err)
{
    *writer = (struct json_writer){.out = out, .err = err, .start = out->size};
}

enum status json_write_end(struct json_writer *writer)
{
    if (writer->status != STATUS_OK)
        writer->out->size = writer->start;
    return writer->status;
}

static void put(struct json_writer *writer, const void *text, size_t size)
{
    if (writer->status == STATUS_OK)
        writer->status = buffer_append(writer->out, text, size, writer->err);
}

// One character of text, which is not empty; returns how many bytes it takes.
static size_t put_character(struct json_writer *writer, const uint8_t *text, size_t left)
{
    size_t length = text_utf8_length(text, left);
    if (length == 0) {
        put(writer, "\xef\xbf\xbd", 3);
        return 1;
    }
    if (length == 1 && (*text == '"' || *text == '\\')) {
        const char escape[2] = {'\\', (char)*text};
        put(writer, escape, sizeof escape);
    } else if (length == 1) {
        const char escape[6] = {'\\', 'u', '0', '0', hex_digits[*text >> 4], hex_digits[*text & 15]};
        put(writer, escape, sizeof escape);
    } else {
        put(writer, text, length);
    }
    return length;
}

static bool is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

static void put_text(struct json_writer *writer, const char *text)
{
    const uint8_t *at = (const uint8_t *)text;
    const uint8_t *end = at + strlen(text);
    put(writer, "\"", 1);
    while (at < end) {
        const uint8_t *plain = at;
        while (at < end && is_plain(*at))
            at++;
        put(writer, plain, (size_t)(at - plain));
        if (at < end)
            at += put_character(writer, at, (size_t)(end - at));
    }
    put(writer, "\"", 1);
}

// What stands in front of every value.
static void put_name(struct json_writer *writer, const char *name)
{
    if (writer->comma)
        put(writer, ",", 1);
    if (name) {
        put_text(writer, name);
        put(writer, ":", 1);
    }
    writer->comma = true;
}

static void add(struct json_writer *writer, const char *name, const char *value, size_t size)
{
    put_name(writer, name);
    put(writer, value, size);
}

void json_add_object(struct json_writer *writer, const char *name)
{
    add(writer, name, "{", 1);
    writer->comma = false;
}

void json_end_object(struct json_writer *writer)
{
    put(writer, "}", 1);
    writer->comma = true;
}

void json_add_array(struct json_writer *writer, const char *name)
{
    add(writer, name, "[", 1);
    writer->comma = false;
}

void json_end_array(struct json_writer *writer)
{
    put(writer, "]", 1);
    writer->comma = true;
}

void json_add_text(struct json_writer *writer, const char *name, const char *text)
{
    put_name(writer, name);
    put_text(writer, text);
}

void json_add_base64(struct json_writer *writer, const char *name, struct bytes bytes)
{
    enum { PIECE = 3 * 1024 };
    char text[PIECE / 3 * 4 + 1];
    add(writer, name, "\"", 1);
    for (size_t done = 0; done < bytes.size && writer->status == STATUS_OK; done += PIECE) {
        size_t size = bytes.size - done < PIECE ? bytes.size - done : PIECE;
        base64_encode(bytes.data + done, size, text);
        put(writer, text, base64_encoded_size(size));
    }
    put(writer, "\"", 1);
}

void json_add_digest(struct json_writer *writer, const char *name, const struct digest *digest)
{
    char text[DIGEST_TEXT_SIZE];
    digest_text(digest, text);
    json_add_text(writer, name, text);
}

enum { INTEGER_SIZE = 20 }; // a sign and 19 digits

// The decimal digits of value, at least least of them, at the end of text; returns where they begin.
static char *write_digits(uint64_t value, int least, char *end)
{
    for (; value > 0 || least > 0; value /= 10, least--)
        *--end = (char)('0' + value % 10);
    return end;
}

void json_add_integer(struct json_writer *writer, const char *name, int64_t value)
{
    char text[INTEGER_SIZE];
    char *end = text + sizeof text;
    char *first = write_digits(value < 0 ? -(uint64_t)value : (uint64_t)value, 1, end);
    if (value < 0)
        *--first = '-';
    add(writer, name, first, (size_t)(end - first));
}

void json_add_thousandths(struct json_writer *writer, const char *name, int64_t value)
{
    char text[INTEGER_SIZE + 1];
    char *end = text + sizeof text;
    char *point = write_digits((uint64_t)value % 1000, 3, end) - 1;
    *point = '.';
    char *first = write_digits((uint64_t)value / 1000, 1, point);
    add(writer, name, first, (size_t)(end - first));
}

void json_add_bool(struct json_writer *writer, const char *name, bool value)
{
    add(writer, name, value ? "true" : "false", value ? 4 : 5);
}

void json_add_null(struct json_writer *writer, const char *name)
{
    add(writer, name, "null", 4);
}

void json_add_float(struct json_writer *writer, const char *name, float value)
{
    char text[JSON_FLOAT_SIZE];
    if (isfinite(value))
        add(writer, name, text, json_float_text(value, text));
    else
        json_add_null(writer, name);
}

void json_add_double(struct json_writer *writer, const char *name, double value)
{
    char text[32];
    if (isfinite(value))
        add(writer, name, text, (size_t)snprintf(text, sizeof text, "%.17g", value));
    else
        json_add_null(writer, name);
}

void json_add_floats(struct json_writer *writer, const char *name, const float *values, int count)
{
    json_add_array(writer, name);
    for (int i = 0; i < count; i++)
        json_add_float(writer, NULL, values[i]);
    json_end_array(writer);
}

void json_add_document(struct json_writer *writer, const char *name, struct bytes document)
{
    add(writer, name, (const char *)document.data, document.size);
    if (writer->status != STATUS_OK)
        return;
    uint8_t *text = writer->out->data + writer->out->size - document.size;
    for (size_t i = 0; i < document.size; i++)
        if (text[i] < ' ')
            text[i] = ' ';
}

struct json_writer *json_line_begin(struct json_line *line)
{
    buffer_init(&line->text, SIZE_MAX);
    json_write_begin(&line->writer, &line->text, &line->err);
    json_add_object(&line->writer, NULL);
    return &line->writer;
}

void json_line_end(struct json_line *line, FILE *out)
{
    json_end_object(&line->writer);
    put(&line->writer, "\n", 1);
    if (json_write_end(&line->writer) != STATUS_OK) {
        fprintf(stderr, "%s\n", line->err.message);
        abort();
    }
    fwrite(line->text.data, 1, line->text.size, out);
    buffer_release(&line->text);
}

// value is digits * 10^(exponent - 8), rounded to nine digits. False where doubles can't decide the rounding.
static bool nine_digits(double value, uint32_t *digits, int *exponent)
{
    // Each is the exact power or, behind 10^22, the nearest double to it.
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10,
                                    1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21,
                                    1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31, 1e32,
                                    1e33, 1e34, 1e35, 1e36, 1e37, 1e38, 1e39, 1e40, 1e41, 1e42, 1e43,
                                    1e44, 1e45, 1e46, 1e47, 1e48, 1e49, 1e50, 1e51, 1e52, 1e53, 1e54};
    int binary;
    frexp(value, &binary);
    // floor of its decimal logarithm, or one less
    *exponent = (int)floor((binary - 1) * 0.30102999);
    double scaled;
    for (;; ++*exponent) {
        int shift = 8 - *exponent;
        scaled = shift >= 0 ? value * powers[shift] : value / powers[-shift];
        if (scaled < 1e9)
            break;
    }
    // Two roundings of at most 2^-53 of less than 2^30: scaled is less than 2^-22 off.
    double whole = floor(scaled);
    double rest = scaled - whole;
    if (fabs(rest - 0.5) < 0x1p-22)
        return false;
    *digits = (uint32_t)whole + (rest > 0.5);
    if (*digits == 1000000000) {
        *digits = 100000000;
        ++*exponent;
    }
    return true;
}

// digits are nine, the last one not 0 if count is less; as "%g" lays them out.
static size_t lay_out(const char *digits, int count, int exponent, char *text)
{
    char *at = text;
    if (exponent < -4 || exponent >= 9) {
        *at++ = digits[0];
        if (count > 1)
            *at++ = '.';
        memcpy(at, digits + 1, (size_t)count - 1);
        at += count - 1;
        *at++ = 'e';
        *at++ = exponent < 0 ? '-' : '+';
        *at++ = (char)('0' + abs(exponent) / 10);
        *at++ = (char)('0' + abs(exponent) % 10);
        return (size_t)(at - text);
    }
    if (exponent < 0) {
        memcpy(at, "0.0000", (size_t)(1 - exponent)); // "0." and -exponent - 1 zeros
        at += 1 - exponent;
        memcpy(at, digits, (size_t)count);
        return (size_t)(at - text) + (size_t)count;
    }
    int before = exponent + 1; // digits before the point: the nine end in zeros where count is less
    memcpy(at, digits, (size_t)before);
    at += before;
    if (count > before) {
        *at++ = '.';
        memcpy(at, digits + before, (size_t)(count - before));
        at += count - before;
    }
    return (size_t)(at - text);
}

size_t json_float_text(float value, char text[JSON_FLOAT_SIZE])
{
    uint32_t number;
    int exponent;
    char digits[9];
    char *at = text;
    if (signbit(value))
        *at++ = '-';
    if (value == 0) {
        *at++ = '0';
        return (size_t)(at - text);
    }
    if (!nine_digits(fabs((double)value), &number, &exponent))
        return (size_t)snprintf(text, JSON_FLOAT_SIZE, "%.9g", (double)value);
    write_digits(number, 9, digits + sizeof digits);
    int count = 9;
    while (count > 1 && digits[count - 1] == '0')
        count--;
    return (size_t)(at - text) + lay_out(digits, count, exponent, at);
}
