// fuzz_jpeg.c: any bytes through the whole way of an image: decode, resize, crop. What is accepted must lie
// within the limit; with our entropy decoder and with libjpeg's, verdict, sentence and pixels must be equal.
#include <stdlib.h>
#include <string.h>

#include "kernels/image/preprocess.h"

enum { MAX_PIXELS = 256 * 1024, CROP = 224 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(enum status status, const struct image *image, const struct error *err,
                       struct bytes data)
{
    struct image expected;
    struct error expected_err = {""};
    if (jpeg_decode_with(JPEG_ENTROPY_LIBJPEG, data, MAX_PIXELS, &expected, &expected_err) != status)
        abort();
    if (strcmp(err->message, expected_err.message) != 0 || image->too_large != expected.too_large)
        abort();
    if (status == STATUS_OK &&
        (image->width != expected.width || image->height != expected.height ||
         memcmp(image->pixels, expected.pixels, (size_t)image->width * (size_t)image->height * 3) != 0))
        abort();
    image_release(&expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct preprocessing recipe = {.resize = 256, .crop = CROP};
    static uint8_t view[CROP * CROP * 3];
    struct error err = {""};
    struct image image;
    struct bytes bytes = {data, size};
    enum status status = jpeg_decode_with(JPEG_ENTROPY_OWN, bytes, MAX_PIXELS, &image, &err);
    check_same(status, &image, &err, bytes);
    if (status != STATUS_OK)
        return 0;
    if (image.width < 1 || image.height < 1 || (int64_t)image.width * image.height > MAX_PIXELS)
        abort();
    if (preprocess_view(&image, &recipe, view, &err) != STATUS_OK)
        abort();
    image_release(&image);
    return 0;
}
