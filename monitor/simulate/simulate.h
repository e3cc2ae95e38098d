// simulate.h: the subcommand `simulate`: a seeded clinic whose answers and labels nobody has to wait for.
//
//     clinic -> records -> output          (each image, by time)
//          \--> labels  -> output          (what has come by then)
//
// Equal options give equal bytes, on any machine. What would come after the last day is not written. Main
// thread.
#ifndef SKINSIGHT_MONITOR_SIMULATE_SIMULATE_H
#define SKINSIGHT_MONITOR_SIMULATE_SIMULATE_H

#include "common/program/config.h"

extern const struct option simulate_flags[];

enum status simulate_check(const struct config *config, struct error *err) MUST_CHECK;
enum status simulate_run(struct config *config, struct error *err) MUST_CHECK;

#endif
