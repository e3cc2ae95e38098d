// simulated.h: a device that computes nothing: it sleeps as long as a latency table says and answers with
// logits made from the view's digest. It stands in for a GPU in load and fault tests, so that two cores are
// enough. The same view gives the same bits, and two views practically never do.
#ifndef SKINSIGHT_KERNELS_SIMULATED_H
#define SKINSIGHT_KERNELS_SIMULATED_H

#include "kernels/backend.h"

// Latency of a batch: base + count * per_image, in microseconds, from the environment variable
// SKINSIGHT_SIMULATED_US ("base,per_image"); 2000,500 where it is absent. REJECTED when it can't be read.
enum status simulated_backend_open(struct backend **backend, struct error *err) MUST_CHECK;

#endif
