// import.c: readers make batches of a file's lines, each of its own part, and the main thread writes them
// into the database in the order of the file: JSON takes longer to read than rows to write.
//
// One lock guards the file and the states of the blocks. A block belongs to whoever's state it has.
#include "monitor/archive/import.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/processors.h"
#include "common/base/shutdown.h"
#include "monitor/archive/archive.h"
#include "monitor/archive/lines.h"

enum {
    READERS_MOST = 4,
    BLOCKS_MOST = READERS_MOST + 1, // one is written meanwhile
    BLOCK_BYTES = 16 << 20,
    TOLD_MOST = 20, // refused lines that are told one by one
    DRAW_MS = 200,
};

enum block_state { BLOCK_FREE, BLOCK_READ, BLOCK_FULL }; // the file's, its reader's, the writer's

struct block {
    enum block_state state;
    struct buffer text; // lines, each with its end
    int64_t first_line;
    struct archive_batch *batch;
    int64_t lines, refused;
    struct {
        int64_t line;
        struct error reason;
    } told[TOLD_MOST]; // of the refused ones
    enum status status;
    struct error err;
};

struct import {
    enum status (*add)(struct archive_batch *batch, struct bytes value, const struct archive_origin *origin,
                       struct error *err);
    struct archive_origin origin;
    pthread_mutex_t lock;
    pthread_cond_t changed; // a block's state, ended, stopped
    struct lines lines;
    int64_t size; // of the file, for the line at the terminal
    size_t block_count;
    size_t taken; // blocks begun so far; block n has place n % block_count
    bool ended;   // no line is left
    bool stopped; // the writer has failed
    struct block blocks[BLOCKS_MOST];
    int64_t lines_done, added, refused;
    int64_t drawn_ms;
    bool draws;
};

// ---- readers ----

static enum status fill_block(struct import *import, struct block *block)
{
    struct bytes line;
    bool cut, more = true;
    enum status status = STATUS_OK;
    buffer_clear(&block->text);
    block->first_line = import->lines.number + 1;
    block->lines = 0;
    while (block->lines < ARCHIVE_BATCH_MOST && block->text.size < BLOCK_BYTES) {
        status = lines_next(&import->lines, &line, &cut, &more, &block->err);
        if (status != STATUS_OK || !more)
            break;
        block->lines++;
        if (!cut) // of a line that is too long an empty one stays, which is refused
            status = buffer_append(&block->text, line.data, line.size, &block->err);
        if (status == STATUS_OK)
            status = buffer_append(&block->text, "\n", 1, &block->err);
        if (status != STATUS_OK)
            break;
    }
    import->ended = status != STATUS_OK || !more;
    return status;
}

static void refuse(struct block *block, int64_t line, const struct error *reason)
{
    if (block->refused < TOLD_MOST) {
        block->told[block->refused].line = line;
        block->told[block->refused].reason = *reason;
    }
    block->refused++;
}

static void parse_block(const struct import *import, struct block *block)
{
    const uint8_t *at = block->text.data;
    archive_batch_clear(block->batch);
    block->refused = 0;
    for (int64_t i = 0; i < block->lines && block->status == STATUS_OK; i++) {
        struct error reason;
        const uint8_t *end = memchr(at, '\n', block->text.size - (size_t)(at - block->text.data));
        enum status status =
            import->add(block->batch, (struct bytes){at, (size_t)(end - at)}, &import->origin, &reason);
        at = end + 1;
        if (status == STATUS_REJECTED) {
            refuse(block, block->first_line + i, &reason);
        } else if (status != STATUS_OK) {
            block->status = status;
            block->err = reason;
        }
    }
}

// The next block that has lines; NULL: there is none. Takes the lock.
static struct block *take_block(struct import *import)
{
    struct block *block = NULL;
    pthread_mutex_lock(&import->lock);
    for (;;) {
        block = &import->blocks[import->taken % import->block_count];
        if (import->ended || import->stopped || block->state == BLOCK_FREE)
            break;
        pthread_cond_wait(&import->changed, &import->lock);
    }
    if (import->ended || import->stopped) {
        block = NULL;
    } else {
        block->status = fill_block(import, block);
        block->state = BLOCK_READ;
        import->taken++;
    }
    pthread_cond_broadcast(&import->changed);
    pthread_mutex_unlock(&import->lock);
    return block;
}

static void *read_blocks(void *context)
{
    struct import *import = context;
    struct block *block;
    while ((block = take_block(import))) {
        if (block->status == STATUS_OK)
            parse_block(import, block);
        pthread_mutex_lock(&import->lock);
        block->state = BLOCK_FULL;
        pthread_cond_broadcast(&import->changed);
        pthread_mutex_unlock(&import->lock);
    }
    return NULL;
}

// ---- the writer ----

static void tell_refused(const struct import *import, const struct block *block)
{
    for (int64_t i = 0; i < block->refused && import->refused + i < TOLD_MOST; i++)
        LOG_WARN("line_refused", "line=%" PRId64 " reason=\"%s\"", block->told[i].line,
                 block->told[i].reason.message);
    if (import->refused < TOLD_MOST && import->refused + block->refused >= TOLD_MOST)
        LOG_WARN("line_refused", "reason=\"more of them are counted and not told\"");
}

// For a person at a terminal.
static void draw(struct import *import, bool last)
{
    int64_t now_ms = clock_monotonic_ms();
    if (!import->draws || (!last && now_ms - import->drawn_ms < DRAW_MS))
        return;
    import->drawn_ms = now_ms;
    pthread_mutex_lock(&import->lock);
    int64_t given = import->lines.given;
    pthread_mutex_unlock(&import->lock);
    fprintf(stderr, last ? "\r\033[K" : "\r%" PRId64 " lines, %d %%", import->lines_done,
            import->size > 0 ? (int)(100 * given / import->size) : 0);
}

static enum status write_block(struct import *import, struct archive *archive, const struct block *block,
                               struct error *err)
{
    int64_t added = 0;
    enum status status = STATUS_OK;
    if (block->status != STATUS_OK) {
        *err = block->err;
        return block->status;
    }
    if (shutdown_requested())
        return error_set(err, STATUS_RETRY, "interrupted: the same command goes on from here");
    if (archive_batch_count(block->batch) > 0)
        status = archive_import(archive, block->batch, &added, err);
    if (status != STATUS_OK)
        return status;
    tell_refused(import, block);
    import->lines_done += block->lines;
    import->refused += block->refused;
    import->added += added;
    draw(import, false);
    return STATUS_OK;
}

// The block of that number, read; NULL: the file has no such block.
static struct block *wait_for_block(struct import *import, size_t number)
{
    struct block *block = &import->blocks[number % import->block_count];
    pthread_mutex_lock(&import->lock);
    while (!(import->taken > number && block->state == BLOCK_FULL) &&
           !(import->ended && import->taken <= number))
        pthread_cond_wait(&import->changed, &import->lock);
    bool found = import->taken > number;
    pthread_mutex_unlock(&import->lock);
    return found ? block : NULL;
}

static void set_free(struct import *import, struct block *block, bool stopped)
{
    pthread_mutex_lock(&import->lock);
    block->state = BLOCK_FREE;
    import->stopped = stopped;
    pthread_cond_broadcast(&import->changed);
    pthread_mutex_unlock(&import->lock);
}

static enum status write_blocks(struct import *import, struct archive *archive, struct error *err)
{
    enum status status = STATUS_OK;
    struct block *block;
    for (size_t number = 0; status == STATUS_OK && (block = wait_for_block(import, number)); number++) {
        status = write_block(import, archive, block, err);
        set_free(import, block, status != STATUS_OK);
    }
    draw(import, true);
    return status;
}

// ---- the command ----

static enum status start_and_write(struct import *import, struct archive *archive, struct error *err)
{
    pthread_t readers[READERS_MOST];
    int wanted = processors_usable(), started = 0;
    wanted = wanted < READERS_MOST ? wanted : READERS_MOST;
    import->block_count = (size_t)wanted + 1;
    for (size_t i = 0; i < import->block_count; i++) {
        buffer_init(&import->blocks[i].text, BLOCK_BYTES + 2 * LINE_MOST);
        import->blocks[i].batch = archive_batch_new();
    }
    while (started < wanted && pthread_create(&readers[started], NULL, read_blocks, import) == 0)
        started++;
    enum status status = started > 0 ? write_blocks(import, archive, err)
                                     : error_set(err, STATUS_FATAL, "no thread can be started");
    for (int i = 0; i < started; i++)
        pthread_join(readers[i], NULL);
    for (size_t i = 0; i < import->block_count; i++) {
        buffer_release(&import->blocks[i].text);
        archive_batch_free(import->blocks[i].batch);
    }
    return status;
}

static enum status tell_end(const struct import *import, struct error *err)
{
    printf("%" PRId64 " lines: %" PRId64 " imported, %" PRId64 " known already, %" PRId64 " refused\n",
           import->lines_done, import->added, import->lines_done - import->refused - import->added,
           import->refused);
    if (import->refused == 0)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "%" PRId64 " lines are no such records; the others are imported",
                     import->refused);
}

static enum status run(struct config *config, struct import *import, const char *topic, struct error *err)
{
    struct archive *archive = NULL;
    const char *path = config_argument(config, 0);
    struct stat about;
    shutdown_install();
    import->origin =
        (struct archive_origin){.partition = ARCHIVE_IMPORTED, .offset = -1, .received_at = clock_wall_ms()};
    import->draws = isatty(STDERR_FILENO);
    pthread_mutex_init(&import->lock, NULL);
    pthread_cond_init(&import->changed, NULL);
    enum status status = lines_open(&import->lines, path, err);
    if (status == STATUS_OK)
        status = archive_open(&archive, config_text(config, "store"), err);
    if (status == STATUS_OK)
        status = archive_log(archive, topic, &import->origin.log, err);
    if (status == STATUS_OK && fstat(import->lines.file, &about) == 0)
        import->size = about.st_size;
    if (status == STATUS_OK)
        status = start_and_write(import, archive, err);
    if (status == STATUS_OK)
        status = archive_analyze(archive, err);
    if (status == STATUS_OK)
        status = tell_end(import, err);
    archive_close(archive);
    lines_close(&import->lines);
    pthread_cond_destroy(&import->changed);
    pthread_mutex_destroy(&import->lock);
    free(import);
    return status;
}

static struct import *import_new(enum status (*add)(struct archive_batch *batch, struct bytes value,
                                                    const struct archive_origin *origin, struct error *err))
{
    struct import *import = memory_alloc(sizeof *import);
    import->add = add;
    return import;
}

enum status import_predictions_run(struct config *config, struct error *err)
{
    return run(config, import_new(archive_batch_add_prediction), config_text(config, "predictions_topic"),
               err);
}

enum status import_feedback_run(struct config *config, struct error *err)
{
    return run(config, import_new(archive_batch_add_feedback), config_text(config, "feedback_topic"), err);
}
