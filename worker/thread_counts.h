// thread_counts.h: how many threads the options give a stage. Any thread.
#ifndef SKINSIGHT_WORKER_THREAD_COUNTS_H
#define SKINSIGHT_WORKER_THREAD_COUNTS_H

#include "common/program/config.h"

// option: one that ends in _threads; where it is 0, as many as suit the processors that this process may use.
int thread_count(const struct config *config, const char *option);
// Those that may wait for Redis or the object store at the same time: all of fetch, load and postprocess.
int thread_count_at_services(const struct config *config);

#endif
