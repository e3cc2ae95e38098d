// fuzz_offsets.c: any text as the metadata of a commit. What is accepted must come back the same.
#include <stdlib.h>
#include <string.h>

#include "worker/group/offsets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { FIRST = 1000, WINDOW = 2048 };
    static struct offsets offsets, again;
    char text[OFFSETS_TEXT_SIZE], written[OFFSETS_TEXT_SIZE], rewritten[OFFSETS_TEXT_SIZE];
    struct error err;
    if (size >= sizeof text)
        size = sizeof text - 1;
    memcpy(text, data, size);
    text[size] = '\0';
    if (offsets_decode(&offsets, FIRST, WINDOW, text, &err) != STATUS_OK)
        return 0;
    offsets_encode(&offsets, false, written);
    if (offsets_decode(&again, FIRST, WINDOW, written, &err) != STATUS_OK)
        abort();
    offsets_encode(&again, false, rewritten);
    if (strcmp(written, rewritten) != 0)
        abort();
    if (offsets_take(&offsets, FIRST) != OFFSETS_NEW)
        abort();
    offsets_finish(&offsets, FIRST);
    if (offsets.first <= FIRST || offsets.next < offsets.first)
        abort();
    return 0;
}
