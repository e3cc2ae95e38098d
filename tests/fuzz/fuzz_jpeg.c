// fuzz_jpeg.c: any bytes through the whole way of an image: decode, resize, crop. What is accepted must lie
// within the limit.
#include <stdlib.h>

#include "kernels/preprocess.h"

enum { MAX_PIXELS = 256 * 1024, CROP = 224 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct preprocessing recipe = {.resize = 256, .crop = CROP};
    static uint8_t view[CROP * CROP * 3];
    struct error err;
    struct image image;
    if (jpeg_decode((struct bytes){data, size}, MAX_PIXELS, &image, &err) != STATUS_OK)
        return 0;
    if (image.width < 1 || image.height < 1 || (int64_t)image.width * image.height > MAX_PIXELS)
        abort();
    if (preprocess_view(&image, &recipe, view, &err) != STATUS_OK)
        abort();
    image_release(&image);
    return 0;
}
