// jpeg_encode.c: RGB to JPEG bytes through libjpeg-turbo's simple interface, for pictures that the benchmark
// makes. Any thread.
#include <turbojpeg.h>

#include "common/picture/image.h"

enum status jpeg_encode(const struct image *image, int quality, struct buffer *out, struct error *err)
{
    unsigned char *data = NULL;
    unsigned long size = 0;
    enum status status = STATUS_FATAL;
    tjhandle encoder = tjInitCompress();
    if (encoder && tjCompress2(encoder, image->pixels, image->width, 0, image->height, TJPF_RGB, &data, &size,
                               TJSAMP_420, quality, TJFLAG_ACCURATEDCT) == 0)
        status = buffer_append(out, data, size, err);
    else
        error_set(err, STATUS_FATAL, "the picture can't be made a JPEG: %s", tjGetErrorStr2(encoder));
    tjFree(data);
    if (encoder)
        tjDestroy(encoder);
    return status;
}
