// json.c: a strict RFC 8259 scanner in front of cJSON.
//
// The scanner only says yes or no and builds nothing; json_build.c then makes a tree of what is known to be
// good, so that all it can lack is memory. Any thread.
#include "common/base/json.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json_build.h"
#include "common/base/memory.h"

enum { DEPTH_MOST = 64, NUMBER_MOST = 63 }; // cJSON cuts a longer number

static void *allocate(size_t size)
{
    return size < JSON_LARGE ? memory_alloc(size) : memory_try_alloc(size);
}

void json_prepare_memory(void)
{
    cJSON_Hooks hooks = {allocate, free};
    cJSON_InitHooks(&hooks);
}

struct scanner {
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    const char *problem; // NULL: none so far
    size_t values;
    const struct json_limits *limits;
};

static bool refuse(struct scanner *scanner, const char *problem)
{
    if (!scanner->problem)
        scanner->problem = problem;
    return false;
}

static int peek(const struct scanner *scanner)
{
    return scanner->at < scanner->end ? *scanner->at : -1;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static void skip_space(struct scanner *scanner)
{
    while (scanner->at < scanner->end && is_space(*scanner->at))
        scanner->at++;
}

static size_t skip_digits(struct scanner *scanner)
{
    const uint8_t *first = scanner->at;
    while (scanner->at < scanner->end && *scanner->at >= '0' && *scanner->at <= '9')
        scanner->at++;
    return (size_t)(scanner->at - first);
}

static bool scan_number(struct scanner *scanner)
{
    const uint8_t *first = scanner->at;
    if (peek(scanner) == '-')
        scanner->at++;
    bool leading_zero = peek(scanner) == '0';
    size_t digits = skip_digits(scanner);
    if (digits == 0 || (leading_zero && digits > 1))
        return refuse(scanner, "a malformed number");
    if (peek(scanner) == '.') {
        scanner->at++;
        if (skip_digits(scanner) == 0)
            return refuse(scanner, "a malformed number");
    }
    if (peek(scanner) == 'e' || peek(scanner) == 'E') {
        scanner->at++;
        if (peek(scanner) == '+' || peek(scanner) == '-')
            scanner->at++;
        if (skip_digits(scanner) == 0)
            return refuse(scanner, "a malformed number");
    }
    return scanner->at - first <= NUMBER_MOST || refuse(scanner, "a number too long");
}

// The well-formed byte sequences of the Unicode standard, table 3-7: no overlong forms, no surrogates.
static bool scan_utf8(struct scanner *scanner)
{
    uint8_t lead = *scanner->at++;
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    int more = 1;
    if (lead < 0xc2 || lead > 0xf4)
        return refuse(scanner, "bytes that are not UTF-8");
    if (lead >= 0xf0) {
        more = 3;
        low = lead == 0xf0 ? 0x90 : low;
        high = lead == 0xf4 ? 0x8f : high;
    } else if (lead >= 0xe0) {
        more = 2;
        low = lead == 0xe0 ? 0xa0 : low;
        high = lead == 0xed ? 0x9f : high;
    }
    for (; more > 0; more--, low = 0x80, high = 0xbf) {
        int byte = peek(scanner);
        if (byte < low || byte > high)
            return refuse(scanner, "bytes that are not UTF-8");
        scanner->at++;
    }
    return true;
}

// The UTF-16 unit of "\uXXXX", next at its digits; -1: refused.
static int scan_unit(struct scanner *scanner)
{
    uint8_t code[2] = {0};
    char text[5] = {0};
    bool whole = scanner->end - scanner->at >= 4;
    if (whole)
        memcpy(text, scanner->at, 4);
    if (!whole || !hex_decode(text, code, 2)) {
        refuse(scanner, whole ? "a malformed escape in a string" : "an unfinished string");
        return -1;
    }
    scanner->at += 4;
    return code[0] << 8 | code[1];
}

static bool scan_escape(struct scanner *scanner)
{
    scanner->at++;
    int kind = peek(scanner);
    if (kind < 0 || !memchr("\"\\/bfnrtu", kind, 9))
        return refuse(scanner, "an unknown escape in a string");
    scanner->at++;
    int unit = kind == 'u' ? scan_unit(scanner) : kind;
    if (unit == 0)
        return refuse(scanner, "a NUL character in a string");
    if (unit >= 0xd800 && unit < 0xdc00 && scanner->end - scanner->at >= 2 &&
        memcmp(scanner->at, "\\u", 2) == 0) {
        scanner->at += 2;
        int low = scan_unit(scanner);
        unit = low >= 0xdc00 && low < 0xe000 ? low - 0xdc00 : 0xd800; // a pair, or as wrong as a single half
    }
    if (unit >= 0xd800 && unit < 0xe000)
        return refuse(scanner, "half a surrogate pair");
    return unit >= 0;
}

// Passes characters that a string may hold as they are, sixteen at a time: an image in base64 is most of a
// record.
static void pass_plain_characters(struct scanner *scanner)
{
    typedef int8_t characters __attribute__((vector_size(16)));
    characters next;
    uint64_t halves[2];
    while (scanner->end - scanner->at >= (ptrdiff_t)sizeof next) {
        memcpy(&next, scanner->at, sizeof next);
        next = (next < 0x20) | (next == '"') | (next == '\\'); // bytes from 0x80 on are negative here
        memcpy(halves, &next, sizeof next);
        if (halves[0] | halves[1])
            return;
        scanner->at += sizeof next;
    }
}

static bool scan_string(struct scanner *scanner)
{
    scanner->at++;
    pass_plain_characters(scanner);
    while (peek(scanner) != '"') {
        int byte = peek(scanner);
        if (byte < 0)
            return refuse(scanner, "an unfinished string");
        if (byte < 0x20)
            return refuse(scanner, "a control character in a string");
        if (byte == '\\') {
            if (!scan_escape(scanner))
                return false;
        } else if (byte >= 0x80) {
            if (!scan_utf8(scanner))
                return false;
        } else {
            scanner->at++;
        }
    }
    scanner->at++;
    return true;
}

static bool scan_literal(struct scanner *scanner)
{
    static const char *const literals[] = {"true", "false", "null"};
    size_t left = (size_t)(scanner->end - scanner->at);
    for (size_t i = 0; i < sizeof literals / sizeof *literals; i++) {
        size_t length = strlen(literals[i]);
        if (left >= length && memcmp(scanner->at, literals[i], length) == 0) {
            scanner->at += length;
            return true;
        }
    }
    return refuse(scanner, "something that is no JSON value");
}

static bool scan_value(struct scanner *scanner, size_t depth);

static bool scan_name(struct scanner *scanner)
{
    skip_space(scanner);
    if (peek(scanner) != '"')
        return refuse(scanner, "an object whose field has no name");
    if (!scan_string(scanner))
        return false;
    skip_space(scanner);
    if (peek(scanner) != ':')
        return refuse(scanner, "a field without a colon");
    scanner->at++;
    return true;
}

// An object or an array, the opening bracket next.
static bool scan_group(struct scanner *scanner, size_t depth)
{
    bool object = *scanner->at++ == '{';
    int closing = object ? '}' : ']';
    if (depth >= scanner->limits->depth || depth >= DEPTH_MOST)
        return refuse(scanner, "too many levels");
    skip_space(scanner);
    if (peek(scanner) == closing) {
        scanner->at++;
        return true;
    }
    for (;;) {
        if (object && !scan_name(scanner))
            return false;
        if (!scan_value(scanner, depth + 1))
            return false;
        int next = peek(scanner);
        if (next != ',' && next != closing)
            return refuse(scanner, "an object or array that does not go on or end");
        scanner->at++;
        if (next == closing)
            return true;
    }
}

// A value with the white space on both sides of it.
static bool scan_value(struct scanner *scanner, size_t depth)
{
    if (++scanner->values > scanner->limits->values)
        return refuse(scanner, "too many values");
    skip_space(scanner);
    int first = peek(scanner);
    bool good;
    if (first == '{' || first == '[')
        good = scan_group(scanner, depth);
    else if (first == '"')
        good = scan_string(scanner);
    else if (first == '-' || (first >= '0' && first <= '9'))
        good = scan_number(scanner);
    else
        good = scan_literal(scanner);
    if (good)
        skip_space(scanner);
    return good;
}

enum status json_parse(struct bytes text, const struct json_limits *limits, cJSON **json, struct error *err)
{
    *json = NULL;
    if (text.size > limits->bytes)
        return error_set(err, STATUS_REJECTED, "the JSON text has %zu bytes, %zu are allowed", text.size,
                         limits->bytes);
    if (text.size == 0)
        return error_set(err, STATUS_REJECTED, "the JSON text is empty");
    struct scanner scanner = {
        .start = text.data, .at = text.data, .end = text.data + text.size, .limits = limits};
    if (scan_value(&scanner, 0) && scanner.at != scanner.end)
        refuse(&scanner, "something after its end");
    if (scanner.problem)
        return error_set(err, STATUS_REJECTED, "the JSON text has %s at byte %zu", scanner.problem,
                         (size_t)(scanner.at - scanner.start));
    *json = json_build(text);
    if (!*json)
        return error_set(err, STATUS_FATAL, "no memory to read a JSON text of %zu bytes", text.size);
    return STATUS_OK;
}

const char *json_repeated_name(const cJSON *json)
{
    const char *name = NULL;
    for (const cJSON *child = json->child; child && !name; child = child->next) {
        name = json_repeated_name(child); // json_parse bounds the depth
        for (const cJSON *other = child->next; other && !name && child->string; other = other->next)
            if (*child->string == *other->string && strcmp(child->string, other->string) == 0)
                name = child->string;
    }
    return name;
}

bool json_whole_number(const cJSON *number, int64_t low, int64_t high, int64_t *value)
{
    if (!cJSON_IsNumber(number))
        return false;
    double given = number->valuedouble;
    if (!(given >= (double)low && given <= (double)high) || given != floor(given))
        return false;
    *value = (int64_t)given;
    return true;
}

bool json_copy_text(const cJSON *text, char *out, size_t size)
{
    if (!cJSON_IsString(text) || strlen(text->valuestring) >= size)
        return false;
    strcpy(out, text->valuestring);
    return true;
}
