// fuzz_worker_metrics.c: any bytes as a worker's metrics, twice: no figure that scale.h could not take.
#include <math.h>
#include <stdlib.h>

#include "monitor/service/worker_metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct worker_metrics metrics;
    struct scale scale;
    struct scale_input input;
    scale_init(&scale, &(struct scale_options){2, 8, 400, 0.75, 60});
    worker_metrics_init(&metrics);
    for (int i = 0; i < 2; i++) {
        worker_metrics_begin(&metrics, i * 5000);
        (void)worker_metrics_add(&metrics, "worker", i * 5000, (struct bytes){data, i ? size : size / 2});
        worker_metrics_end(&metrics, 1, &input);
        const struct scale_advice advice = scale_advise(&scale, &input);
        if (advice.desired != 0 && (advice.desired < 2 || advice.desired > 8))
            abort();
    }
    return 0;
}
