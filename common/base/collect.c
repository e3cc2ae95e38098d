// collect.c: walks folders with fts(3), which guards against circles of links and sorts what it finds.
// One thread; the paths belong to the list, of which there are a few megabytes for 100,000 files.
#include "common/base/collect.h"

#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/base/memory.h"

void file_list_init(struct file_list *list)
{
    *list = (struct file_list){0};
}

void file_list_release(struct file_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    file_list_init(list);
}

static enum status add(struct file_list *list, const char *path, struct error *err)
{
    if (list->count == FILE_LIST_LIMIT)
        return error_set(err, STATUS_REJECTED, "more than %d files in one run", FILE_LIST_LIMIT);
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 64;
        list->paths = memory_realloc(list->paths, list->capacity * sizeof *list->paths);
    }
    list->paths[list->count++] = memory_strdup(path);
    return STATUS_OK;
}

static void complain(const struct collect_complaints *complaints, const char *path, int code)
{
    struct error sentence;
    error_set(&sentence, STATUS_REJECTED, "'%s' can't be read: %s", path, strerror(code));
    complaints->complain(complaints->context, sentence.message);
}

static bool is_jpeg_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static enum status take_entry(struct file_list *list, const FTSENT *entry,
                              const struct collect_complaints *complaints, struct error *err)
{
    switch (entry->fts_info) {
    case FTS_F:
        return is_jpeg_name(entry->fts_name) ? add(list, entry->fts_path, err) : STATUS_OK;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        complain(complaints, entry->fts_path, entry->fts_errno);
        return STATUS_OK;
    case FTS_SLNONE: // a link to nothing matters only where it stands for an image
        if (is_jpeg_name(entry->fts_name))
            complain(complaints, entry->fts_path, ENOENT);
        return STATUS_OK;
    default: // folders before and after their files, circles (FTS_DC), sockets and other things
        return STATUS_OK;
    }
}

static enum status collect_folder(struct file_list *list, const char *path,
                                  const struct collect_complaints *complaints, struct error *err)
{
    char *root = memory_strdup(path);
    size_t length = strlen(root);
    while (length > 1 && root[length - 1] == '/') // "folder/" and "folder" give the same paths
        root[--length] = '\0';
    char *const roots[] = {root, NULL};
    enum status status = STATUS_OK;
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    if (!walk) {
        complain(complaints, path, errno);
        goto done;
    }
    FTSENT *entry;
    errno = 0;
    while (status == STATUS_OK && (entry = fts_read(walk))) {
        if (entry->fts_level > FTS_ROOTLEVEL && entry->fts_name[0] == '.')
            fts_set(walk, entry, FTS_SKIP); // where it is a folder
        else
            status = take_entry(list, entry, complaints, err);
    }
    if (status == STATUS_OK && errno != 0)
        complain(complaints, path, errno);
    fts_close(walk);
done:
    free(root);
    return status;
}

enum status file_list_collect(struct file_list *list, const char *path,
                              const struct collect_complaints *complaints, struct error *err)
{
    struct stat about;
    if (stat(path, &about) != 0) {
        complain(complaints, path, errno);
        return STATUS_OK;
    }
    if (S_ISDIR(about.st_mode))
        return collect_folder(list, path, complaints, err);
    return add(list, path, err);
}
