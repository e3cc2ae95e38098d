// keys.h: the command "keys": makes API keys, lists and revokes them.
#ifndef SKINSIGHT_PRODUCER_IDENTITY_KEYS_H
#define SKINSIGHT_PRODUCER_IDENTITY_KEYS_H

#include "common/program/config.h"

extern const struct option keys_flags[];
enum status keys_check(const struct config *config, struct error *err);
enum status keys_run(struct config *config, struct error *err) MUST_CHECK;

#endif
