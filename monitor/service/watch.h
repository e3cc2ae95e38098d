// watch.h: asks the workers for their metrics every few seconds, and scale.h what that means. A thread of its
// own; what it last found may be looked at from any thread.
//
// A target's host is resolved each time, and each of its addresses is a worker: so one name of a headless
// service stands for a fleet. Where it has addresses of both families, those of IPv4 count. An address that
// several targets name is one worker. A worker that does not answer within its time, and a name that is not
// found, is one that is asked and silent; one that has answered and stays silent counts as gone
// (addresses.h): it is asked on, and holds up nothing.
#ifndef SKINSIGHT_MONITOR_SERVICE_WATCH_H
#define SKINSIGHT_MONITOR_SERVICE_WATCH_H

#include "common/base/status.h"
#include "monitor/service/scale.h"

struct watch;

struct watch_options {
    const char *targets; // option workers_metrics; outlives the watch
    struct scale_options scale;
    int64_t period_ms;
};

struct watched {
    int64_t at_ms; // monotonic, of the last scrape; -1: none yet
    struct scale_input input;
    struct scale_advice advice;
};

// For the option table: "http://host[:port]/path", separated by commas.
enum status watch_targets_check(const char *targets, struct error *err);
// FATAL: there is no thread to be had. REJECTED: a target is none.
enum status watch_open(struct watch **watch, const struct watch_options *options,
                       struct error *err) MUST_CHECK;
void watch_look(struct watch *watch, struct watched *watched);
void watch_close(struct watch *watch); // NULL is allowed

#endif
