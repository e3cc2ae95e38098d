// image.c: memory of decoded pictures.
#include "common/picture/image.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/memory.h"

enum status image_init(struct image *image, int width, int height, struct error *err)
{
    assert(width > 0 && height > 0);
    size_t size = (size_t)width * (size_t)height * 3;
    *image = (struct image){.pixels = memory_try_alloc(size), .width = width, .height = height};
    if (!image->pixels)
        return error_set(err, STATUS_FATAL, "no memory for a picture of %d x %d pixels", width, height);
    return STATUS_OK;
}

void image_release(struct image *image)
{
    free(image->pixels);
    *image = (struct image){0};
}
