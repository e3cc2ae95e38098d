// lines.h: the lines of a text file, one after the other, whatever their length and number: memory is that of
// one piece and one line. One thread at a time.
#ifndef SKINSIGHT_MONITOR_ARCHIVE_LINES_H
#define SKINSIGHT_MONITOR_ARCHIVE_LINES_H

#include <stdbool.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

enum { LINE_MOST = 1 << 20 }; // bytes

struct lines {
    char *path;
    int file;
    struct buffer piece; // read and not yet given from `at` on
    size_t at;
    int64_t number;  // of the line given last, from 1
    int64_t given;   // bytes of the lines so far
    bool ended, cut; // cut: the line given last goes on
};

// REJECTED: there is no such file. lines_close takes one that failed, and a zeroed one.
enum status lines_open(struct lines *lines, const char *path, struct error *err) MUST_CHECK;
void lines_close(struct lines *lines);

// more false: there is no further line. line: without its end (LF or CRLF); of a line longer than LINE_MOST
// the beginning, and cut is true. It lives until the next call. FATAL: the file can't be read.
enum status lines_next(struct lines *lines, struct bytes *line, bool *cut, bool *more,
                       struct error *err) MUST_CHECK;

#endif
