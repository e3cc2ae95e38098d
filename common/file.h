// file.h: a whole file into a bounded buffer.
#ifndef SKINSIGHT_COMMON_FILE_H
#define SKINSIGHT_COMMON_FILE_H

#include "common/bytes.h"
#include "common/status.h"

// Appends the file's bytes to buffer, up to its limit. REJECTED: larger than that, or not a regular file;
// FATAL: it can't be read. The sentence names the path.
enum status file_read(const char *path, struct buffer *buffer, struct error *err) MUST_CHECK;

#endif
