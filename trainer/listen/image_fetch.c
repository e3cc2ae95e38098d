// image_fetch.c: lists what is wanted, then fetches it in batches: a few threads wait for the store, one
// flush of the disk covers the batch, and then the index is told.
#include "trainer/listen/image_fetch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/shutdown.h"
#include "trainer/listen/outcome.h"

enum { THREADS = 4, BATCH = 1024, NAME_SIZE = 80, FILE_MODE = 0600 };

#define PARTIAL ".partial-"

struct wanted {
    const struct image_fetch_options *options;
    int folder;
    int64_t now_ms; // Unix
    struct digest *images;
    size_t count, capacity;
};

// What the threads share: each takes the next image until there is none or one has met trouble.
struct batch {
    const struct wanted *wanted;
    size_t first, count;
    enum image_state states[BATCH]; // IMAGE_UNKNOWN: not fetched
    atomic_size_t next;
    atomic_bool trouble;
    pthread_mutex_t lock; // of status and err
    enum status status;   // of the first trouble
    struct error err;
};

static void file_name(const struct digest *image, char name[NAME_SIZE])
{
    char digest[DIGEST_TEXT_SIZE];
    digest_text(image, digest);
    snprintf(name, NAME_SIZE, "%s.jpg", digest);
}

static enum status fail(struct error *err, const struct batch *batch, const char *name)
{
    return error_set(err, STATUS_RETRY, "%s/%s can't be written: %s", batch->wanted->options->folder, name,
                     strerror(errno));
}

static bool write_all(int file, struct bytes data)
{
    while (data.size > 0) {
        ssize_t written = write(file, data.data, data.size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        data.data += written;
        data.size -= (size_t)written;
    }
    return true;
}

// Not flushed: the batch is, as a whole.
static enum status keep(const struct batch *batch, const char *name, struct bytes data, struct error *err)
{
    char partial[NAME_SIZE + sizeof PARTIAL];
    int folder = batch->wanted->folder;
    snprintf(partial, sizeof partial, PARTIAL "%s", name);
    int file = openat(folder, partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (file < 0)
        return fail(err, batch, name);
    bool good = write_all(file, data);
    int reason = errno;
    if (close(file) != 0 && good) {
        good = false;
        reason = errno;
    }
    if (good && renameat(folder, partial, folder, name) == 0)
        return STATUS_OK;
    errno = good ? errno : reason;
    enum status status = fail(err, batch, name);
    unlinkat(folder, partial, 0);
    return status;
}

static enum status fetch_one(const struct batch *batch, const struct digest *image, struct buffer *data,
                             enum image_state *state, struct error *err)
{
    char name[NAME_SIZE], key[OBJECT_KEY_SIZE];
    file_name(image, name);
    snprintf(key, sizeof key, "images/%s", name);
    enum status status = object_store_get(batch->wanted->options->store, key, data, err);
    if (status == STATUS_REJECTED) {
        *state = data->overflowed ? IMAGE_DIFFERS : IMAGE_ABSENT;
        LOG_DEBUG("image_not_fetched", "reason=\"%s\"", err->message);
        return STATUS_OK;
    }
    if (status != STATUS_OK)
        return status;
    struct digest digest = digest_of(data->data, data->size);
    if (!digest_equal(&digest, image)) {
        *state = IMAGE_DIFFERS;
        return STATUS_OK;
    }
    status = keep(batch, name, buffer_bytes(data), err);
    if (status == STATUS_OK)
        *state = IMAGE_HERE;
    return status;
}

static void *fetch_images(void *context)
{
    struct batch *batch = context;
    struct buffer data;
    struct error err;
    buffer_init(&data, batch->wanted->options->most_bytes);
    while (!atomic_load(&batch->trouble) && !shutdown_requested()) {
        size_t i = atomic_fetch_add(&batch->next, 1);
        if (i >= batch->count)
            break;
        const struct digest *image = &batch->wanted->images[batch->first + i];
        enum status status = fetch_one(batch, image, &data, &batch->states[i], &err);
        if (status == STATUS_OK || atomic_exchange(&batch->trouble, true))
            continue;
        pthread_mutex_lock(&batch->lock);
        batch->status = status;
        batch->err = err;
        pthread_mutex_unlock(&batch->lock);
    }
    buffer_release(&data);
    return NULL;
}

static void count_state(struct image_fetch_counts *counts, enum image_state state)
{
    counts->fetched += state == IMAGE_HERE;
    counts->absent += state == IMAGE_ABSENT;
    counts->differing += state == IMAGE_DIFFERS;
}

static enum status note_states(struct feedback_index *index, const struct batch *batch,
                               struct image_fetch_counts *counts, struct error *err)
{
    char digest[DIGEST_TEXT_SIZE];
    enum status status = feedback_index_begin(index, err);
    for (size_t i = 0; i < batch->count && status == STATUS_OK; i++) {
        if (batch->states[i] == IMAGE_UNKNOWN)
            continue;
        digest_text(&batch->wanted->images[batch->first + i], digest);
        status = feedback_index_set_image(index, digest, batch->states[i], batch->wanted->now_ms, err);
        count_state(counts, batch->states[i]);
    }
    if (status == STATUS_OK)
        return feedback_index_commit(index, err);
    feedback_index_rollback(index);
    return status;
}

static void run_threads(struct batch *batch)
{
    pthread_t threads[THREADS];
    size_t started = 0;
    while (started + 1 < THREADS && started + 1 < batch->count &&
           pthread_create(&threads[started], NULL, fetch_images, batch) == 0)
        started++;
    fetch_images(batch);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

static bool has_new(const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->states[i] == IMAGE_HERE)
            return true;
    return false;
}

static enum status fetch_batch(struct feedback_index *index, const struct wanted *wanted, size_t first,
                               struct image_fetch_counts *counts, struct error *err)
{
    struct batch batch = {.wanted = wanted,
                          .first = first,
                          .count = wanted->count - first < BATCH ? wanted->count - first : BATCH,
                          .lock = PTHREAD_MUTEX_INITIALIZER};
    run_threads(&batch);
    if (has_new(&batch) && syncfs(wanted->folder) != 0) // flushes what others write there too
        return error_set(err, STATUS_RETRY, "%s can't be flushed: %s", wanted->options->folder,
                         strerror(errno));
    enum status status = note_states(index, &batch, counts, err);
    if (status == STATUS_OK && batch.status != STATUS_OK) {
        *err = batch.err;
        status = batch.status;
    }
    if (status == STATUS_OK && shutdown_requested())
        status = error_set(err, STATUS_RETRY, "interrupted");
    return status;
}

static bool is_there(const struct wanted *wanted, const char *image)
{
    struct stat about;
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "%s.jpg", image);
    return fstatat(wanted->folder, name, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(about.st_mode) &&
           about.st_size > 0;
}

static enum status note_wanted(void *context, const struct label_row *row, enum outcome outcome,
                               struct error *err)
{
    struct wanted *wanted = context;
    bool here = row->state == IMAGE_HERE && is_there(wanted, row->image_sha256);
    bool too_soon = (row->state == IMAGE_ABSENT || row->state == IMAGE_DIFFERS) &&
                    wanted->now_ms - row->tried_at < wanted->options->ask_again_ms;
    if (outcome != OUTCOME_LABEL || here || too_soon)
        return STATUS_OK;
    if (wanted->count == wanted->capacity) {
        wanted->capacity = wanted->capacity ? 2 * wanted->capacity : BATCH;
        wanted->images = memory_realloc(wanted->images, wanted->capacity * sizeof *wanted->images);
    }
    if (!digest_parse(row->image_sha256, &wanted->images[wanted->count]))
        return error_set(err, STATUS_FATAL, "the index of the data set is damaged");
    wanted->count++;
    return STATUS_OK;
}

enum status image_fetch(struct feedback_index *index, const struct image_fetch_options *options,
                        struct image_fetch_counts *counts, struct error *err)
{
    struct wanted wanted = {.options = options, .now_ms = clock_wall_ms()};
    const struct outcome_taker taker = {note_wanted, &wanted};
    *counts = (struct image_fetch_counts){0};
    wanted.folder = open(options->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (wanted.folder < 0)
        return error_set(err, STATUS_FATAL, "%s can't be opened: %s", options->folder, strerror(errno));
    enum status status = outcomes_walk(index, &taker, err);
    for (size_t first = 0; first < wanted.count && status == STATUS_OK; first += BATCH)
        status = fetch_batch(index, &wanted, first, counts, err);
    close(wanted.folder);
    free(wanted.images);
    return status;
}

enum status image_fetch_clean(const char *folder, struct error *err)
{
    DIR *entries = opendir(folder);
    if (!entries)
        return error_set(err, STATUS_FATAL, "%s can't be opened: %s", folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(entries));)
        if (strncmp(entry->d_name, PARTIAL, sizeof PARTIAL - 1) == 0)
            unlinkat(dirfd(entries), entry->d_name, 0);
    closedir(entries);
    return STATUS_OK;
}
