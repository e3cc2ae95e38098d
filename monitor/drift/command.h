// command.h: the subcommand `reference`: create one from the archive, sign it, show it. Main thread.
#ifndef SKINSIGHT_MONITOR_DRIFT_COMMAND_H
#define SKINSIGHT_MONITOR_DRIFT_COMMAND_H

#include "common/program/config.h"

extern const struct option reference_flags[];
enum status reference_command_check(const struct config *config, struct error *err) MUST_CHECK;
enum status reference_command(struct config *config, struct error *err) MUST_CHECK;

#endif
