// experiments.h: the comparisons that are registered, as samples of metrics: each is compared from the day of
// its plan until now, as a report would. A comparison over months takes seconds, so that a round of them is
// made one by one, and what else waits comes between. One thread, the archive's.
//
//     experiments_begin; experiments_compare while done < count; then findings are of all of them
#ifndef SKINSIGHT_MONITOR_SERVICE_EXPERIMENTS_H
#define SKINSIGHT_MONITOR_SERVICE_EXPERIMENTS_H

#include "monitor/archive/plans.h"
#include "monitor/service/findings.h"

enum {
    EXPERIMENTS_MOST = 4,       // those that were planned last
    EXPERIMENT_DAYS_MOST = 184, // from the plan on: an older one is over
};

// A round, with zeros none. The findings are the struct's.
struct experiments {
    struct archive_plan plans[EXPERIMENTS_MOST];
    size_t count, done;
    struct findings findings;
};

// now: Unix ms. A round that was under way is dropped.
enum status experiments_begin(struct archive *archive, int64_t now, struct experiments *experiments,
                              struct error *err) MUST_CHECK;
// The next one, with done < count. One that can't be made (REJECTED) is left out, with a line in the log;
// other failures leave the round where it was.
enum status experiments_compare(struct archive *archive, int64_t now, struct experiments *experiments,
                                struct error *err) MUST_CHECK;
void experiments_release(struct experiments *experiments);

#endif
