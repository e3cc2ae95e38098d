// engine.c: opens model, backend and plan in that order; closes them in the other.
#include "worker/engine.h"

#include <stdio.h>
#include <string.h>

enum status engine_open(struct engine *engine, const struct config *config, int max_batch, bool attention,
                        struct error *err)
{
    memset(engine, 0, sizeof *engine);
    const char *directory = config_text(config, "model");
    if (!*directory)
        return error_set(
            err, STATUS_REJECTED,
            "no model: name its directory with --model DIR (skinsight-trainer import makes one)");
    struct plan_options options = {.max_batch = max_batch, .attention = attention};
    if (!precision_parse(config_text(config, "precision"), &options.precision))
        return error_set(err, STATUS_REJECTED, "'%s' is not a precision", config_text(config, "precision"));
    enum status status = model_open_unchecked(&engine->model, directory, err);
    if (status == STATUS_OK)
        status = backend_open(&engine->backend, config_text(config, "backend"),
                              (int)config_integer(config, "threads"), err);
    if (status == STATUS_OK)
        status = backend_prepare(engine->backend, engine->model->network, engine->model->weights, &options,
                                 &engine->plan, err);
    if (status == STATUS_OK)
        status = model_check(engine->model, err);
    if (status == STATUS_OK && engine->plan->classes != 8)
        status = error_set(err, STATUS_REJECTED, "model '%s' has %d classes, 8 are needed", directory,
                           engine->plan->classes);
    if (status != STATUS_OK) {
        engine_close(engine);
        return status;
    }
    digest_text(&engine->model->manifest.weights_sha256, engine->model_sha256);
    return STATUS_OK;
}

void engine_close(struct engine *engine)
{
    plan_free(engine->plan);
    backend_close(engine->backend);
    model_close(engine->model);
    memset(engine, 0, sizeof *engine);
}

void engine_mean_map(const struct plan *plan, const float *maps, float *map)
{
    int size = plan->map_height * plan->map_width;
    for (int i = 0; i < size; i++) {
        float sum = 0;
        for (int head = 0; head < plan->heads; head++)
            sum += maps[head * size + i];
        map[i] = sum / (float)plan->heads;
    }
}

void engine_warn_untrained(const struct engine *engine)
{
    if (!engine->model->manifest.trained)
        fprintf(stderr, "The model %s is untrained: its diagnoses mean nothing.\n",
                engine->model->manifest.model_version);
}
