// watchdog.h: names the stage that hangs. Each watched thread says when a step begins and ends; a thread of
// the watchdog's own looks at them. A step that takes longer than its limit makes the worker not ready; one
// that takes twice as long ends the process with exit code 1, which loses nothing: transactions are fenced,
// and the jobs are the next owner's. Waiting for work or for room is no step.
#ifndef SKINSIGHT_WORKER_WATCHDOG_H
#define SKINSIGHT_WORKER_WATCHDOG_H

#include <stdint.h>

struct watchdog;

struct watchdog *watchdog_start(int64_t timeout_ms); // the limit of a step that only computes
void watchdog_stop(struct watchdog *watchdog);       // NULL is allowed; after the stages have ended

// The calling thread works for this stage from now on; its steps may take more_ms longer than others. NULL:
// nobody watches. The name outlives the watchdog.
void watchdog_enter(struct watchdog *watchdog, const char *name, int64_t more_ms);
// Around each step of the calling thread; nothing where it is not watched.
void watchdog_begin(void);
void watchdog_end(void);

// The name of a stage that hangs now, or NULL. Any thread.
const char *watchdog_hanging(struct watchdog *watchdog);

// One look at a time of the caller's choice; for the watchdog's own thread and for tests. The time a stopped
// process did not run doesn't count.
enum watchdog_verdict { WATCHDOG_FINE, WATCHDOG_HANGS, WATCHDOG_HOPELESS };
struct watchdog *watchdog_new(int64_t timeout_ms);
enum watchdog_verdict watchdog_look(struct watchdog *watchdog, int64_t now_ms);
void watchdog_free(struct watchdog *watchdog);

#endif
