// weights_check.c: the one pass over a weights file that decides whether it may be used: its SHA-256, and for
// every tensor its first value that is NaN or infinite. A thread of its own makes it, so that the caller
// packs the weights meanwhile: SHA-256 can't be divided, and takes longer than all else that opening a model
// does.
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

static void hash(struct weights *weights, size_t *done, size_t end)
{
    while (*done < end) {
        size_t piece = end - *done < PIECE_SIZE ? end - *done : PIECE_SIZE;
        size_t before = *done / DISCARD_SIZE, after = (*done + piece) / DISCARD_SIZE;
        digest_stream_add(weights->stream, weights->map + *done, piece);
        *done += piece;
        if (after > before)
            madvise(weights->map + before * DISCARD_SIZE, (after - before) * DISCARD_SIZE, MADV_DONTNEED);
    }
}

static void look_at(struct weights *weights, struct weight_entry *entry, size_t *done)
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
        hash(weights, done, (size_t)(data - weights->map) + (at + count) * size);
    }
}

static void *make_pass(void *context)
{
    struct weights *weights = context;
    size_t done = 0;
    weights->stream = digest_stream_new();
    for (size_t i = 0; i < weights->count; i++) { // in the order of their data
        struct weight_entry *entry = &weights->entries[i];
        if (entry->owned)
            continue;
        hash(weights, &done, (size_t)((const uint8_t *)entry->weight.data - weights->map));
        look_at(weights, entry, &done);
    }
    hash(weights, &done, weights->map_size);
    weights->digest = digest_stream_finish(weights->stream);
    return NULL;
}

void weights_check_begin(struct weights *weights)
{
    assert(weights->map && weights->check == CHECK_NONE);
    weights->check = CHECK_RUNNING;
    weights->threaded = pthread_create(&weights->thread, NULL, make_pass, weights) == 0;
    if (!weights->threaded)
        make_pass(weights);
}

struct digest weights_check_end(struct weights *weights)
{
    if (weights->check == CHECK_RUNNING && weights->threaded)
        pthread_join(weights->thread, NULL);
    assert(weights->check != CHECK_NONE);
    weights->check = CHECK_ENDED;
    return weights->digest;
}

bool weights_are_being_checked(const struct weights *weights)
{
    return weights->check == CHECK_RUNNING;
}

size_t weights_first_not_finite(const struct weights *weights, const struct weight *weight)
{
    const struct weight_entry *entry = (const struct weight_entry *)weight; // its first member
    if (!entry->owned && weights->check == CHECK_RUNNING)
        return weight->count;
    if (!entry->owned && weights->check == CHECK_ENDED)
        return entry->not_finite;
    size_t bad = first_not_finite(weight->dtype, weight->data, weight->count);
    weights_discard_pages(weights, weight); // all of a model's pages would stand beside a plan's weights
    return bad;
}
