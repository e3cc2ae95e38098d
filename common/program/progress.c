// progress.c: the progress bar. One thread draws; nothing is drawn where no person looks.
#include "common/program/progress.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/clock.h"

enum { REDRAW_US = 100 * 1000, LINE_SIZE = 256, BAR_COLUMNS = 30, BAR_COLUMNS_LEAST = 5 };

void progress_init(struct progress *progress, FILE *out, bool wanted, size_t total)
{
    bool drawn = wanted && isatty(fileno(out));
    *progress =
        (struct progress){.out = drawn ? out : NULL, .total = total, .start_us = clock_monotonic_us()};
}

static void format_remaining(const struct progress *progress, double seconds, char *text, size_t size)
{
    text[0] = '\0';
    if (progress->done == 0 || progress->done >= progress->total)
        return;
    double left = seconds / (double)progress->done * (double)(progress->total - progress->done);
    long whole = (long)(left + 0.5);
    if (whole >= 3600)
        snprintf(text, size, "  %ld:%02ld:%02ld left", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, size, "  %ld:%02ld left", whole / 60, whole % 60);
}

static void format_counts(const struct progress *progress, int64_t now_us, char *text, size_t size)
{
    char answered[32] = "", errors[32] = "", remaining[64];
    double seconds = (double)(now_us - progress->start_us) / 1e6;
    format_remaining(progress, seconds, remaining, sizeof remaining);
    if (progress->waiting)
        snprintf(answered, sizeof answered, "  %zu answered", progress->answered);
    if (progress->errors > 0)
        snprintf(errors, sizeof errors, "  %zu errors", progress->errors);
    double rate = seconds > 0 ? (double)progress->done / seconds : 0.0;
    snprintf(text, size, "%zu of %zu %s%s%s  %.1f/s%s", progress->sent, progress->total,
             progress->verb ? progress->verb : "sent", answered, errors, rate, remaining);
}

void progress_format(const struct progress *progress, int64_t now_us, size_t columns, char *line, size_t size)
{
    char counts[LINE_SIZE], bar[BAR_COLUMNS + 4] = "";
    format_counts(progress, now_us, counts, sizeof counts);
    size_t taken = strlen(counts) + 3; // the brackets and a space
    size_t room = columns > taken ? columns - taken : 0;
    size_t width = room < BAR_COLUMNS ? room : BAR_COLUMNS;
    if (width >= BAR_COLUMNS_LEAST && progress->total > 0) {
        size_t done = progress->done < progress->total ? progress->done : progress->total;
        size_t filled = width * done / progress->total;
        bar[0] = '[';
        memset(bar + 1, '#', filled);
        memset(bar + 1 + filled, '.', width - filled);
        memcpy(bar + 1 + width, "] ", 3);
    }
    snprintf(line, columns + 1 < size ? columns + 1 : size, "%s%s", bar, counts);
}

static size_t terminal_columns(FILE *out)
{
    struct winsize window;
    if (ioctl(fileno(out), TIOCGWINSZ, &window) == 0 && window.ws_col > 0)
        return window.ws_col;
    return 80;
}

void progress_update(struct progress *progress, int64_t now_us)
{
    if (!progress->out || now_us - progress->drawn_us < REDRAW_US)
        return;
    char line[LINE_SIZE];
    // The last column stays empty: some terminals wrap when it is written.
    progress_format(progress, now_us, terminal_columns(progress->out) - 1, line, sizeof line);
    fprintf(progress->out, "\r%s\x1b[K", line);
    fflush(progress->out);
    progress->drawn_us = now_us;
    progress->visible = true;
}

void progress_clear(struct progress *progress)
{
    if (!progress->visible)
        return;
    fputs("\r\x1b[K", progress->out);
    fflush(progress->out);
    progress->visible = false;
}
