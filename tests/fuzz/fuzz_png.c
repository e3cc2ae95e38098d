// fuzz_png.c: any bytes as a PNG. What is accepted must survive being written and read again.
#include <stdlib.h>
#include <string.h>

#include "common/image.h"

enum { MAX_PIXELS = 64 * 1024, LIMIT = 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    struct image image, again;
    if (png_decode((struct bytes){data, size}, MAX_PIXELS, &image, &err) != STATUS_OK)
        return 0;
    struct buffer file;
    buffer_init(&file, LIMIT);
    if (png_encode(&image, &file, &err) != STATUS_OK ||
        png_decode(buffer_bytes(&file), MAX_PIXELS, &again, &err) != STATUS_OK)
        abort();
    if (again.width != image.width || again.height != image.height ||
        memcmp(again.pixels, image.pixels, (size_t)image.width * (size_t)image.height * 3) != 0)
        abort();
    buffer_release(&file);
    image_release(&again);
    image_release(&image);
    return 0;
}
