// picture_cache.c: a slot for each sample. The first thread that wants the sample fills it.
#include "trainer/picture_cache.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/image/augmentation.h"

struct picture_cache {
    const struct dataset *dataset;
    int side;
    size_t limit;
    _Atomic size_t used;
    struct image *_Atomic *slots; // (samples); a picture doesn't change once it is there
};

struct picture_cache *picture_cache_new(const struct dataset *dataset, int side, size_t limit)
{
    struct picture_cache *cache = memory_alloc(sizeof *cache);
    *cache = (struct picture_cache){.dataset = dataset, .side = side, .limit = limit};
    cache->slots = memory_alloc(dataset->count * sizeof *cache->slots);
    return cache;
}

static void picture_free(struct image *picture)
{
    if (picture)
        image_release(picture);
    free(picture);
}

void picture_cache_free(struct picture_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < cache->dataset->count; i++)
        picture_free(cache->slots[i]);
    free(cache->slots);
    free(cache);
}

size_t picture_cache_size(const struct picture_cache *cache)
{
    return cache->used;
}

static size_t pixels_size(const struct image *picture)
{
    return (size_t)picture->width * (size_t)picture->height * 3;
}

static enum status copy_picture(const struct image *picture, struct image *copy, struct error *err)
{
    enum status status = image_init(copy, picture->width, picture->height, err);
    if (status == STATUS_OK)
        memcpy(copy->pixels, picture->pixels, pixels_size(picture));
    return status;
}

// Keeps a copy where there is room. Without memory for it the run goes on without.
static void keep(struct picture_cache *cache, size_t sample, const struct image *picture)
{
    size_t size = pixels_size(picture);
    if (atomic_fetch_add(&cache->used, size) + size > cache->limit) {
        atomic_fetch_sub(&cache->used, size);
        return;
    }
    struct image *kept = memory_alloc(sizeof *kept), *none = NULL;
    struct error ignored;
    if (copy_picture(picture, kept, &ignored) != STATUS_OK ||
        !atomic_compare_exchange_strong(&cache->slots[sample], &none, kept)) {
        picture_free(kept);
        atomic_fetch_sub(&cache->used, size);
    }
}

enum status picture_cache_get(struct picture_cache *cache, size_t sample, struct image *image,
                              struct error *err)
{
    struct image decoded = {0};
    const struct image *kept = cache->slots[sample];
    enum status status = kept ? STATUS_OK : dataset_picture(cache->dataset, sample, &decoded, err);
    const struct image *source = kept ? kept : &decoded;
    if (status == STATUS_OK)
        status = augmentation_resize(source, cache->side, image, err);
    if (status == STATUS_OK && !kept)
        keep(cache, sample, pixels_size(&decoded) <= pixels_size(image) ? &decoded : image);
    image_release(&decoded);
    return status;
}
