// plan_command.h: the subcommand `plan`: the power of a comparison before it starts. Exit code 1 where it
// cannot decide. Main thread.
#ifndef SKINSIGHT_MONITOR_COMPARISON_PLAN_COMMAND_H
#define SKINSIGHT_MONITOR_COMPARISON_PLAN_COMMAND_H

#include "common/program/config.h"

extern const struct option plan_flags[];
enum status plan_check(const struct config *config, struct error *err) MUST_CHECK;
enum status plan_command(struct config *config, struct error *err) MUST_CHECK;

#endif
