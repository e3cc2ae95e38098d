// report_folder.h: the reports of each day as files that last, for who reads them on Monday and has no key:
//
//     index.html
//     2026-12-01-drift.html        2026-12-01-drift.json
//     2026-12-01-performance.html  2026-12-01-performance.json
//     2026-12-01-comparison.html   2026-12-01-comparison.json
//
// Each is a published report (publish.h) of the 28 days before the day it is named after, of all sites. A
// comparison is there where two models answered in that time: those of the newest plan (plans.h) whose models
// both did, else the two whose first answers of all are the latest, of which the older one is a. Lists of
// single answers are never among them.
//
// A file is there whole or not at all, the JSON after its page, and what is there is not made again. Files of
// other names are nobody's here, and stay. Thread: the archive's.
#ifndef SKINSIGHT_MONITOR_SERVICE_REPORT_FOLDER_H
#define SKINSIGHT_MONITOR_SERVICE_REPORT_FOLDER_H

#include "monitor/report/request.h"

enum {
    REPORT_FOLDER_DAYS = 28,          // that a report covers
    REPORT_FOLDER_FILES_MOST = 20000, // of the folder, with those of other names
    REPORT_FOLDER_MODELS_MOST = 64,   // in the days of a comparison
};

struct report_folder_options {
    const char *path; // made where it is not there, in a folder that is
    int64_t days;     // a report older than that goes; 0: they stay
    // What the reports are made with; the rest of the request is not read.
    const char *references, *reference_key; // as struct report_request's
    int64_t alarm_budget_per_year;
};

// Publishes what is missing of the day that has begun last at now (Unix ms), drops what is too old, and
// writes the index where something has changed. published: how many reports. A report that can't be made
// keeps no other one from being made; the status is then the first failure's. FATAL also: the folder can't be
// written.
enum status report_folder_update(const struct report_folder_options *options, struct archive *archive,
                                 int64_t now, int *published, struct error *err) MUST_CHECK;

#endif
