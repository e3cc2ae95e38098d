// feed.c: a ring of batches. Threads take places of the epoch in order and fill the batch that each belongs
// to; they wait where that batch still is in use.
#include "trainer/feed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/exchange.h"
#include "trainer/streams.h"

struct ring_batch {
    int done;           // images that are ready
    enum status status; // the first failure
    struct error err;
    uint8_t *pixels;
    uint8_t **views;
    struct augmentation *draws;
    uint64_t *counters;
};

struct feed {
    struct feed_options options;
    struct ring_batch ring[FEED_BATCHES];
    pthread_mutex_t lock; // of all below
    pthread_cond_t changed;
    int epoch;
    bool augment;
    int rank, processes;
    size_t *samples, count;
    size_t next_place; // the next one to be taken by a thread
    size_t taken;      // batches that were given out, and one more that begins after it
    bool held;         // the batch before `taken` is in the caller's hands
    int working;       // threads that make a picture
    bool ending;
    pthread_t *threads;
    int thread_count;
};

static size_t batch_of(const struct feed *feed, size_t place)
{
    return place / (size_t)feed->options.batch;
}

// Images of a batch in all processes; this one's are at places *begin .. *end - 1 of the epoch.
static int find_share(const struct feed *feed, size_t batch, size_t *begin, size_t *end)
{
    size_t size = (size_t)feed->options.batch, first = batch * size;
    int from, to, whole = 0;
    if (first < feed->count)
        whole = (int)(feed->count - first < size ? feed->count - first : size);
    exchange_share(feed->rank, feed->processes, whole, &from, &to);
    *begin = first + (size_t)from;
    *end = first + (size_t)to;
    return whole;
}

// Leaves out the places of other processes.
static void skip_others(struct feed *feed)
{
    size_t begin, end;
    while (feed->next_place < feed->count) {
        size_t batch = batch_of(feed, feed->next_place);
        find_share(feed, batch, &begin, &end);
        if (feed->next_place < begin)
            feed->next_place = begin;
        if (feed->next_place < end)
            return;
        feed->next_place = (batch + 1) * (size_t)feed->options.batch;
    }
}

// Whether there is a next place of this process, and the ring has room for its batch.
static bool may_take(struct feed *feed)
{
    skip_others(feed);
    return feed->next_place < feed->count &&
           batch_of(feed, feed->next_place) < feed->taken - feed->held + FEED_BATCHES;
}

static enum status make_picture(const struct feed *feed, size_t sample, uint64_t counter, uint8_t *view,
                                struct augmentation *draws, struct error *err)
{
    const struct feed_options *options = &feed->options;
    const struct random_stream stream = {options->seed, STREAM_AUGMENTATION};
    struct image picture = {0};
    *draws =
        feed->augment ? augmentation_draw(&stream, counter, options->size) : augmentation_none(options->size);
    enum status status = picture_cache_get(options->cache, sample, &picture, err);
    if (status == STATUS_OK)
        status = augmentation_view(&picture, draws, options->size, view, err);
    image_release(&picture);
    return status;
}

// Makes the picture of a place. The lock is held on entry and exit, not meanwhile.
static void fill_place(struct feed *feed, size_t place)
{
    struct error err = {""};
    struct ring_batch *batch = &feed->ring[batch_of(feed, place) % FEED_BATCHES];
    size_t begin, end, sample = feed->samples[place];
    find_share(feed, batch_of(feed, place), &begin, &end);
    size_t slot = place - begin;
    uint64_t counter = image_counter(feed->epoch, place);
    feed->working++;
    pthread_mutex_unlock(&feed->lock);
    enum status status = make_picture(feed, sample, counter, batch->views[slot], &batch->draws[slot], &err);
    pthread_mutex_lock(&feed->lock);
    feed->working--;
    batch->counters[slot] = counter;
    batch->done++;
    if (status != STATUS_OK && batch->status == STATUS_OK) {
        batch->status = status;
        batch->err = err;
    }
    pthread_cond_broadcast(&feed->changed);
}

static void *fill(void *context)
{
    struct feed *feed = context;
    pthread_mutex_lock(&feed->lock);
    while (!feed->ending) {
        if (may_take(feed))
            fill_place(feed, feed->next_place++);
        else
            pthread_cond_wait(&feed->changed, &feed->lock);
    }
    pthread_mutex_unlock(&feed->lock);
    return NULL;
}

static enum status ring_init(struct feed *feed, struct error *err)
{
    size_t batch = (size_t)feed->options.batch;
    size_t view = (size_t)feed->options.size * (size_t)feed->options.size * 3;
    for (int i = 0; i < FEED_BATCHES; i++) {
        struct ring_batch *slot = &feed->ring[i];
        slot->pixels = memory_try_alloc(batch * view);
        if (!slot->pixels)
            return error_set(err, STATUS_FATAL, "no memory for batches of %zu pictures", batch);
        slot->views = memory_alloc(batch * sizeof *slot->views);
        slot->draws = memory_alloc(batch * sizeof *slot->draws);
        slot->counters = memory_alloc(batch * sizeof *slot->counters);
        for (size_t k = 0; k < batch; k++)
            slot->views[k] = slot->pixels + k * view;
    }
    return STATUS_OK;
}

enum status feed_new(struct feed **feed, const struct feed_options *options, struct error *err)
{
    struct feed *made = memory_alloc(sizeof *made);
    made->options = *options;
    made->processes = 1;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->changed, NULL);
    made->threads = memory_alloc((size_t)options->threads * sizeof *made->threads);
    enum status status = ring_init(made, err);
    for (int i = 0; i < options->threads && status == STATUS_OK; i++) {
        if (pthread_create(&made->threads[i], NULL, fill, made) != 0)
            status = error_set(err, STATUS_FATAL, "a thread for pictures can't be started");
        else
            made->thread_count++;
    }
    if (status == STATUS_OK)
        *feed = made;
    else
        feed_free(made);
    return status;
}

void feed_free(struct feed *feed)
{
    if (!feed)
        return;
    pthread_mutex_lock(&feed->lock);
    feed->ending = true;
    pthread_cond_broadcast(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
    for (int i = 0; i < feed->thread_count; i++)
        pthread_join(feed->threads[i], NULL);
    for (int i = 0; i < FEED_BATCHES; i++) {
        free(feed->ring[i].pixels);
        free(feed->ring[i].views);
        free(feed->ring[i].draws);
        free(feed->ring[i].counters);
    }
    pthread_cond_destroy(&feed->changed);
    pthread_mutex_destroy(&feed->lock);
    free(feed->threads);
    free(feed->samples);
    free(feed);
}

static void clear_batch(struct ring_batch *batch)
{
    batch->done = 0;
    batch->status = STATUS_OK;
}

void feed_begin(struct feed *feed, const struct feed_epoch *epoch)
{
    pthread_mutex_lock(&feed->lock);
    feed->count = 0; // nothing more of the old epoch is taken
    while (feed->working > 0)
        pthread_cond_wait(&feed->changed, &feed->lock);
    feed->samples = memory_realloc(feed->samples, (epoch->count + 1) * sizeof *feed->samples);
    memcpy(feed->samples, epoch->samples, epoch->count * sizeof *epoch->samples);
    for (int i = 0; i < FEED_BATCHES; i++)
        clear_batch(&feed->ring[i]);
    feed->epoch = epoch->epoch;
    feed->augment = epoch->augment;
    feed->rank = epoch->rank;
    feed->processes = epoch->processes > 0 ? epoch->processes : 1;
    feed->count = epoch->count;
    feed->taken = epoch->first_batch;
    feed->held = false;
    feed->next_place = epoch->first_batch * (size_t)feed->options.batch;
    pthread_cond_broadcast(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
}

// The batch that the caller has had goes back to the ring.
static void give_back(struct feed *feed)
{
    if (!feed->held)
        return;
    clear_batch(&feed->ring[(feed->taken - 1) % FEED_BATCHES]);
    feed->held = false;
    pthread_cond_broadcast(&feed->changed);
}

enum status feed_next(struct feed *feed, struct feed_batch *batch, struct error *err)
{
    size_t begin, end;
    enum status status = STATUS_OK;
    *batch = (struct feed_batch){0};
    pthread_mutex_lock(&feed->lock);
    give_back(feed);
    int whole = find_share(feed, feed->taken, &begin, &end);
    if (whole > 0) {
        struct ring_batch *ready = &feed->ring[feed->taken % FEED_BATCHES];
        int count = (int)(end - begin);
        while (ready->done < count)
            pthread_cond_wait(&feed->changed, &feed->lock);
        feed->taken++;
        feed->held = true;
        status = ready->status;
        if (status == STATUS_OK)
            *batch = (struct feed_batch){
                whole, count, begin, ready->views, ready->draws, feed->samples + begin, ready->counters};
        else if (err)
            *err = ready->err;
    }
    pthread_mutex_unlock(&feed->lock);
    return status;
}
