// command.h: the command "audit": exports chains, and judges an export.
#ifndef SKINSIGHT_COMMON_AUDIT_COMMAND_H
#define SKINSIGHT_COMMON_AUDIT_COMMAND_H

#include "common/program/config.h"

extern const struct option audit_flags[];
enum status audit_check(const struct config *config, struct error *err);
enum status audit_run(struct config *config, struct error *err) MUST_CHECK;

#endif
