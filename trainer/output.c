// output.c: makes folders and fills them. Main thread.
#include "trainer/output.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/memory.h"

static bool is_empty(const char *folder)
{
    DIR *entries = opendir(folder);
    bool empty = entries;
    for (struct dirent *entry; empty && (entry = readdir(entries));)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (entries)
        closedir(entries);
    return empty;
}

enum status output_check(const char *folder, struct error *err)
{
    struct stat about;
    if (stat(folder, &about) != 0 || is_empty(folder))
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED,
                     "%s is there and not empty: name another folder with --out, or remove it", folder);
}

enum status output_make(const char *folder, struct error *err)
{
    char *path = memory_strdup(folder);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, OUTPUT_FOLDER_MODE); // where it fails, the last one does too
        *slash = '/';
    }
    int reason = mkdir(path, OUTPUT_FOLDER_MODE) == 0 ? 0 : errno;
    free(path);
    if (reason && reason != EEXIST)
        return error_set(err, STATUS_FATAL, "%s can't be made: %s", folder, strerror(reason));
    return output_check(folder, err);
}

static bool write_bytes(FILE *file, const void *context)
{
    const struct bytes *data = context;
    return fwrite(data->data, 1, data->size, file) == data->size;
}

enum status output_write(const char *folder, const char *name, struct bytes data, struct error *err)
{
    char *path = memory_format("%s/%s", folder, name);
    enum status status = file_replace_private(path, write_bytes, &data, err);
    free(path);
    return status;
}
