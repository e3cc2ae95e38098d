// descriptors.h: whether this process may open as many files and connections as the service needs. Too few,
// and it would neither serve nor end: it checks before it starts.
#ifndef SKINSIGHT_WORKER_DESCRIPTORS_H
#define SKINSIGHT_WORKER_DESCRIPTORS_H

#include "common/base/status.h"
#include "common/program/config.h"

// How many the service needs with these options.
long descriptors_needed(const struct config *config);
// Raises the soft limit of RLIMIT_NOFILE where that is too low. REJECTED: the hard one is; the sentence says
// what is needed.
enum status descriptors_claim(const struct config *config, struct error *err) MUST_CHECK;

#endif
