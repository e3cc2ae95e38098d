// compute_known.c: runs the known images through the CPU backend.
#include "kernels/compute_known.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "kernels/backend.h"

// One image at a time: the answers don't depend on the batch.
static enum status run_views(struct known_answers *known, struct plan *plan, struct error *err)
{
    enum status status = STATUS_OK;
    uint8_t *view = memory_alloc((size_t)plan->view_size);
    const uint8_t *views[] = {view};
    for (int i = 0; i < known->count && status == STATUS_OK; i++) {
        struct inference inference = {.logits = known->logits[i]};
        known_answers_view(known->seeds[i], view, (size_t)plan->view_size);
        status = plan_run(plan, views, 1, &inference, err);
        for (int k = 0; k < LESION_CLASSES && status == STATUS_OK; k++)
            if (!isfinite(known->logits[i][k]))
                status = error_set(err, STATUS_REJECTED, "its answer to a known image is not finite");
    }
    free(view);
    return status;
}

enum status known_answers_compute(struct known_answers *known, const struct network *network,
                                  const struct weights *weights, struct error *err)
{
    struct backend *backend = NULL;
    struct plan *plan = NULL;
    struct plan_options options = {.precision = PRECISION_FP32, .max_batch = 1};
    enum status status = backend_open(&backend, "cpu", 0, err);
    if (status == STATUS_OK)
        status = backend_prepare(backend, network, weights, &options, &plan, err);
    if (status == STATUS_OK)
        status = run_views(known, plan, err);
    plan_free(plan);
    backend_close(backend);
    return status;
}
