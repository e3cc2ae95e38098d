// dead_letters.h: the command "dead-letters": shows the jobs that failed, and sends them again.
#ifndef SKINSIGHT_PRODUCER_DEAD_LETTERS_H
#define SKINSIGHT_PRODUCER_DEAD_LETTERS_H

#include "common/program/config.h"

extern const struct option dead_letters_flags[];

// Exit code: 0 when everything was listed or, for replay, every letter that can be sent again was
// acknowledged; 2 when the arguments are wrong.
enum status dead_letters_check(const struct config *config, struct error *err) MUST_CHECK; // wrong usage
enum status dead_letters_run(struct config *config, struct error *err) MUST_CHECK;

#endif
