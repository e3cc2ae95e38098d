// lines.c: a piece of the file is searched for ends of lines; what is left of it moves to its beginning
// before the next one is read behind it.
#include "monitor/archive/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/memory.h"

enum { PIECE = 256 << 10 };

enum status lines_open(struct lines *lines, const char *path, struct error *err)
{
    *lines = (struct lines){.path = memory_strdup(path), .file = open(path, O_RDONLY | O_CLOEXEC)};
    buffer_init(&lines->piece, LINE_MOST + PIECE);
    if (lines->file < 0)
        return error_set(err, STATUS_REJECTED, "can't open %s: %s", path, strerror(errno));
    return STATUS_OK;
}

void lines_close(struct lines *lines)
{
    if (!lines->path)
        return;
    if (lines->file >= 0)
        close(lines->file);
    buffer_release(&lines->piece);
    free(lines->path);
    *lines = (struct lines){.path = NULL};
}

static void drop_given(struct lines *lines)
{
    struct buffer *piece = &lines->piece;
    piece->size -= lines->at;
    if (piece->size > 0)
        memmove(piece->data, piece->data + lines->at, piece->size);
    lines->at = 0;
}

static enum status read_piece(struct lines *lines, struct error *err)
{
    uint8_t bytes[PIECE];
    ssize_t count;
    drop_given(lines);
    do
        count = read(lines->file, bytes, sizeof bytes);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return error_set(err, STATUS_FATAL, "can't read %s: %s", lines->path, strerror(errno));
    lines->ended = count == 0;
    return buffer_append(&lines->piece, bytes, (size_t)count, err);
}

// Passes over the rest of a line that is too long, whose beginning was given.
static enum status find_end(struct lines *lines, struct error *err)
{
    for (;;) {
        const uint8_t *start = lines->piece.data + lines->at;
        size_t left = lines->piece.size - lines->at;
        const uint8_t *end = left > 0 ? memchr(start, '\n', left) : NULL;
        size_t passed = end ? (size_t)(end - start) + 1 : left;
        lines->at += passed;
        lines->given += (int64_t)passed;
        if (end || lines->ended)
            return STATUS_OK;
        enum status status = read_piece(lines, err);
        if (status != STATUS_OK)
            return status;
    }
}

enum status lines_next(struct lines *lines, struct bytes *line, bool *cut, bool *more, struct error *err)
{
    size_t searched = 0, left;
    const uint8_t *end = NULL;
    enum status status = lines->cut ? find_end(lines, err) : STATUS_OK;
    lines->cut = false;
    while (status == STATUS_OK) {
        left = lines->piece.size - lines->at;
        if (left > searched)
            end = memchr(lines->piece.data + lines->at + searched, '\n', left - searched);
        searched = left;
        if (end || left > LINE_MOST || lines->ended)
            break;
        status = read_piece(lines, err);
    }
    *more = status == STATUS_OK && (end || searched > 0);
    *cut = false;
    if (!*more)
        return status;
    const uint8_t *start = lines->piece.data + lines->at;
    size_t size = end ? (size_t)(end - start) : searched;
    if (size > LINE_MOST) {
        *cut = lines->cut = true;
        size = LINE_MOST;
        end = NULL;
    }
    lines->at += size + (end != NULL);
    lines->given += (int64_t)(size + (end != NULL));
    lines->number++;
    if (end && size > 0 && start[size - 1] == '\r')
        size--;
    *line = (struct bytes){start, size};
    return STATUS_OK;
}
