// text.c: texts from outside, made fit for a terminal. No state, any thread.
#include "common/base/text.h"

#include <stdbool.h>
#include <string.h>

size_t text_utf8_length(const uint8_t *data, size_t size)
{
    static const struct {
        uint8_t first_low, first_high, second_low, second_high, length;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    }; // RFC 3629, section 4
    if (size == 0)
        return 0;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (data[0] < forms[i].first_low || data[0] > forms[i].first_high)
            continue;
        if (forms[i].length > size)
            return 0;
        if (forms[i].length > 1 && (data[1] < forms[i].second_low || data[1] > forms[i].second_high))
            return 0;
        for (size_t k = 2; k < forms[i].length; k++)
            if ((data[k] & 0xc0) != 0x80)
                return 0;
        return forms[i].length;
    }
    return 0;
}

void text_cut(const char *text, char *out, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t used = 0, left = strnlen(text, size), length;
    while ((length = text_utf8_length(bytes + used, left)) > 0 && used + length < size) {
        used += length;
        left -= length;
    }
    memcpy(out, text, used);
    out[used] = '\0';
}

static bool is_control(uint8_t byte)
{
    return byte < 0x20 || byte == 0x7f;
}

void text_clean(const char *text, char *out, size_t size)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t left = strlen(text);
    size_t used = 0;
    while (left > 0) {
        size_t length = text_utf8_length(at, left);
        // U+0080 to U+009F are control characters too: a terminal may obey them.
        bool keep = length > 0 && !is_control(*at) && !(length == 2 && at[0] == 0xc2 && at[1] < 0xa0);
        size_t step = length > 0 ? length : 1;
        size_t width = keep ? length : 1;
        if (used + width + 1 > size)
            break;
        if (keep)
            memcpy(out + used, at, length);
        else
            out[used] = '?';
        used += width;
        at += step;
        left -= step;
    }
    if (size > 0)
        out[used] = '\0';
}

static bool starts_character(char c)
{
    return ((uint8_t)c & 0xc0) != 0x80;
}

size_t text_columns(const char *text)
{
    size_t columns = 0;
    for (; *text; text++)
        columns += starts_character(*text);
    return columns;
}

void text_write_tail(FILE *out, const char *text, size_t columns)
{
    size_t width = text_columns(text);
    if (width > columns) {
        size_t skip = width - columns + 3;
        while (skip > 0 && *text) {
            text++;
            skip -= starts_character(*text) || !*text;
        }
        fputs("...", out);
        width = columns;
    }
    fprintf(out, "%s%*s", text, (int)(columns - width), "");
}
