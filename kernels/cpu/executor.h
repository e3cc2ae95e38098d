// executor.h: how the processor runs plans, by family of networks. cpu_backend.c has the table of executors
// and asks one after the other; the plain one, last, has every operation.
#ifndef SKINSIGHT_KERNELS_CPU_EXECUTOR_H
#define SKINSIGHT_KERNELS_CPU_EXECUTOR_H

#include "kernels/backend.h"
#include "kernels/cpu/conv_ops.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/team.h"

// The processor as a device. Its plans borrow all of it.
struct cpu_device {
    struct backend backend; // first
    struct cpu_kernels kernels;
    const struct conv_ops *conv; // NULL without AVX2
    struct team *team; // NULL without AVX2: then only the plain executor runs, on the caller's thread
};

struct executor {
    bool needs_team;
    // As backend_ops.prepare. STATUS_OK with *plan NULL: it lacks an operation or the explanation, the next
    // one is asked. The weights fit the network.
    enum status (*prepare)(struct cpu_device *device, const struct network *network,
                           const struct weights *weights, const struct plan_options *options,
                           struct plan **plan, struct error *err);
};

extern const struct executor convnet_executor;     // convolutional networks, fp32 (convnet.h)
extern const struct executor transformer_executor; // vision transformers (transformer.h)
extern const struct executor plain_executor;       // loops as in the formulas (plain.h)

#endif
