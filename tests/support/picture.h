// picture.h: pictures for tests: noise that tests/golden/make_preprocess.py makes alike, and files of the
// repository. Include after cmocka.h.
#ifndef SKINSIGHT_TESTS_SUPPORT_PICTURE_H
#define SKINSIGHT_TESTS_SUPPORT_PICTURE_H

#include <stdint.h>
#include <stdio.h>

#include "common/base/bytes.h"
#include "common/picture/image.h"

enum { PICTURE_MAX_FILE_SIZE = 16 * 1024 * 1024 };

// S. Vigna's splitmix64 of one counter value.
static inline uint64_t splitmix64(uint64_t counter)
{
    uint64_t z = counter + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// Byte i is the low byte of splitmix64(seed + i).
static inline void noise_fill(uint8_t *bytes, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)splitmix64(seed + i);
}

// The caller releases it.
static inline struct image noise_image(int width, int height, uint64_t seed)
{
    struct image image;
    struct error err;
    assert_int_equal(image_init(&image, width, height, &err), STATUS_OK);
    noise_fill(image.pixels, (size_t)width * (size_t)height * 3, seed);
    return image;
}

// A whole file; path starts below the repository's root. The caller releases the buffer.
static inline struct buffer repository_file(const char *path)
{
    char whole[1024];
    snprintf(whole, sizeof whole, "%s/%s", TEST_SOURCE_DIR, path);
    FILE *file = fopen(whole, "rb");
    if (!file)
        fail_msg("%s can't be opened", whole);
    struct buffer data;
    buffer_init(&data, PICTURE_MAX_FILE_SIZE);
    uint8_t piece[4096];
    size_t size;
    while ((size = fread(piece, 1, sizeof piece, file)) > 0)
        assert_int_equal(buffer_append(&data, piece, size, NULL), STATUS_OK);
    fclose(file);
    return data;
}

// One of those that make_preprocess.py wrote.
static inline struct buffer golden_jpeg(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "tests/golden/jpeg/%s.jpg", name);
    return repository_file(path);
}

#endif
