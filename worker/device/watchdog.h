// watchdog.h: names the stage that hangs. Each thread of a stage says when a step begins and ends; a thread
// of its own looks at them. A step that takes longer than its limit makes the worker not ready; one that
// takes twice as long ends the process with exit code 1, which loses nothing: transactions are fenced, and
// the jobs are the next owner's. Waiting for work or for room is no step. The stages that wait for Kafka have
// limits of their own.
#ifndef SKINSIGHT_WORKER_DEVICE_WATCHDOG_H
#define SKINSIGHT_WORKER_DEVICE_WATCHDOG_H

#include <stdint.h>

struct watchdog;

struct watchdog_options {
    int64_t timeout_ms; // of a step that only computes
    int64_t store_ms;   // added where a step may try the object store again for so long
};
struct watchdog *watchdog_start(const struct watchdog_options *options);
void watchdog_stop(struct watchdog *watchdog); // NULL is allowed; after the stages have ended

// The calling thread works for this stage (enum stage_id) from now on. NULL: it isn't watched.
void watchdog_enter(struct watchdog *watchdog, int stage);
// Around each step of the calling thread.
void watchdog_begin(void);
void watchdog_end(void);

// The name of a stage that hangs now, or NULL. Any thread.
const char *watchdog_hanging(struct watchdog *watchdog);

// One look at a time of the caller's choice; for the watchdog's own thread and for tests. The time a stopped
// process did not run doesn't count.
enum watchdog_verdict { WATCHDOG_FINE, WATCHDOG_HANGS, WATCHDOG_HOPELESS };
struct watchdog *watchdog_new(const struct watchdog_options *options);
enum watchdog_verdict watchdog_look(struct watchdog *watchdog, int64_t now_ms);
void watchdog_free(struct watchdog *watchdog);

#endif
