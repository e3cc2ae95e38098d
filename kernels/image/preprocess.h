// preprocess.h: from a decoded picture to the network's view and its normalised floats, bit-equal to
// torchvision on PIL images: resize both sides to `resize` (bilinear, antialiased, Pillow's fixed point),
// centre-crop `crop`, divide by 255, subtract mean, divide by std.
#ifndef SKINSIGHT_KERNELS_IMAGE_PREPROCESS_H
#define SKINSIGHT_KERNELS_IMAGE_PREPROCESS_H

#include <stdint.h>

#include "common/base/status.h"
#include "common/picture/image.h"

struct preprocessing {
    char version[16]; // "v1"
    int resize;       // 256
    int crop;         // 224
    float mean[3];
    float std[3];
};

// view: crop * crop * 3 bytes, RGB rows. FATAL when memory for the intermediate rows is out. Any thread.
enum status preprocess_view(const struct image *source, const struct preprocessing *preprocessing,
                            uint8_t *view, struct error *err) MUST_CHECK;

// The 3 x 256 values that normalising can give: table[channel * 256 + byte], exact.
void preprocess_table(const float mean[3], const float std[3], float table[3 * 256]);

// view -> float32 (3, crop, crop): channel, row, column.
void preprocess_normalise(const uint8_t *view, int crop, const float table[3 * 256], float *output);

#endif
