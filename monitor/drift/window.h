// window.h: the analyses of a report counted in a reference's bins, by day of UTC and stratum, from which
// every window of the report is added up. Memory: three kilobytes for each day on which a stratum has a
// picture. One thread.
#ifndef SKINSIGHT_MONITOR_DRIFT_WINDOW_H
#define SKINSIGHT_MONITOR_DRIFT_WINDOW_H

#include "monitor/drift/reference.h"

enum { DRIFT_DAYS_MOST = 800 };

struct drift_windows;

// from < to, Unix ms; the reference is borrowed. REJECTED: more than DRIFT_DAYS_MOST days.
enum status drift_windows_new(struct drift_windows **windows, const struct drift_reference *reference,
                              int64_t from, int64_t to, struct error *err) MUST_CHECK;
void drift_windows_free(struct drift_windows *windows); // NULL is allowed

// from <= at < to. Failed analyses count as nothing.
void drift_windows_add(struct drift_windows *windows, const struct analysis *analysis);

int drift_windows_days(const struct drift_windows *windows);
int64_t drift_windows_day_at(const struct drift_windows *windows, int day); // its midnight, Unix ms
// One day of a stratum; all zeros where it had no picture.
const struct drift_tally *drift_windows_day(const struct drift_windows *windows, size_t stratum, int day);
// What the model said of lesions whose diagnosis is known, in all of the report: (LESION_CLASSES), by it.
const struct drift_output *drift_windows_truth(const struct drift_windows *windows);
// The sum of the last `days` days, or of fewer where the report is shorter.
void drift_windows_last(const struct drift_windows *windows, size_t stratum, int days,
                        struct drift_tally *sum);

#endif
