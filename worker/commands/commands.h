// commands.h: the subcommands of skinsight-worker; each returns the exit code.
#ifndef SKINSIGHT_WORKER_COMMANDS_COMMANDS_H
#define SKINSIGHT_WORKER_COMMANDS_COMMANDS_H

#include "common/program/config.h"

// worker/commands/run.c
enum status run_check(const struct config *config, struct error *err) MUST_CHECK;
int run_command(struct config *config);

extern const struct option classify_flags[];
enum status classify_check(const struct config *config, struct error *err) MUST_CHECK; // the command's check
int classify_command(struct config *config);

extern const struct option preprocess_flags[];
int preprocess_command(struct config *config);

extern const struct option bench_flags[];
enum status bench_check(const struct config *config, struct error *err) MUST_CHECK;
int bench_command(struct config *config);

int doctor_command(struct config *config);

#endif
