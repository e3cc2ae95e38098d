// exchange.h: sums over the processes that train one network together: gradients, losses, batch statistics;
// and what the processes have to agree about, made of such sums. Every process makes the same calls in the
// same order; with none (NULL) there is one process.
//
// The sums have the same bits in every process. Thread: as training.h.
#ifndef SKINSIGHT_KERNELS_EXCHANGE_H
#define SKINSIGHT_KERNELS_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/digest.h"
#include "common/base/status.h"

enum { EXCHANGE_MOST_PROCESSES = 1024 };

struct exchange;

struct exchange_ops {
    // values[i] := its sum over the processes. Host memory. FATAL: a process is lost.
    enum status (*sum_floats)(struct exchange *exchange, float *values, size_t count, struct error *err);
    enum status (*sum_doubles)(struct exchange *exchange, double *values, size_t count, struct error *err);
};

struct exchange {
    const struct exchange_ops *ops; // every slot filled
    int rank, size;                 // 0 <= rank < size <= EXCHANGE_MOST_PROCESSES
};

// The sums where there may be none: NULL leaves the values as they are.
enum status exchange_sum_floats(struct exchange *exchange, float *values, size_t count,
                                struct error *err) MUST_CHECK;
enum status exchange_sum_doubles(struct exchange *exchange, double *values, size_t count,
                                 struct error *err) MUST_CHECK;

// Place and number of processes where there may be none: 0 and 1.
int exchange_rank(const struct exchange *exchange);
int exchange_size(const struct exchange *exchange);

// What one process brings to all: status, and where it is not OK the sentence in *err. Every process gets the
// first failed one's status and sentence, OK where none failed. FATAL also: a process is lost.
enum status exchange_agree(struct exchange *exchange, enum status status, struct error *err) MUST_CHECK;

// *same: whether every process brought the same digest.
enum status exchange_compare(struct exchange *exchange, const struct digest *digest, bool *same,
                             struct error *err) MUST_CHECK;

// A process's share of `count` things in a row: *begin <= share < *end, at most one more than any other's.
void exchange_share(int rank, int size, int count, int *begin, int *end);

// Where one process cuts its sums over `count` things in a row, so that it adds up what two would: the first
// one's share. Several processes don't cut: `count`.
int exchange_middle(const struct exchange *exchange, int count);

#endif
