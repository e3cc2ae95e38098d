// test_feed.c: what the threads of a feed make is the same for any number of them, for any place it begins
// at, and with or without the cache.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/digest.h"
#include "tests/support/lesions.h"
#include "tests/support/process.h"
#include "trainer/feed.h"
#include "trainer/streams.h"

enum { IMAGES = 11, SIZE = 32, VIEW = SIZE * SIZE * 3, BATCH = 4, BATCHES = (IMAGES + BATCH - 1) / BATCH };

static char folder[SCRATCH_SIZE];
static struct dataset *dataset;
static struct error err;

static int make_data(void **state)
{
    (void)state;
    char table[SCRATCH_SIZE + 16], text[1024] = "file,label,split\n";
    scratch_make(folder);
    for (int i = 0; i < IMAGES; i++) {
        char name[32];
        snprintf(name, sizeof name, "i%02d.jpg", i);
        write_lesion(folder, name, 40 + i, 30, 90, (uint64_t)i);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s,MEL,train\n", name);
    }
    write_text(folder, "data.csv", text);
    snprintf(table, sizeof table, "%s/data.csv", folder);
    const struct dataset_options options = {.data = table, .threads = 1};
    if (dataset_open(&dataset, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return 0;
}

static int remove_data(void **state)
{
    (void)state;
    dataset_free(dataset);
    scratch_remove(folder);
    return 0;
}

struct setting {
    int threads;
    size_t cache;
    bool augment;
    size_t first_batch;
    int epochs;
};

static const size_t samples[IMAGES] = {10, 3, 3, 0, 1, 2, 9, 8, 7, 6, 5};

// Digest of each batch of the last epoch.
static void run(const struct setting *setting, struct digest digests[BATCHES])
{
    struct feed *feed = NULL;
    struct feed_batch batch;
    struct picture_cache *cache = picture_cache_new(dataset, SIZE + AUGMENTATION_MARGIN, setting->cache);
    const struct feed_options options = {dataset, cache, SIZE, BATCH, 9, setting->threads};
    assert_int_equal(feed_new(&feed, &options, &err), STATUS_OK);
    for (int epoch = 0; epoch < setting->epochs; epoch++) {
        feed_begin(
            feed, &(struct feed_epoch){epoch, samples, IMAGES, setting->first_batch, setting->augment, 0, 1});
        for (size_t i = setting->first_batch; i < BATCHES; i++) {
            assert_int_equal(feed_next(feed, &batch, &err), STATUS_OK);
            assert_int_equal(batch.count, i + 1 < BATCHES ? BATCH : IMAGES % BATCH);
            struct digest_stream *stream = digest_stream_new();
            for (int k = 0; k < batch.count; k++) {
                assert_int_equal(batch.samples[k], samples[i * BATCH + (size_t)k]);
                assert_int_equal(batch.counters[k], image_counter(epoch, i * BATCH + (size_t)k));
                digest_stream_add(stream, batch.views[k], VIEW);
                digest_stream_add(stream, &batch.draws[k].erased, sizeof batch.draws[k].erased);
            }
            digests[i] = digest_stream_finish(stream);
        }
        assert_int_equal(feed_next(feed, &batch, &err), STATUS_OK);
        assert_int_equal(batch.count, 0);
    }
    assert_true(picture_cache_size(cache) <= setting->cache);
    feed_free(feed);
    picture_cache_free(cache);
}

static void the_same_for_any_number_of_makers(void **state)
{
    (void)state;
    static const struct setting settings[] = {
        {1, 0, true, 0, 2}, {3, 0, true, 0, 2},       {2, 1 << 20, true, 0, 2}, {2, 12000, true, 0, 2},
        {3, 0, true, 1, 2}, {1, 1 << 20, true, 2, 2}, {3, 1 << 20, true, 0, 2}, {8, 0, true, 0, 2}};
    struct digest first[BATCHES], other[BATCHES];
    run(&settings[0], first);
    for (size_t i = 1; i < sizeof settings / sizeof settings[0]; i++) {
        run(&settings[i], other);
        for (size_t k = settings[i].first_batch; k < BATCHES; k++)
            assert_true(digest_equal(&first[k], &other[k]));
    }
    const struct setting epoch = {2, 0, true, 0, 1};
    run(&epoch, other);
    assert_false(digest_equal(&first[0], &other[0])); // another epoch, other pictures
}

// Places, pictures and draws of a batch's shares are those of the whole batch. The last batch has 3 images.
static void several_processes_share_a_batch(void **state)
{
    (void)state;
    enum { PROCESSES = 4 };
    struct feed *whole = NULL, *feeds[PROCESSES] = {NULL};
    struct feed_batch all, share;
    struct picture_cache *cache = picture_cache_new(dataset, SIZE + AUGMENTATION_MARGIN, 0);
    const struct feed_options options = {dataset, cache, SIZE, BATCH, 9, 2};
    assert_int_equal(feed_new(&whole, &options, &err), STATUS_OK);
    feed_begin(whole, &(struct feed_epoch){0, samples, IMAGES, 1, true, 0, 1});
    for (int rank = 0; rank < PROCESSES; rank++) {
        assert_int_equal(feed_new(&feeds[rank], &options, &err), STATUS_OK);
        feed_begin(feeds[rank], &(struct feed_epoch){0, samples, IMAGES, 1, true, rank, PROCESSES});
    }
    for (int batch = 1; batch <= BATCHES; batch++) {
        int place = 0;
        assert_int_equal(feed_next(whole, &all, &err), STATUS_OK);
        for (int rank = 0; rank < PROCESSES; rank++) {
            assert_int_equal(feed_next(feeds[rank], &share, &err), STATUS_OK);
            assert_int_equal(share.whole, all.whole);
            for (int k = 0; k < share.count; k++, place++) {
                assert_int_equal(share.place + (size_t)k, all.place + (size_t)place);
                assert_int_equal(share.samples[k], all.samples[place]);
                assert_int_equal(share.counters[k], all.counters[place]);
                assert_memory_equal(share.views[k], all.views[place], VIEW);
            }
        }
        assert_int_equal(place, all.count);
    }
    assert_int_equal(all.whole, 0);
    for (int rank = 0; rank < PROCESSES; rank++)
        feed_free(feeds[rank]);
    feed_free(whole);
    picture_cache_free(cache);
}

static void without_augmentation_as_in_evaluation(void **state)
{
    (void)state;
    struct digest digests[BATCHES];
    const struct setting setting = {2, 1 << 20, false, 0, 1};
    run(&setting, digests);
    struct digest_stream *stream = digest_stream_new();
    for (int k = 0; k < BATCH; k++) {
        uint8_t view[VIEW];
        struct image picture, resized;
        const struct augmentation none = augmentation_none(SIZE);
        assert_int_equal(dataset_picture(dataset, samples[k], &picture, &err), STATUS_OK);
        assert_int_equal(augmentation_resize(&picture, SIZE + AUGMENTATION_MARGIN, &resized, &err),
                         STATUS_OK);
        assert_int_equal(augmentation_view(&resized, &none, SIZE, view, &err), STATUS_OK);
        digest_stream_add(stream, view, VIEW);
        digest_stream_add(stream, &none.erased, sizeof none.erased);
        image_release(&picture);
        image_release(&resized);
    }
    struct digest expected = digest_stream_finish(stream);
    assert_true(digest_equal(&digests[0], &expected));
}

static void epochs_can_be_left_and_begun_again(void **state)
{
    (void)state;
    struct feed *feed = NULL;
    struct feed_batch batch;
    struct picture_cache *cache = picture_cache_new(dataset, SIZE + AUGMENTATION_MARGIN, 0);
    const struct feed_options options = {dataset, cache, SIZE, BATCH, 9, 3};
    assert_int_equal(feed_new(&feed, &options, &err), STATUS_OK);
    for (int i = 0; i < 20; i++) {
        feed_begin(feed, &(struct feed_epoch){i, samples, IMAGES, 0, true, 0, 1});
        for (int k = 0; k < i % 4; k++) {
            assert_int_equal(feed_next(feed, &batch, &err), STATUS_OK);
            if (batch.count > 0)
                assert_int_equal(batch.counters[0] >> 32, i);
        }
    }
    feed_free(feed);
    picture_cache_free(cache);
}

static void a_file_that_vanished_is_named(void **state)
{
    (void)state;
    struct feed *feed = NULL;
    struct feed_batch batch;
    struct picture_cache *cache = picture_cache_new(dataset, SIZE + AUGMENTATION_MARGIN, 0);
    const struct feed_options options = {dataset, cache, SIZE, BATCH, 9, 2};
    char *path = dataset->samples[1].path, *moved = memory_format("%s.moved", path);
    assert_int_equal(rename(path, moved), 0);
    assert_int_equal(feed_new(&feed, &options, &err), STATUS_OK);
    feed_begin(feed, &(struct feed_epoch){0, samples, IMAGES, 0, true, 0, 1});
    assert_int_equal(feed_next(feed, &batch, &err), STATUS_OK);
    assert_int_not_equal(feed_next(feed, &batch, &err), STATUS_OK); // place 4 is sample 1
    assert_non_null(strstr(err.message, "i01.jpg"));
    feed_free(feed);
    picture_cache_free(cache);
    assert_int_equal(rename(moved, path), 0);
    free(moved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_for_any_number_of_makers),
        cmocka_unit_test(several_processes_share_a_batch),
        cmocka_unit_test(without_augmentation_as_in_evaluation),
        cmocka_unit_test(epochs_can_be_left_and_begun_again),
        cmocka_unit_test(a_file_that_vanished_is_named),
    };
    return cmocka_run_group_tests(tests, make_data, remove_data);
}
