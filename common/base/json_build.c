// json_build.c: one pass, and one allocation for each item, name and text.
#include "common/base/json_build.h"

#include <limits.h>
#include <string.h>

struct builder {
    const uint8_t *at;
    const uint8_t *end;
};

static void skip_space(struct builder *builder)
{
    while (builder->at < builder->end &&
           (*builder->at == ' ' || *builder->at == '\t' || *builder->at == '\n' || *builder->at == '\r'))
        builder->at++;
}

static cJSON *new_item(int type)
{
    cJSON *item = cJSON_malloc(sizeof *item);
    if (item)
        *item = (cJSON){.type = type};
    return item;
}

// ---- texts ----

static unsigned read_unit(const uint8_t *digits)
{
    char text[5] = {0};
    uint8_t code[2] = {0};
    memcpy(text, digits, 4);
    (void)hex_decode(text, code, 2);
    return (unsigned)(code[0] << 8 | code[1]);
}

static char *write_utf8(unsigned code, char *out)
{
    if (code < 0x80) {
        *out++ = (char)code;
        return out;
    }
    if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
    } else {
        if (code < 0x10000) {
            *out++ = (char)(0xe0 | code >> 12);
        } else {
            *out++ = (char)(0xf0 | code >> 18);
            *out++ = (char)(0x80 | (code >> 12 & 0x3f));
        }
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (code & 0x3f));
    return out;
}

// The escape whose letter is next; returns where the text goes on.
static const uint8_t *undo_escape(const uint8_t *at, char **out)
{
    static const char letters[] = "bfnrt", characters[] = "\b\f\n\r\t";
    const char *letter = strchr(letters, *at);
    if (*at != 'u') {
        *(*out)++ = letter ? characters[letter - letters] : (char)*at;
        return at + 1;
    }
    unsigned code = read_unit(at + 1);
    at += 5;
    if (code >= 0xd800 && code < 0xdc00) { // the other half follows
        code = 0x10000 + ((code & 0x3ff) << 10 | (read_unit(at + 2) & 0x3ff));
        at += 6;
    }
    *out = write_utf8(code, *out);
    return at;
}

// The quote behind the text that begins at `at`. The next quote is looked for again only where an escape
// hides the last one found, so that no byte is looked at more than twice, however many escapes there are.
static const uint8_t *find_quote(const struct builder *builder, const uint8_t *at, bool *escapes)
{
    const uint8_t *quote = memchr(at, '"', (size_t)(builder->end - at));
    *escapes = false;
    for (;;) {
        const uint8_t *escape = memchr(at, '\\', (size_t)(quote - at));
        if (!escape)
            return quote;
        *escapes = true;
        at = escape + 2;
        if (at > quote)
            quote = memchr(at, '"', (size_t)(builder->end - at));
    }
}

// An escape is never shorter than what it stands for.
static char *build_text(struct builder *builder)
{
    bool escapes;
    const uint8_t *at = ++builder->at, *quote = find_quote(builder, at, &escapes);
    size_t size = (size_t)(quote - at);
    char *text = cJSON_malloc(size + 1), *out = text;
    builder->at = quote + 1;
    if (!text)
        return NULL;
    if (!escapes) {
        memcpy(text, at, size);
        text[size] = '\0';
        return text;
    }
    while (at < quote) {
        if (*at == '\\')
            at = undo_escape(at + 1, &out);
        else
            *out++ = (char)*at++;
    }
    *out = '\0';
    return text;
}

// ---- numbers ----

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

// Digits, the point left out, as one whole number with a power of ten. False: they are too many for that.
static bool read_digits(struct builder *builder, uint64_t *digits, int *power)
{
    static const uint64_t most = UINT64_C(1) << 53; // up to there every whole number is a double
    bool behind_point = false, good = true;
    *digits = 0;
    *power = 0;
    for (; builder->at < builder->end; builder->at++) {
        if (*builder->at == '.') {
            behind_point = true;
        } else if (is_digit(*builder->at)) {
            good = good && *digits <= most / 10 - 1;
            *digits = good ? *digits * 10 + (uint64_t)(*builder->at - '0') : 0;
            *power -= behind_point;
        } else {
            break;
        }
    }
    return good;
}

static int read_exponent(struct builder *builder)
{
    enum { LARGE = 10000 };
    int exponent = 0;
    if (builder->at == builder->end || (*builder->at != 'e' && *builder->at != 'E'))
        return 0;
    bool negative = *++builder->at == '-';
    if (*builder->at == '-' || *builder->at == '+')
        builder->at++;
    for (; builder->at < builder->end && is_digit(*builder->at); builder->at++)
        exponent = exponent < LARGE ? exponent * 10 + (*builder->at - '0') : LARGE;
    return negative ? -exponent : exponent;
}

// A whole number and a power of ten that are both doubles without error give, multiplied or divided once, the
// double that is nearest to the text (W. D. Clinger, "How to Read Floating Point Numbers Accurately", 1990).
// What is not of that kind is left to cJSON.
static cJSON *build_number(struct builder *builder)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    enum { POWER_MOST = sizeof powers / sizeof *powers - 1 };
    const uint8_t *start = builder->at;
    uint64_t digits;
    int power;
    bool negative = *builder->at == '-';
    builder->at += negative;
    bool good = read_digits(builder, &digits, &power);
    power += read_exponent(builder);
    if (!good || power < -POWER_MOST || power > POWER_MOST)
        return cJSON_ParseWithLength((const char *)start, (size_t)(builder->at - start));
    cJSON *item = new_item(cJSON_Number);
    if (!item)
        return NULL;
    double number = power < 0 ? (double)digits / powers[-power] : (double)digits * powers[power];
    item->valuedouble = negative ? -number : number;
    item->valueint = item->valuedouble >= INT_MAX   ? INT_MAX
                     : item->valuedouble <= INT_MIN ? INT_MIN
                                                    : (int)item->valuedouble;
    return item;
}

// ---- the tree ----

static cJSON *build_value(struct builder *builder);

static cJSON *build_literal(struct builder *builder)
{
    int type = *builder->at == 't' ? cJSON_True : *builder->at == 'f' ? cJSON_False : cJSON_NULL;
    cJSON *item = new_item(type);
    builder->at += type == cJSON_False ? 5 : 4;
    if (item)
        item->valueint = type == cJSON_True; // as cJSON has it
    return item;
}

static cJSON *build_string(struct builder *builder)
{
    cJSON *item = new_item(cJSON_String);
    if (item && !(item->valuestring = build_text(builder))) {
        cJSON_Delete(item);
        item = NULL;
    }
    return item;
}

// The first item's prev is the last one, as cJSON has it.
static void append(cJSON *group, cJSON *item)
{
    cJSON *first = group->child;
    if (!first) {
        group->child = item->prev = item;
        return;
    }
    item->prev = first->prev;
    first->prev->next = item;
    first->prev = item;
}

// One item with the space around it. False: no memory.
static bool build_member(struct builder *builder, cJSON *group)
{
    char *name = NULL;
    if (group->type == cJSON_Object) {
        skip_space(builder);
        name = build_text(builder);
        if (!name)
            return false;
        skip_space(builder);
        builder->at++; // the colon
    }
    cJSON *item = build_value(builder);
    if (!item) {
        cJSON_free(name);
        return false;
    }
    item->string = name;
    append(group, item);
    return true;
}

static cJSON *build_group(struct builder *builder)
{
    cJSON *group = new_item(*builder->at == '{' ? cJSON_Object : cJSON_Array);
    builder->at++;
    skip_space(builder);
    if (group && (*builder->at == '}' || *builder->at == ']')) {
        builder->at++;
        return group;
    }
    while (group) {
        if (!build_member(builder, group)) {
            cJSON_Delete(group);
            return NULL;
        }
        if (*builder->at++ != ',')
            break;
    }
    return group;
}

// With the space on both sides of it.
static cJSON *build_value(struct builder *builder)
{
    cJSON *item;
    skip_space(builder);
    switch (*builder->at) {
    case '{':
    case '[':
        item = build_group(builder);
        break;
    case '"':
        item = build_string(builder);
        break;
    case 't':
    case 'f':
    case 'n':
        item = build_literal(builder);
        break;
    default:
        item = build_number(builder);
    }
    if (item)
        skip_space(builder);
    return item;
}

cJSON *json_build(struct bytes text)
{
    struct builder builder = {text.data, text.data + text.size};
    return build_value(&builder);
}
