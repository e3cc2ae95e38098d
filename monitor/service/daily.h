// daily.h: the thread that fills the report folder (report_folder.h), with a connection of its own: once
// after the start, then once a day of UTC, each time a while later, so that records on their way are among
// those the reports are made from. What can't be made is tried again each hour.
#ifndef SKINSIGHT_MONITOR_SERVICE_DAILY_H
#define SKINSIGHT_MONITOR_SERVICE_DAILY_H

#include "monitor/service/report_folder.h"

struct daily;

struct daily_options {
    const char *store; // outlives it, as the folder's texts do
    struct report_folder_options folder;
    int64_t wait_ms; // behind the start, and behind midnight
};

// FATAL: there is no thread to be had.
enum status daily_open(struct daily **daily, const struct daily_options *options,
                       struct error *err) MUST_CHECK;
// Once the process is asked to stop (shutdown.h), at which a report that is being made ends; NULL is allowed.
void daily_close(struct daily *daily);

// Whether a day's reports are to be made now, where they were to be at `due` (Unix ms).
bool daily_is_due(int64_t now, int64_t due, int64_t wait_ms);

#endif
