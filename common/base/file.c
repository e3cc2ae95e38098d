// file.c: reading opens without blocking (a FIFO is refused, not waited for) and takes pieces.
#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/memory.h"

enum { PIECE = 64 * 1024, PRIVATE_MODE = 0640 };

static enum status read_all(int file, struct buffer *buffer, struct error *err)
{
    char piece[PIECE];
    for (;;) {
        ssize_t got = read(file, piece, sizeof piece);
        if (got == 0)
            return STATUS_OK;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, STATUS_FATAL, "%s", strerror(errno));
        enum status status = buffer_append(buffer, piece, (size_t)got, err);
        if (status != STATUS_OK)
            return status;
    }
}

// refused: bits of the mode that the file must not have.
static enum status read_file(const char *path, mode_t refused, struct buffer *buffer, struct error *err)
{
    struct stat about;
    enum status status;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return error_set(err, STATUS_FATAL, "%s: %s", path, strerror(errno));
    if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode))
        status = error_set(err, STATUS_REJECTED, "not a regular file");
    else if (about.st_mode & refused)
        status = error_set(err, STATUS_REJECTED, "a secret must be closed to others (chmod 600)");
    else
        status = read_all(file, buffer, err);
    close(file);
    if (status != STATUS_OK)
        error_prefix(err, "%s", path);
    return status;
}

enum status file_read(const char *path, struct buffer *buffer, struct error *err)
{
    return read_file(path, 0, buffer, err);
}

enum status file_read_secret(const char *path, size_t least, struct buffer *buffer, struct error *err)
{
    enum status status = read_file(path, S_IRWXO | S_IWGRP, buffer, err);
    if (status != STATUS_OK)
        return status;
    if (buffer->size > 0 && buffer->data[buffer->size - 1] == '\n')
        buffer->size--;
    if (buffer->size < least)
        return error_set(err, STATUS_REJECTED, "%s: a secret needs at least %zu bytes", path, least);
    return STATUS_OK;
}

FILE *file_open_private(const char *path)
{
    struct stat about;
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, PRIVATE_MODE);
    if (file < 0)
        return NULL;
    if (fstat(file, &about) == 0 && S_ISREG(about.st_mode)) { // a terminal or a pipe has nothing to keep
        mode_t mode = about.st_mode & 0777;
        if ((mode & ~PRIVATE_MODE && fchmod(file, mode & PRIVATE_MODE) != 0) || ftruncate(file, 0) != 0) {
            int reason = errno;
            close(file);
            errno = reason;
            return NULL;
        }
    }
    return fdopen(file, "wb");
}

static enum status replace(const char *path, bool private, bool (*write)(FILE *file, const void *context),
                           const void *context, struct error *err)
{
    enum status status = STATUS_OK;
    char *temporary = memory_format("%s.partial", path);
    FILE *file = private ? file_open_private(temporary) : fopen(temporary, "wbe");
    bool good = file && write(file, context) && fflush(file) == 0 && fsync(fileno(file)) == 0;
    int reason = errno;
    if (file && fclose(file) != 0 && good) {
        good = false;
        reason = errno;
    }
    if (good && rename(temporary, path) != 0) {
        good = false;
        reason = errno;
    }
    if (!good) {
        status = error_set(err, STATUS_FATAL, "%s can't be written: %s", path, strerror(reason));
        unlink(temporary);
    }
    free(temporary);
    return status;
}

enum status file_replace(const char *path, bool (*write)(FILE *file, const void *context),
                         const void *context, struct error *err)
{
    return replace(path, false, write, context, err);
}

enum status file_replace_private(const char *path, bool (*write)(FILE *file, const void *context),
                                 const void *context, struct error *err)
{
    return replace(path, true, write, context, err);
}
