// command.h: the subcommand `report`: one report as a page and as JSON, published in the archive. Main
// thread.
#ifndef SKINSIGHT_MONITOR_REPORT_COMMAND_H
#define SKINSIGHT_MONITOR_REPORT_COMMAND_H

#include "common/program/config.h"

extern const struct option report_flags[];
enum status report_check(const struct config *config, struct error *err) MUST_CHECK;
enum status report_command(struct config *config, struct error *err) MUST_CHECK;

#endif
