// team.h: the threads of a CPU backend, which compute its plans, one at a time, and live as long as it.
//
// A phase is a function and a number of units. A free thread takes the next unit, so a core that is busy
// with something else delays the others by one unit at most. A unit always computes the same part of the
// result in the same way: results depend neither on the number of threads nor on who took what. Units run
// with denormals.h's arithmetic.
//
// Thread: team_run is called by one thread at a time; it works too. Between phases the others spin for some
// microseconds, then sleep.
#ifndef SKINSIGHT_KERNELS_CPU_TEAM_H
#define SKINSIGHT_KERNELS_CPU_TEAM_H

#include "common/base/status.h"

enum { TEAM_MAX_THREADS = 256 }; // as the option threads allows

struct team;

// thread: 0 for the caller of team_run, 1.. for the others; for scratch memory.
typedef void (*team_unit)(void *context, int unit, int thread);

// threads includes the caller. REJECTED: not 1 to TEAM_MAX_THREADS. FATAL when a thread can't be started.
enum status team_new(struct team **team, int threads, struct error *err) MUST_CHECK;
void team_free(struct team *team); // NULL is allowed

int team_threads(const struct team *team);

// Runs run(context, unit, thread) for every unit in 0..units-1 and returns when all are done. Allocates
// nothing.
void team_run(struct team *team, team_unit run, void *context, int units);

#endif
