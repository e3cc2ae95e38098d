// png.c: RGB pictures to PNG bytes.
//
// Every row is filtered by Paeth's predictor (the first by its left neighbours, which is the same there), and
// the differences are packed as literals.h says: a map of 224 x 224 takes a seventh of the time that libpng
// and zlib take with their fastest filter for photographs, and no more room. zlib's only part in it is the
// checksum of a chunk. Any thread.
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "common/base/cpu_features.h"
#include "common/base/memory.h"
#include "common/picture/image.h"
#include "common/picture/literals.h"
#include "common/picture/png_filter.h"

enum {
    CHUNK_HEAD = 8,   // length and kind
    CHUNK_FRAME = 12, // and the checksum behind the bytes
    HEADER_SIZE = 13,
};

static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

static uint8_t *put_u32(uint8_t *out, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *out++ = (uint8_t)(value >> shift);
    return out;
}

// The chunk's bytes stand at out + CHUNK_HEAD already. Returns its end.
static uint8_t *put_chunk(uint8_t *out, const char kind[4], size_t size)
{
    memcpy(put_u32(out, (uint32_t)size), kind, 4);
    uint8_t *end = out + CHUNK_HEAD + size;
    return put_u32(end, (uint32_t)crc32_z(0, out + 4, 4 + size));
}

static void put_header(uint8_t *out, const struct image *image)
{
    static const uint8_t rest[] = {8, 2, 0, 0, 0}; // 8 bits of RGB, the one compression, not interlaced
    out = put_u32(out, (uint32_t)image->width);
    memcpy(put_u32(out, (uint32_t)image->height), rest, sizeof rest);
}

uint32_t png_filter_plain(const struct image *image, uint8_t *out)
{
    return filter(image, out);
}

enum status png_encode(const struct image *image, struct buffer *out, struct error *err)
{
    size_t rows_size = (size_t)image->height * ((size_t)image->width * PNG_CHANNELS + 1);
    size_t file_size = sizeof signature + HEADER_SIZE + literals_bound(rows_size) + 3 * CHUNK_FRAME;
    uint8_t *rows = memory_try_alloc(rows_size + file_size);
    if (!rows)
        return error_set(err, STATUS_FATAL, "no memory to write a PNG of %d x %d pixels", image->width,
                         image->height);
    png_filter_function *filter_rows = cpu_features_get().avx2 ? png_filter_avx2 : png_filter_plain;
    uint32_t checksum = filter_rows(image, rows);
    uint8_t *file = rows + rows_size, *end = file;
    memcpy(end, signature, sizeof signature);
    end += sizeof signature;
    put_header(end + CHUNK_HEAD, image);
    end = put_chunk(end, "IHDR", HEADER_SIZE);
    size_t packed = literals_pack((struct bytes){rows, rows_size}, checksum, end + CHUNK_HEAD);
    end = put_chunk(end, "IDAT", packed);
    end = put_chunk(end, "IEND", 0);
    enum status status = buffer_append(out, file, (size_t)(end - file), err);
    free(rows);
    return status;
}
