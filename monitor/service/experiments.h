// experiments.h: the comparisons that are registered, as samples of metrics: each is compared from the day of
// its plan until now, as a report would. One thread, the archive's.
#ifndef SKINSIGHT_MONITOR_SERVICE_EXPERIMENTS_H
#define SKINSIGHT_MONITOR_SERVICE_EXPERIMENTS_H

#include "monitor/archive/archive.h"
#include "monitor/service/findings.h"

enum {
    EXPERIMENTS_MOST = 4,       // those that were planned last
    EXPERIMENT_DAYS_MOST = 184, // from the plan on: an older one is over
};

// Adds to the findings. now: Unix ms. A comparison that can't be made (REJECTED) is left out, with a line in
// the log.
enum status experiments_read(struct archive *archive, int64_t now, struct findings *findings,
                             struct error *err) MUST_CHECK;

#endif
