// preprocess.c: a decoded picture to the network's view, and the view to normalised floats.
// The resize itself, and its kernels per instruction set, are in resize.c. Any thread.
#include "kernels/image/preprocess.h"

#include <stddef.h>

#include "kernels/image/resize.h"

enum status preprocess_view(const struct image *source, const struct preprocessing *preprocessing,
                            uint8_t *view, struct error *err)
{
    return resize_crop(resize_kernels_best(), source, preprocessing->resize, preprocessing->crop, view, err);
}

void preprocess_table(const float mean[3], const float std[3], float table[3 * 256])
{
    // Each step rounds to float on its own, and std divides: a reciprocal would change bits.
    for (int channel = 0; channel < 3; channel++)
        for (int value = 0; value < 256; value++)
            table[channel * 256 + value] = ((float)value / 255.0f - mean[channel]) / std[channel];
}

void preprocess_normalise(const uint8_t *view, int crop, const float table[3 * 256], float *output)
{
    size_t count = (size_t)crop * (size_t)crop;
    float *red = output, *green = output + count, *blue = output + 2 * count;
    for (size_t i = 0; i < count; i++) {
        red[i] = table[view[3 * i]];
        green[i] = table[256 + view[3 * i + 1]];
        blue[i] = table[512 + view[3 * i + 2]];
    }
}
