// submit.h: the command "submit": files become jobs on Kafka and, with --wait, answers on the screen.
#ifndef SKINSIGHT_PRODUCER_SUBMIT_H
#define SKINSIGHT_PRODUCER_SUBMIT_H

#include "common/program/config.h"

extern const struct option submit_flags[];

// Exit code: 0 only when every file was delivered and, with --wait, answered without an error.
enum status submit_run(struct config *config, struct error *err) MUST_CHECK;

#endif
