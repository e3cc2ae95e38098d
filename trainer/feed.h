// feed.h: batches of pictures, made ready by threads of their own while the device computes.
//
// A feed works through one epoch at a time, up to FEED_BATCHES batches ahead of who takes them. What a batch
// holds is a function of the epoch's order and the seed, whichever thread makes it.
//
// Thread: one thread calls these functions; the feed's own threads decode and augment.
#ifndef SKINSIGHT_TRAINER_FEED_H
#define SKINSIGHT_TRAINER_FEED_H

#include "kernels/image/augmentation.h"
#include "trainer/picture_cache.h"

enum { FEED_BATCHES = 3 };

struct feed_options {
    const struct dataset *dataset;
    struct picture_cache *cache; // at size + AUGMENTATION_MARGIN; must outlive the feed
    int size;                    // of the views
    int batch;                   // images of a batch in all processes, but for an epoch's last one
    uint64_t seed;
    int threads; // > 0
};

struct feed_epoch {
    int epoch;
    const size_t *samples; // (count) of the dataset in their order; copied
    size_t count;
    size_t first_batch;
    bool augment;        // false: views as evaluation has them
    int rank, processes; // whose share of each batch this feed makes (exchange_share); 0, 0: all of it
};

struct feed_batch {
    int whole; // images of the batch in all processes; 0: the epoch is over
    int count; // of this process's share, whose first one stands at `place` of the epoch
    size_t place;
    uint8_t **views;                  // (count) of size * size * 3 bytes
    const struct augmentation *draws; // (count)
    const size_t *samples;            // (count) of the dataset
    const uint64_t *counters;         // (count): image_counter of streams.h
};

struct feed;

// FATAL: no memory, or a thread can't be started.
enum status feed_new(struct feed **feed, const struct feed_options *options, struct error *err) MUST_CHECK;
void feed_free(struct feed *feed); // NULL is allowed; waits for its threads

// Begins an epoch; what was left of another one is dropped.
void feed_begin(struct feed *feed, const struct feed_epoch *epoch);
// The next batch, valid until the next call. REJECTED or FATAL: a picture of it
// can't be read; the sentence names its file.
enum status feed_next(struct feed *feed, struct feed_batch *batch, struct error *err) MUST_CHECK;

#endif
