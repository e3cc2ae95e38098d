// names.c: random bits as text.
#include "monitor/simulate/names.h"

#include <string.h>

#include "common/base/bytes.h"
#include "monitor/simulate/clinic.h"
#include "monitor/simulate/draws.h"

// The same bytes on every machine: most significant first.
static void draw_bytes(uint64_t seed, enum names_kind kind, uint64_t number, uint8_t *bytes, int size)
{
    struct draws draws;
    draws_begin(&draws, seed, DRAWS_OF_NAMES + (uint64_t)kind, number);
    uint64_t bits = 0;
    for (int i = 0; i < size; i++) {
        if (i % 8 == 0)
            bits = draws_bits(&draws);
        bytes[i] = (uint8_t)(bits >> (56 - i % 8 * 8));
    }
}

void names_uuid(uint64_t seed, enum names_kind kind, uint64_t number, char text[JOB_REQUEST_ID_SIZE])
{
    uint8_t bytes[16];
    char digits[2 * sizeof bytes + 1];
    draw_bytes(seed, kind, number, bytes, sizeof bytes);
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    hex_encode(bytes, sizeof bytes, digits);
    static const int parts[] = {8, 4, 4, 4, 12};
    const char *from = digits;
    for (int i = 0; i < 5; i++) {
        memcpy(text, from, (size_t)parts[i]);
        from += parts[i];
        text += parts[i];
        *text++ = i < 4 ? '-' : '\0';
    }
}

void names_digest(uint64_t seed, enum names_kind kind, uint64_t number, char text[DIGEST_TEXT_SIZE])
{
    uint8_t bytes[DIGEST_SIZE];
    draw_bytes(seed, kind, number, bytes, sizeof bytes);
    hex_encode(bytes, sizeof bytes, text);
}
