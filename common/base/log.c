// log.c: formats a line and writes it whole.
#include "common/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/text.h"

static const char *program_name = "skinsight";
static enum log_level lowest = LOG_LEVEL_WARN;

void log_configure(const char *program, enum log_level level)
{
    program_name = program;
    lowest = level;
}

static int write_head(char *line, size_t size, enum log_level level, const char *event)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    return snprintf(line, size, "time=%s.%03ldZ level=%s program=%s event=%s ", stamp, now.tv_nsec / 1000000,
                    names[level], program_name, event);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if (level < lowest)
        return;
    char raw[1024], line[sizeof raw];
    int head = write_head(raw, sizeof raw, level, event);
    va_list args;
    va_start(args, format);
    vsnprintf(raw + head, sizeof raw - (size_t)head, format, args);
    va_end(args);
    text_clean(raw, line, sizeof line);
    size_t length = strlen(line);
    line[length++] = '\n'; // in place of the end
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written; // nowhere left to report to
}
