// latency.h: how long this device takes for each batch size, learnt from every batch it runs. The infer
// thread writes, the batch thread reads; no lock is needed.
#ifndef SKINSIGHT_WORKER_DEVICE_LATENCY_H
#define SKINSIGHT_WORKER_DEVICE_LATENCY_H

#include <stdatomic.h>
#include <stdint.h>

enum { BATCH_LIMIT = 256 }; // images, the most of any batch

struct latency_table {
    atomic_llong us[BATCH_LIMIT + 1]; // by batch size; 0: not seen yet
    atomic_llong learnt_at_us;        // monotonic
};

// A batch of count images took elapsed_us. Moves the entry a quarter of the way, so that it follows a device
// whose clock changes. now_us: monotonic.
void latency_learn(struct latency_table *table, int count, int64_t elapsed_us, int64_t now_us);
// The expected time of a batch of count images; 0 while nothing is known. A size not seen yet is judged by
// the nearest smaller one in proportion, and none takes longer than a larger one. Where no batch has come to
// an end for longer than the estimate explains, nothing is known any more: an estimate that is too long keeps
// every job with a deadline from the device, and so would never be corrected.
int64_t latency_predict_us(const struct latency_table *table, int count, int64_t now_us);

#endif
