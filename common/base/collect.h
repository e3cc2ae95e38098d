// collect.h: from the paths of a command line to the list of files they mean.
#ifndef SKINSIGHT_COMMON_BASE_COLLECT_H
#define SKINSIGHT_COMMON_BASE_COLLECT_H

#include <stddef.h>

#include "common/base/status.h"

enum { FILE_LIST_LIMIT = 1 << 20 }; // files of one run

// Paths in order. The list owns the texts.
struct file_list {
    char **paths;
    size_t count;
    size_t capacity;
};

void file_list_init(struct file_list *list);
void file_list_release(struct file_list *list);

// What could not be read on the way is told by calling complain once for each, with one sentence.
struct collect_complaints {
    void (*complain)(void *context, const char *sentence);
    void *context;
};

// Adds path itself when it is no folder, whatever its name; for a folder, every .jpg and .jpeg below it (in
// either case), sorted, symbolic links followed but never in circles. Below a folder, files and folders whose
// names begin with a dot are left out: what other programs keep for themselves. REJECTED when the list passes
// FILE_LIST_LIMIT.
enum status file_list_collect(struct file_list *list, const char *path,
                              const struct collect_complaints *complaints, struct error *err) MUST_CHECK;

#endif
