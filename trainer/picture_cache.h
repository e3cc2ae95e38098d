// picture_cache.h: pictures of a data set at the side that augmentation wants, decoded once while there is
// room.
//
// What is kept is the decoded picture or the resized one, whichever is smaller; nothing is dropped again,
// because every epoch comes back to every picture. All functions may be called by several threads.
#ifndef SKINSIGHT_TRAINER_PICTURE_CACHE_H
#define SKINSIGHT_TRAINER_PICTURE_CACHE_H

#include "trainer/dataset.h"

struct picture_cache;

// limit: bytes of pixels that are kept at most; 0: none. The dataset must outlive the cache.
struct picture_cache *picture_cache_new(const struct dataset *dataset, int side, size_t limit);
void picture_cache_free(struct picture_cache *cache); // NULL is allowed

// The picture at side x side, which the caller releases. REJECTED or FATAL as dataset_picture.
enum status picture_cache_get(struct picture_cache *cache, size_t sample, struct image *image,
                              struct error *err) MUST_CHECK;
size_t picture_cache_size(const struct picture_cache *cache); // bytes kept

#endif
