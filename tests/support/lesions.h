// lesions.h: a folder of small JPEGs with labels, for tests of what reads data sets. Include after cmocka.h.
#ifndef SKINSIGHT_TESTS_SUPPORT_LESIONS_H
#define SKINSIGHT_TESTS_SUPPORT_LESIONS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/memory.h"
#include "common/picture/image.h"
#include "tests/support/picture.h"

static inline void write_file(const char *folder, const char *name, const void *data, size_t size)
{
    char *path = memory_format("%s/%s", folder, name);
    for (char *slash = strchr(path + strlen(folder) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        fail_msg("%s can't be written", path);
    free(path);
}

static inline void write_text(const char *folder, const char *name, const char *text)
{
    write_file(folder, name, text, strlen(text));
}

// Channel c of the picture of a seed at x, y in 0 to 1: bilinear between coarse noise, so that two seeds look
// unlike each other and a scaled copy like its origin.
static inline uint8_t lesion_value(const uint8_t *noise, int points, double x, double y, int c)
{
    double across = x * (points - 1), down = y * (points - 1);
    int left = (int)across, top = (int)down;
    double u = across - left, v = down - top;
    const uint8_t *at = noise + 3 * (top * points + left) + c;
    double above = at[0] * (1 - u) + at[3] * u;
    double below = at[3 * points] * (1 - u) + at[3 * points + 3] * u;
    return (uint8_t)(above * (1 - v) + below * v);
}

static inline void write_lesion(const char *folder, const char *name, int width, int height, int quality,
                                uint64_t seed)
{
    enum { POINTS = 9 };
    uint8_t noise[POINTS * POINTS * 3];
    struct image image;
    struct buffer jpeg;
    struct error err = {""};
    noise_fill(noise, sizeof noise, seed * 1000);
    assert_int_equal(image_init(&image, width, height, &err), STATUS_OK);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                image.pixels[3 * ((size_t)y * (size_t)width + (size_t)x) + (size_t)c] =
                    lesion_value(noise, POINTS, (x + 0.5) / width, (y + 0.5) / height, c);
    buffer_init(&jpeg, 1 << 20);
    assert_int_equal(jpeg_encode(&image, quality, &jpeg, &err), STATUS_OK);
    write_file(folder, name, jpeg.data, jpeg.size);
    buffer_release(&jpeg);
    image_release(&image);
}

#endif
