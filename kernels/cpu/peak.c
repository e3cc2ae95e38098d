// peak.c: runs the kernels' register loops on a team and keeps the best time.
#include "kernels/cpu/peak.h"

#include "common/base/clock.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/team.h"

enum { RUNS = 20, ROUNDS = 100000 };

struct measurement {
    const struct gemm_kernel *kernel;
    double counted[TEAM_MAX_THREADS];
};

static void run_unit(void *context, int unit, int thread)
{
    (void)thread;
    struct measurement *measurement = context;
    measurement->counted[unit] = measurement->kernel->multiply_adds(ROUNDS);
}

double cpu_peak_gflops(enum precision precision, int threads)
{
    struct cpu_kernels kernels = cpu_kernels_get();
    struct measurement measurement = {.kernel = kernels.gemm[precision]};
    struct team *team = NULL;
    if (!measurement.kernel || team_new(&team, threads, NULL) != STATUS_OK)
        return 0.0;
    double best = 0.0;
    for (int run = 0; run < RUNS; run++) {
        int64_t begun_us = clock_monotonic_us();
        double counted = 0.0;
        team_run(team, run_unit, &measurement, threads);
        double seconds = 1e-6 * (double)(clock_monotonic_us() - begun_us);
        for (int i = 0; i < threads; i++)
            counted += measurement.counted[i];
        double rate = 2.0e-9 * counted / seconds;
        best = rate > best ? rate : best;
    }
    team_free(team);
    return best;
}

double cpu_backend_peak_gflops(struct backend *backend, enum precision precision)
{
    return cpu_peak_gflops(precision, backend->threads);
}
