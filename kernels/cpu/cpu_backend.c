// cpu_backend.c: opens the processor as a device and gives each network to the first executor that has all of
// its operations.
#include "kernels/cpu/cpu_backend.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/cpu_features.h"
#include "common/base/memory.h"
#include "common/base/processors.h"
#include "kernels/cpu/executor.h"
#include "kernels/cpu/peak.h"
#include "kernels/cpu/plain.h"
#include "kernels/cpu/train_blocks.h"
#include "kernels/model/network_weights.h"

static const struct executor *const executors[] = {&convnet_executor, &transformer_executor, &plain_executor};
static const struct train_executor *const train_executors[] = {
    &train_transformer_executor, &train_convnet_executor, &train_plain_executor};

static int usable_cores(void)
{
    int cores = processors_usable();
    return cores < TEAM_MAX_THREADS ? cores : TEAM_MAX_THREADS;
}

static enum status cpu_prepare(struct backend *backend, const struct network *network,
                               const struct weights *weights, const struct plan_options *options,
                               struct plan **plan, struct error *err)
{
    struct cpu_device *device = (struct cpu_device *)backend;
    enum status status = network_check_weights(network, weights, err);
    for (size_t i = 0; i < sizeof executors / sizeof executors[0] && status == STATUS_OK && !*plan; i++)
        if (device->team || !executors[i]->needs_team)
            status = executors[i]->prepare(device, network, weights, options, plan, err);
    return status;
}

static enum status cpu_prepare_training(struct backend *backend, const struct network *network,
                                        const struct weights *weights, const struct training_options *options,
                                        struct training **training, struct error *err)
{
    struct cpu_device *device = (struct cpu_device *)backend;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof train_executors / sizeof train_executors[0] && status == STATUS_OK; i++)
        if (!*training && (device->team || !train_executors[i]->needs_team))
            status = train_executors[i]->prepare(device, network, weights, options, training, err);
    return status;
}

static void cpu_close(struct backend *backend)
{
    struct cpu_device *device = (struct cpu_device *)backend;
    if (device->team)
        team_free(device->team);
    free(device);
}

static struct cpu_device *new_device(int threads)
{
    static const struct backend_ops ops = {
        .prepare = cpu_prepare,
        .prepare_training = cpu_prepare_training,
        .health = backend_always_healthy,
        .figures = backend_no_figures,
        .peak_gflops = cpu_backend_peak_gflops,
        .close = cpu_close,
    };
    struct cpu_device *device = memory_alloc(sizeof *device);
    device->backend = (struct backend){.ops = &ops, .name = "cpu", .threads = threads};
    return device;
}

struct backend *cpu_plain_backend_open(void)
{
    struct cpu_device *device = new_device(1);
    strcpy(device->backend.device, "plain loops");
    strcpy(device->backend.device_class, "plain");
    return &device->backend;
}

enum status cpu_backend_open(struct backend **backend, int threads, struct error *err)
{
    struct team *team = NULL;
    if (!cpu_features_get().avx2) {
        *backend = cpu_plain_backend_open();
        return STATUS_OK;
    }
    threads = threads ? threads : usable_cores();
    enum status status = team_new(&team, threads, err);
    if (status != STATUS_OK)
        return status;
    struct cpu_device *device = new_device(threads);
    device->kernels = cpu_kernels_get();
    device->conv = cpu_features_get().avx512 ? &conv_ops_avx512 : &conv_ops_avx2;
    device->team = team;
    cpu_features_describe(device->backend.device, sizeof device->backend.device, threads);
    strcpy(device->backend.device_class, cpu_features_class());
    *backend = &device->backend;
    return STATUS_OK;
}
