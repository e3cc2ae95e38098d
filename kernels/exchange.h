// exchange.h: sums over the processes that train one network together: gradients, losses, batch statistics.
// A training step calls it in the same order in every process; with none (NULL) there is one process.
//
// The sums have the same bits in every process. Thread: as training.h.
#ifndef SKINSIGHT_KERNELS_EXCHANGE_H
#define SKINSIGHT_KERNELS_EXCHANGE_H

#include <stddef.h>

#include "common/base/status.h"

struct exchange;

struct exchange_ops {
    // values[i] := its sum over the processes. Host memory. FATAL: a process is lost.
    enum status (*sum_floats)(struct exchange *exchange, float *values, size_t count, struct error *err);
    enum status (*sum_doubles)(struct exchange *exchange, double *values, size_t count, struct error *err);
};

struct exchange {
    const struct exchange_ops *ops; // every slot filled
    int rank, size;                 // 0 <= rank < size
};

// The sums where there may be none: NULL leaves the values as they are.
enum status exchange_sum_floats(struct exchange *exchange, float *values, size_t count,
                                struct error *err) MUST_CHECK;
enum status exchange_sum_doubles(struct exchange *exchange, double *values, size_t count,
                                 struct error *err) MUST_CHECK;

#endif
