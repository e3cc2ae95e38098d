// topics.h: the command "topics": shows the topics SkinSight uses, or makes them.
#ifndef SKINSIGHT_PRODUCER_TOPICS_H
#define SKINSIGHT_PRODUCER_TOPICS_H

#include "common/program/config.h"

extern const struct option topics_flags[];

// Exit code: 0 when every topic exists at the end.
enum status topics_run(struct config *config, struct error *err) MUST_CHECK;

#endif
