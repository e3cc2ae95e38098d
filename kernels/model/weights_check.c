// weights_check.c: the one pass over a weights file that decides whether it may be used: its SHA-256, and for
// every tensor its first value that is NaN or infinite.
#include "kernels/model/weights_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/memory.h"

// A piece stays in the second-level cache from the first look to the second. Pages behind are given back now
// and then: the whole file would otherwise stand in memory beside what is packed. Both: multiples of a page.
enum { PIECE_SIZE = 128 << 10, DISCARD_SIZE = 8 << 20 };

// NaN and infinity have all bits of the exponent set, so that one more carries into the highest bit; adding
// up whole blocks without a branch is what the compiler can vectorise.
enum { BLOCK = 1024 };

static bool block_is_finite_32(const uint8_t *data)
{
    uint32_t values[BLOCK], carries = 0;
    memcpy(values, data, sizeof values);
    for (int i = 0; i < BLOCK; i++)
        carries |= (values[i] & 0x7f800000) + 0x00800000;
    return carries >> 31 == 0;
}

static size_t first_not_finite_32(const uint8_t *data, size_t count)
{
    size_t at = 0;
    while (count - at >= BLOCK && block_is_finite_32(data + 4 * at))
        at += BLOCK;
    for (; at < count; at++) {
        uint32_t bits;
        memcpy(&bits, data + 4 * at, sizeof bits);
        if ((bits & 0x7f800000) == 0x7f800000)
            break;
    }
    return at;
}

static size_t first_not_finite_16(const uint8_t *data, size_t count, uint16_t exponent)
{
    size_t at = 0;
    for (; at < count; at++) {
        uint16_t bits;
        memcpy(&bits, data + 2 * at, sizeof bits);
        if ((bits & exponent) == exponent)
            break;
    }
    return at;
}

// Index of the first NaN or infinity among count values, or count. Whole numbers are always finite.
static size_t first_not_finite(enum dtype dtype, const uint8_t *data, size_t count)
{
    switch (dtype) {
    case DTYPE_F32:
        return first_not_finite_32(data, count);
    case DTYPE_F16:
        return first_not_finite_16(data, count, 0x7c00);
    case DTYPE_BF16:
        return first_not_finite_16(data, count, 0x7f80);
    default:
        return count;
    }
}

struct pass {
    const struct weights *weights;
    struct digest_stream *stream;
    size_t done; // bytes of the file
};

static void hash(struct pass *pass, size_t end)
{
    uint8_t *map = pass->weights->map;
    while (pass->done < end) {
        size_t piece = end - pass->done < PIECE_SIZE ? end - pass->done : PIECE_SIZE;
        size_t before = pass->done / DISCARD_SIZE, after = (pass->done + piece) / DISCARD_SIZE;
        digest_stream_add(pass->stream, map + pass->done, piece);
        pass->done += piece;
        if (after > before)
            madvise(map + before * DISCARD_SIZE, (after - before) * DISCARD_SIZE, MADV_DONTNEED);
    }
}

static void look_at(struct pass *pass, struct weight_entry *entry)
{
    const struct weight *weight = &entry->weight;
    const uint8_t *data = weight->data;
    size_t size = dtype_infos[weight->dtype].size, step = PIECE_SIZE / size;
    entry->not_finite = weight->count;
    for (size_t at = 0; at < weight->count; at += step) {
        size_t count = weight->count - at < step ? weight->count - at : step;
        size_t bad = first_not_finite(weight->dtype, data + at * size, count);
        if (bad < count && entry->not_finite == weight->count)
            entry->not_finite = at + bad;
        hash(pass, (size_t)(data - pass->weights->map) + (at + count) * size);
    }
}

struct digest weights_check(struct weights *weights)
{
    struct pass pass = {weights, digest_stream_new(), 0};
    assert(weights->map);
    for (size_t i = 0; i < weights->count; i++) { // in the order of their data
        struct weight_entry *entry = &weights->entries[i];
        if (entry->owned)
            continue;
        hash(&pass, (size_t)((const uint8_t *)entry->weight.data - weights->map));
        look_at(&pass, entry);
    }
    hash(&pass, weights->map_size);
    weights->checked = true;
    return digest_stream_finish(pass.stream);
}

size_t weights_first_not_finite(const struct weights *weights, const struct weight *weight)
{
    const struct weight_entry *entry = (const struct weight_entry *)weight; // its first member
    if (!entry->owned && weights->checked)
        return entry->not_finite;
    size_t bad = first_not_finite(weight->dtype, weight->data, weight->count);
    weights_discard_pages(weights, weight); // all of a model's pages would stand beside a plan's weights
    return bad;
}
