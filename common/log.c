// log.c: formats a line and writes it whole.
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

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
    char line[1024];
    int length = write_head(line, sizeof line - 1, level, event);
    va_list args;
    va_start(args, format);
    int body = vsnprintf(line + length, sizeof line - 1 - (size_t)length, format, args);
    va_end(args);
    length += body;
    if (length > (int)sizeof line - 2)
        length = (int)sizeof line - 2;
    for (int i = 0; i < length; i++)
        if ((unsigned char)line[i] < 0x20)
            line[i] = '?';
    line[length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, (size_t)length);
    (void)written; // nowhere left to report to
}
