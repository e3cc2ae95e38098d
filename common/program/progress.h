// progress.h: the one line on standard error that says how far a run is, for a person at a terminal.
#ifndef SKINSIGHT_COMMON_PROGRAM_PROGRESS_H
#define SKINSIGHT_COMMON_PROGRAM_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct progress {
    FILE *out;        // NULL: nothing is ever drawn
    bool waiting;     // answers are waited for
    const char *verb; // what is done to a file, "sent" where it is NULL
    size_t total;     // files
    size_t sent;      // of which the verb is true: acknowledged by the broker, measured
    size_t answered;  // answers seen, error answers among them
    size_t errors;    // jobs that went wrong, in whatever way
    size_t done;      // jobs with nothing more to come
    int64_t start_us;
    int64_t drawn_us; // when the line was last drawn
    bool visible;     // the line stands on the terminal now
};

// Draws on out only where it is a terminal and wanted is true.
void progress_init(struct progress *progress, FILE *out, bool wanted, size_t total);
// Draws the line anew, at most ten times a second.
void progress_update(struct progress *progress, int64_t now_us);
// Takes the line away: before anything else is written to the terminal, and at the end.
void progress_clear(struct progress *progress);

// The line for a terminal of the given width, never wider; a pure function of its arguments.
void progress_format(const struct progress *progress, int64_t now_us, size_t columns, char *line,
                     size_t size);

#endif
