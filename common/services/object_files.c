// object_files.c: objects as files under one folder.
//
// A file is written under a temporary name in its own folder, made durable and renamed, so that a reader sees
// all of it or nothing, and so does a machine that lost power. Every path is walked part by part from the
// root without following symbolic links: nothing under the root leads out of it. The root itself may be
// reached through links, which is the operator's choice. Temporary names hold a '~', which no key may.
// Any thread.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/services/object_internal.h"

enum { FOLDER_MODE = 0750, FILE_MODE = 0640, READ_PIECE = 64 << 10, TEMPORARY_SIZE = 32 };

struct object_files {
    struct object_store store;
    char folder[OBJECT_URI_SIZE];
};

// What errno means to the caller: whether the same call may succeed later.
static enum status fail(struct error *err, const char *key, const char *action)
{
    int code = errno;
    if (code == ELOOP || code == ENOTDIR)
        return error_set(err, STATUS_REJECTED,
                         "object %s is or lies behind a link, or lies behind a file: neither is followed",
                         key);
    bool lasting = code == EACCES || code == EPERM || code == EROFS || code == EISDIR ||
                   code == ENAMETOOLONG || code == EFBIG || code == ENXIO;
    return error_set(err, lasting ? STATUS_REJECTED : STATUS_RETRY, "can't %s object %s: %s", action, key,
                     strerror(code));
}

// Makes the folder and those above it.
static enum status make_root(const char *folder, struct error *err)
{
    char path[OBJECT_URI_SIZE];
    snprintf(path, sizeof path, "%s", folder);
    for (char *slash = path + 1; slash; *slash++ = '/') {
        slash = strchr(slash, '/');
        if (slash)
            *slash = '\0';
        if (mkdir(path, FOLDER_MODE) != 0 && errno != EEXIST) {
            enum status status =
                errno == EACCES || errno == EPERM || errno == EROFS ? STATUS_REJECTED : STATUS_RETRY;
            return error_set(err, status, "can't make the folder %s: %s", path, strerror(errno));
        }
        if (!slash)
            break;
    }
    return STATUS_OK;
}

// Opens the folder of name inside parent, making it where make says so. -1 and errno on failure.
static int open_folder_in(int parent, const char *name, bool make)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int folder = openat(parent, name, flags);
    if (folder >= 0 || errno != ENOENT || !make)
        return folder;
    if (mkdirat(parent, name, FOLDER_MODE) != 0 && errno != EEXIST)
        return -1;
    if (fsync(parent) != 0)
        return -1;
    return openat(parent, name, flags);
}

// Opens the folder that holds key's file; *leaf is then the file's name in key. -1 and errno on failure.
static int open_folder_of(const struct object_files *files, const char *key, bool make, const char **leaf)
{
    int folder = open(files->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *part = key;
    for (const char *slash; folder >= 0 && (slash = strchr(part, '/')) != NULL; part = slash + 1) {
        char name[OBJECT_KEY_SIZE];
        memcpy(name, part, (size_t)(slash - part));
        name[slash - part] = '\0';
        int inner = open_folder_in(folder, name, make);
        int code = errno;
        close(folder);
        errno = code;
        folder = inner;
    }
    *leaf = part;
    return folder;
}

static enum status write_all(int file, struct bytes data, const char *key, struct error *err)
{
    while (data.size > 0) {
        ssize_t written = write(file, data.data, data.size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return fail(err, key, "write");
        data.data += written;
        data.size -= (size_t)written;
    }
    return STATUS_OK;
}

// Unique over processes, threads and machines that share the folder.
static void temporary_name(char name[TEMPORARY_SIZE])
{
    uint64_t random;
    if (RAND_bytes((unsigned char *)&random, sizeof random) != 1)
        abort();
    snprintf(name, TEMPORARY_SIZE, "~%016" PRIx64 ".tmp", random);
}

static enum status files_put(struct object_store *store, const char *key, struct bytes data,
                             const char *content_type, struct error *err)
{
    const struct object_files *files = (const struct object_files *)store;
    char temporary[TEMPORARY_SIZE];
    const char *leaf;
    int file = -1;
    bool made = false;
    (void)content_type; // a file has none
    enum status status = STATUS_OK;
    if (access(files->folder, F_OK) != 0)
        status = make_root(files->folder, err);
    if (status != STATUS_OK)
        return status;
    int folder = open_folder_of(files, key, true, &leaf);
    if (folder < 0)
        return fail(err, key, "make the folder of");
    temporary_name(temporary);
    file = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    made = file >= 0;
    if (!made) {
        status = fail(err, key, "write");
        goto done;
    }
    status = write_all(file, data, key, err);
    if (status == STATUS_OK && fsync(file) != 0)
        status = fail(err, key, "write");
    if (status == STATUS_OK && renameat(folder, temporary, folder, leaf) != 0)
        status = fail(err, key, "name");
    else if (status == STATUS_OK)
        made = false;
    if (status == STATUS_OK && fsync(folder) != 0)
        status = fail(err, key, "write");
done:
    if (file >= 0)
        close(file);
    if (made)
        unlinkat(folder, temporary, 0);
    close(folder);
    return status;
}

static enum status read_all(int file, size_t size, struct buffer *out, const char *key, struct error *err)
{
    uint8_t piece[READ_PIECE];
    for (;;) {
        ssize_t got = read(file, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(err, key, "read");
        if (got == 0)
            break;
        enum status status = buffer_append(out, piece, (size_t)got, err);
        if (status != STATUS_OK)
            return status;
    }
    if (out->size != size)
        return error_set(err, STATUS_RETRY, "object %s changed its size while it was read", key);
    return STATUS_OK;
}

static enum status fail_get(struct error *err, const char *key)
{
    if (errno == ENOENT)
        return error_set(err, STATUS_REJECTED, "no such object: %s", key);
    return fail(err, key, "read");
}

static enum status files_get(struct object_store *store, const char *key, struct buffer *out,
                             struct error *err)
{
    const struct object_files *files = (const struct object_files *)store;
    const char *leaf;
    struct stat about;
    enum status status;
    int folder = open_folder_of(files, key, false, &leaf);
    if (folder < 0)
        return fail_get(err, key);
    // Without O_NONBLOCK a FIFO would hold this thread for ever.
    int file = openat(folder, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file < 0)
        status = fail_get(err, key);
    else if (fstat(file, &about) != 0)
        status = fail(err, key, "read");
    else if (!S_ISREG(about.st_mode))
        status = error_set(err, STATUS_REJECTED, "object %s is no regular file", key);
    else if ((out->overflowed = (uintmax_t)about.st_size > out->limit))
        status = error_set(err, STATUS_REJECTED, "object %s has %jd bytes, %zu are allowed", key,
                           (intmax_t)about.st_size, out->limit);
    else
        status = read_all(file, (size_t)about.st_size, out, key, err);
    if (file >= 0)
        close(file);
    close(folder);
    return status;
}

static void files_close(struct object_store *store)
{
    free(store);
}

// Whether every part of the absolute path is a name, and none needs encoding in a URI.
static bool plain_path(const char *path)
{
    for (const char *c = path; *c; c++)
        if (*c <= ' ' || *c > '~' || strchr("%?#\"\\", *c))
            return false;
    while (*path == '/') {
        size_t length = strcspn(++path, "/");
        if (length == strspn(path, ".")) // empty, or dots only
            return false;
        path += length;
    }
    return true;
}

enum status object_files_check(const char *place, struct error *err)
{
    if (plain_path(place))
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED,
                     "the folder of the object store must be a plain absolute path of characters that need "
                     "no encoding in a URI");
}

struct object_store *object_files_new(const char *place)
{
    static const struct object_store_ops ops = {files_put, files_get, files_close};
    struct object_files *files = memory_alloc(sizeof *files);
    files->store.ops = &ops;
    snprintf(files->folder, sizeof files->folder, "%s", place);
    return &files->store;
}
