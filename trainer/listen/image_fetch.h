// image_fetch.h: brings the images that labels speak for from the object store into the data set's folder,
// <folder>/<sha256>.jpg, each checked by its digest. What is not there, or is something else, is noted in the
// index and asked for again later.
#ifndef SKINSIGHT_TRAINER_LISTEN_IMAGE_FETCH_H
#define SKINSIGHT_TRAINER_LISTEN_IMAGE_FETCH_H

#include "common/services/object_store.h"
#include "trainer/listen/feedback_index.h"

struct image_fetch_options {
    struct object_store *store;
    const char *folder;   // is there
    size_t most_bytes;    // of an image
    int64_t ask_again_ms; // after which an image that was not there, or differed, is asked for again
};

struct image_fetch_counts {
    size_t fetched, absent, differing;
};

// Removes what a run that was killed left half written. Before the first fetch.
enum status image_fetch_clean(const char *folder, struct error *err) MUST_CHECK;

// Threads of its own fetch; main thread calls. Nothing is noted in the index that is not on the disk. RETRY:
// the store is away or the disk is full, or a stop was asked for; what was fetched by then stays.
enum status image_fetch(struct feedback_index *index, const struct image_fetch_options *options,
                        struct image_fetch_counts *counts, struct error *err) MUST_CHECK;

#endif
