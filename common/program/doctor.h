// doctor.h: a program's command "doctor": one line for each thing that the program depends on, with what was
// found of it, and how to mend it where it is wrong. A program has a table of checks; those that programs
// share stand here. They change nothing but a probe in the object store. Standard output; main thread.
#ifndef SKINSIGHT_COMMON_PROGRAM_DOCTOR_H
#define SKINSIGHT_COMMON_PROGRAM_DOCTOR_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"
#include "common/program/config.h"

enum { DOCTOR_TIMEOUT_MS = 3000 }; // of one question to a service

// Prints its line, or several; whether all is well.
typedef bool (*doctor_check)(const struct config *config);

// Runs each check, up to a NULL. An error that was said already where one is not well.
enum status doctor_run(const doctor_check *checks, const char *program, const struct config *config,
                       struct error *err) MUST_CHECK;

// Prints a line: found where status is OK, else the error's sentence and mend; whether it is OK.
bool doctor_say(const char *what, enum status status, const struct error *err, const char *found,
                const char *mend);

bool doctor_check_objects(const struct config *config);

// The brokers, and the topics that these options name. *client (NULL: no broker answered) is the caller's to
// destroy.
bool doctor_check_kafka(const struct config *config, const char *const *topic_options, size_t count,
                        rd_kafka_t **client);

#endif
