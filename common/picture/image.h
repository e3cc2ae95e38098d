// image.h: decoded pictures and the codecs' entry: JPEG in (libjpeg-turbo), PNG out.
#ifndef SKINSIGHT_COMMON_PICTURE_IMAGE_H
#define SKINSIGHT_COMMON_PICTURE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

// 8-bit RGB, rows from top to bottom without padding: pixels[(y * width + x) * 3 + channel].
struct image {
    uint8_t *pixels; // ours; image_release
    int width;
    int height;
    bool too_large; // jpeg_decode refused it because of max_pixels; it holds no pixels
};

// FATAL when memory is out; width and height must have been checked against a limit before.
enum status image_init(struct image *image, int width, int height, struct error *err) MUST_CHECK;
void image_release(struct image *image);

// Decodes to RGB the way Pillow's Image.open().convert("RGB") does: ISLOW inverse DCT, fancy upsampling,
// EXIF orientation not applied; grey becomes three equal channels; CMYK and YCCK are refused. The header is
// checked against max_pixels before anything is allocated. REJECTED names what is wrong; truncated data is
// refused, and a file with more than 500 scans, or with more than would give 20 times max_pixels together.
enum status jpeg_decode(struct bytes data, int64_t max_pixels, struct image *image,
                        struct error *err) MUST_CHECK;

// The most bytes that jpeg_decode takes for this file: three for each pixel, nine where the coefficients of
// the whole picture are kept, as for progressive files. 0 where it refuses the file by its header.
size_t jpeg_decoding_size(struct bytes data, int64_t max_pixels);

// Baseline JPEG with halved colours; quality 1 to 100. Appends to out.
enum status jpeg_encode(const struct image *image, int quality, struct buffer *out,
                        struct error *err) MUST_CHECK;

// Who decodes the entropy-coded data. The picture and the verdict are the same; tests compare them.
enum jpeg_entropy {
    JPEG_ENTROPY_FASTEST, // for a file of this size
    JPEG_ENTROPY_OWN,     // common/picture/jpeg_scan.h where it knows the kind of file, else libjpeg
    JPEG_ENTROPY_LIBJPEG,
};
enum status jpeg_decode_with(enum jpeg_entropy entropy, struct bytes data, int64_t max_pixels,
                             struct image *image, struct error *err) MUST_CHECK;

// 8-bit RGB PNG. Same picture, same bytes. Appends to out. FATAL: no memory; REJECTED: out's limit.
enum status png_encode(const struct image *image, struct buffer *out, struct error *err) MUST_CHECK;

#endif
