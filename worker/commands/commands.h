// commands.h: the subcommands of skinsight-worker; each returns the exit code.
#ifndef SKINSIGHT_WORKER_COMMANDS_COMMANDS_H
#define SKINSIGHT_WORKER_COMMANDS_COMMANDS_H

#include "common/program/config.h"

// worker/commands/run.c
enum status run_check(const struct config *config, struct error *err) MUST_CHECK;
enum status run_command(struct config *config, struct error *err) MUST_CHECK;

extern const struct option classify_flags[];
enum status classify_check(const struct config *config, struct error *err) MUST_CHECK; // the command's check
enum status classify_command(struct config *config, struct error *err) MUST_CHECK;

extern const struct option preprocess_flags[];
enum status preprocess_command(struct config *config, struct error *err) MUST_CHECK;

extern const struct option bench_flags[];
enum status bench_check(const struct config *config, struct error *err) MUST_CHECK;
enum status bench_command(struct config *config, struct error *err) MUST_CHECK;

enum status doctor_command(struct config *config, struct error *err) MUST_CHECK;

#endif
