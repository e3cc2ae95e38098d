// file.h: a whole file into a bounded buffer, and a whole file put in the place of another.
#ifndef SKINSIGHT_COMMON_BASE_FILE_H
#define SKINSIGHT_COMMON_BASE_FILE_H

#include <stdio.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

// Appends the file's bytes to buffer, up to its limit. REJECTED: larger than that, or not a regular file;
// FATAL: it can't be read. The sentence names the path.
enum status file_read(const char *path, struct buffer *buffer, struct error *err) MUST_CHECK;

// The same of a file that holds a secret; a line end behind it is left out. REJECTED also: others may read it
// or the group may write it, or it has fewer bytes than least.
enum status file_read_secret(const char *path, size_t least, struct buffer *buffer,
                             struct error *err) MUST_CHECK;

// Opens a file for writing, empty, that only its owner writes and only its group reads besides: also where
// the umask would leave more, or the file was there before and more open. NULL with errno set on failure.
FILE *file_open_private(const char *path);

// Has `write` fill a file "<path>.partial", flushes it to the disk and renames it to path: a crash leaves the
// old file or the new one. write answers false, with errno set, when it could not. FATAL: nothing has
// changed; the sentence names the path.
enum status file_replace(const char *path, bool (*write)(FILE *file, const void *context),
                         const void *context, struct error *err) MUST_CHECK;
// The same, for what says something of patients: the file is as file_open_private makes it.
enum status file_replace_private(const char *path, bool (*write)(FILE *file, const void *context),
                                 const void *context, struct error *err) MUST_CHECK;

#endif
