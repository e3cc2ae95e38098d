// health.c: the checks by known images, and the device as the infer stage sees it.
#include "worker/device/health.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/cache/cache.h"
#include "worker/faults.h"
#include "worker/group/publisher.h"

// fp32 backends differ in the order of their sums alone. The others round every value; what counts there is
// what a reader of the answer sees.
static const float logits_tolerance = 1e-4f; // of the largest minus the smallest logit
static const float probability_tolerance = 0.03f;

enum { FIGURES_INTERVAL_MS = 1000 };

struct health {
    struct worker *worker;
    struct known_answers known;
    bool has_stored;                               // known.logits came with the model
    bool has_own;                                  // own was filled in by the first check
    float own[KNOWN_ANSWERS_MOST][LESION_CLASSES]; // what this device answered first
    uint8_t *views[KNOWN_ANSWERS_MOST];
    float *maps;           // of one image, not looked at; NULL: the plan gives none
    int64_t interval;      // batches between two checks; 0: none
    int64_t batches;       // since the last good check
    int64_t computed;      // batches of jobs, ever
    int64_t good_at;       // Unix ms: when the last good check began
    int64_t asked;         // for faults, where a test wants one
    int64_t figures_at_ms; // monotonic: when the figures were read; 0: never
    int64_t faults_seen;   // that programs caused, then
};

struct health *health_new(struct worker *worker)
{
    const struct engine *engine = &worker->served.engine;
    const struct plan *plan = engine->plan;
    size_t map_size = (size_t)(plan->heads * plan->map_height * plan->map_width);
    struct health *health = memory_alloc(sizeof *health);
    health->worker = worker;
    health->interval = config_integer(worker->config, "known_answer_batches");
    health->known = engine->model->known_answers;
    health->has_stored = health->known.count > 0 && !engine->backend->simulated;
    if (health->known.count == 0)
        known_answers_init(&health->known);
    if (!health->has_stored)
        LOG_INFO("known_answers_absent", "compared_with=\"this device's own first answers\"");
    for (int i = 0; i < health->known.count; i++) {
        health->views[i] = memory_alloc((size_t)plan->view_size);
        known_answers_view(health->known.seeds[i], health->views[i], (size_t)plan->view_size);
    }
    health->maps = map_size ? memory_alloc(map_size * sizeof(float)) : NULL;
    return health;
}

void health_free(struct health *health)
{
    for (int i = 0; i < health->known.count; i++)
        free(health->views[i]);
    free(health->maps);
    free(health);
}

static enum status compare_logits(const float stored[LESION_CLASSES], const float found[LESION_CLASSES],
                                  struct error *err)
{
    float least = stored[0], most = stored[0];
    for (int i = 1; i < LESION_CLASSES; i++) {
        least = fminf(least, stored[i]);
        most = fmaxf(most, stored[i]);
    }
    for (int i = 0; i < LESION_CLASSES; i++)
        if (!(fabsf(found[i] - stored[i]) <= logits_tolerance * (most - least))) // also when it is no number
            return error_set(err, STATUS_FATAL, "logit %s is %.9g, known is %.9g", lesion_codes[i],
                             (double)found[i], (double)stored[i]);
    return STATUS_OK;
}

static enum status compare_probabilities(const float stored[LESION_CLASSES],
                                         const float found[LESION_CLASSES], float temperature,
                                         struct error *err)
{
    float known[LESION_CLASSES], given[LESION_CLASSES];
    policy_probabilities(stored, temperature, known);
    policy_probabilities(found, temperature, given);
    for (int i = 0; i < LESION_CLASSES; i++)
        if (!isfinite(found[i]) || !(fabsf(given[i] - known[i]) <= probability_tolerance))
            return error_set(err, STATUS_FATAL, "probability of %s is %.4f, known is %.4f", lesion_codes[i],
                             (double)given[i], (double)known[i]);
    return STATUS_OK;
}

enum status health_compare(const float stored[LESION_CLASSES], const float found[LESION_CLASSES],
                           const struct health_tolerance *tolerance, struct error *err)
{
    if (tolerance->precision == PRECISION_FP32)
        return compare_logits(stored, found, err);
    return compare_probabilities(stored, found, tolerance->temperature, err);
}

// The device, and the faults that tests ask for.
static enum status run_device(struct health *health, const uint8_t *const *views, int count,
                              const struct inference *result, struct error *err)
{
    int64_t number;
    if (fault_number(FAULT_DEVICE_ERROR_AT, &number) && health->computed == number)
        return error_set(err, STATUS_FATAL, "the device failed because a test asked for it");
    enum status status = plan_run(health->worker->served.engine.plan, views, count, result, err);
    if (fault_number(FAULT_FLIP_AFTER, &number) && health->computed >= number)
        for (int i = 0; i < count; i++)
            ((uint8_t *)&result->logits[i * LESION_CLASSES])[0] ^= 1; // the lowest bit of the first logit
    return status;
}

// The backend, and the fault that a test asks for.
static enum status ask_device(struct health *health, struct error *err)
{
    int64_t number;
    struct backend *backend = health->worker->served.engine.backend;
    enum status status = backend_health(backend, err);
    if (status == STATUS_OK && fault_number(FAULT_REPORTED_AT, &number) && health->asked++ >= number)
        status = error_set(err, STATUS_FATAL, "the device reported a fault because a test asked for it");
    if (status != STATUS_OK)
        atomic_store(&health->worker->device, DEVICE_LOST);
    return status;
}

static void set_figure(enum metric metric, unsigned label, double value)
{
    if (value >= 0) // else the device does not tell
        metrics_set(metric, label, value);
}

static void read_figures(struct health *health)
{
    struct device_figures figures;
    int64_t now_ms = clock_monotonic_ms();
    if (health->figures_at_ms > 0 && now_ms - health->figures_at_ms < FIGURES_INTERVAL_MS)
        return;
    health->figures_at_ms = now_ms;
    backend_figures(health->worker->served.engine.backend, &figures);
    set_figure(METRIC_GPU_UTILISATION, 0, figures.utilisation_percent / 100.0);
    set_figure(METRIC_GPU_MEMORY, GPU_MEMORY_USED, (double)figures.memory_used);
    set_figure(METRIC_GPU_MEMORY, GPU_MEMORY_TOTAL, (double)figures.memory_total);
    set_figure(METRIC_GPU_TEMPERATURE, 0, figures.temperature_c);
    set_figure(METRIC_GPU_POWER, GPU_POWER_DRAWN, figures.power_mw / 1e3);
    set_figure(METRIC_GPU_POWER, GPU_POWER_LIMIT, figures.power_limit_mw / 1e3);
    set_figure(METRIC_GPU_CLOCK, GPU_CLOCK_NOW, figures.clock_mhz * 1e6);
    set_figure(METRIC_GPU_CLOCK, GPU_CLOCK_MOST, figures.clock_max_mhz * 1e6);
    set_figure(METRIC_GPU_MEMORY_ERRORS, 0, (double)figures.ecc_uncorrected);
    set_figure(METRIC_GPU_FAULTS, 0, (double)figures.program_faults);
    if (figures.program_faults > health->faults_seen)
        LOG_WARN("device_program_fault", "faults=%" PRId64, figures.program_faults);
    health->faults_seen = figures.program_faults;
}

static enum status check_image(struct health *health, int index, struct error *err)
{
    struct health_tolerance tolerance = {health->worker->served.engine.plan->precision,
                                         health->worker->served.engine.model->manifest.temperature};
    float logits[LESION_CLASSES];
    const struct inference result = {.logits = logits, .attention = health->maps};
    const uint8_t *views[] = {health->views[index]};
    enum status status = run_device(health, views, 1, &result, err);
    if (status != STATUS_OK) {
        atomic_store(&health->worker->device, DEVICE_LOST);
        return status;
    }
    if (!health->has_own)
        memcpy(health->own[index], logits, sizeof logits);
    else if (memcmp(health->own[index], logits, sizeof logits) != 0)
        status = error_set(err, STATUS_FATAL, "it was computed before with other bits");
    if (status == STATUS_OK && health->has_stored)
        status = health_compare(health->known.logits[index], logits, &tolerance, err);
    if (status != STATUS_OK)
        atomic_store(&health->worker->device, DEVICE_WRONG);
    return status;
}

// Nothing that this device computed goes out any more. The flag is set: what the publisher is given from now
// on is dropped at its door.
static void drop_predictions(struct worker *worker)
{
    pthread_mutex_lock(&worker->assignment.rebalance);
    if (worker->publisher)
        publisher_drop(worker->publisher);
    pthread_mutex_unlock(&worker->assignment.rebalance);
}

// Whether the plan's precision is known to give this model's answers on this kind of device, those to known
// images too (quantise measures them): if it does not, the device is to blame.
static bool is_trusted_precision(const struct engine *engine)
{
    const struct calibration *calibration = &engine->model->manifest.calibration;
    const struct agreement *agreement = &calibration->precisions[engine->plan->precision];
    return engine->plan->precision == PRECISION_FP32 ||
           (agreement->measured && strcmp(calibration->backend, engine->backend->name) == 0 &&
            agreement->difference <= (double)probability_tolerance);
}

// wrong: it gave another answer, and had given none before.
static void blame(const struct engine *engine, int index, bool wrong, struct error *err)
{
    if (wrong && !is_trusted_precision(engine))
        error_prefix(
            err,
            "model '%s' gives other answers in %s than those known (image %d); run it in fp32, or "
            "calibrate it with 'skinsight-trainer quantise'; where fp32 fails too, the device is bad",
            engine->model->manifest.model_version, precision_names[engine->plan->precision], index + 1);
    else
        error_prefix(err, "device '%.60s' fails known image %d", engine->backend->device, index + 1);
}

static void tell_failure(struct health *health, int index, struct error *err)
{
    struct worker *worker = health->worker;
    bool wrong = atomic_load(&worker->device) == DEVICE_WRONG;
    metrics_add(METRIC_KNOWN_ANSWERS, CHECK_FAILED, 1);
    if (wrong && health->good_at > 0)
        LOG_ERROR("answers_suspect", "worker=%s since_unix_ms=%" PRId64 " batches=%" PRId64, worker->instance,
                  health->good_at, health->batches);
    if (index >= 0)
        blame(&worker->served.engine, index, wrong && !health->has_own, err);
    worker_fail(worker, err); // before what waits for Redis or Kafka, where the watchdog may end the process
    if (wrong) {
        cache_disprove(worker); // first: dropping waits for a transaction, or for a broker that is away
        drop_predictions(worker);
    }
}

enum status health_check(struct health *health, struct error *err)
{
    int64_t begun_at = clock_wall_ms();
    int index = -1;
    enum status status = ask_device(health, err);
    while (status == STATUS_OK && ++index < health->known.count)
        status = check_image(health, index, err);
    if (status != STATUS_OK) {
        tell_failure(health, index, err);
        return status;
    }
    health->has_own = true;
    health->batches = 0;
    health->good_at = begun_at;
    cache_prove(health->worker);
    metrics_add(METRIC_KNOWN_ANSWERS, CHECK_PASSED, 1);
    atomic_store(&health->worker->device, DEVICE_GOOD);
    return STATUS_OK;
}

enum status health_check_engine(const struct engine *engine, struct error *err)
{
    const struct known_answers *known = &engine->model->known_answers;
    const struct health_tolerance tolerance = {engine->plan->precision, engine->model->manifest.temperature};
    int count = engine->backend->simulated ? 0 : known->count;
    uint8_t *view = memory_alloc((size_t)engine->plan->view_size);
    const uint8_t *views[] = {view};
    enum status status = STATUS_OK;
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        float logits[LESION_CLASSES];
        const struct inference result = {.logits = logits};
        known_answers_view(known->seeds[i], view, (size_t)engine->plan->view_size);
        status = plan_run(engine->plan, views, 1, &result, err);
        bool computed = status == STATUS_OK;
        if (computed)
            status = health_compare(known->logits[i], logits, &tolerance, err);
        if (status != STATUS_OK)
            blame(engine, i, computed, err);
    }
    free(view);
    return status;
}

enum status health_look(struct health *health, struct error *err)
{
    if (atomic_load(&health->worker->device) != DEVICE_GOOD)
        return STATUS_OK; // what became of it is told
    enum status status = ask_device(health, err);
    if (status == STATUS_OK)
        read_figures(health);
    else
        LOG_ERROR("device_fault", "reason=\"%s\"", err->message);
    return status;
}

bool health_is_finite(const float *logits, int count)
{
    for (int i = 0; i < count * LESION_CLASSES; i++)
        if (!isfinite(logits[i]))
            return false;
    return true;
}

enum status health_run(struct health *health, const uint8_t *const *views, int count,
                       const struct inference *result, struct error *err)
{
    int state = atomic_load(&health->worker->device);
    if (state != DEVICE_GOOD)
        return error_set(err, STATUS_FATAL, "the device is not used any more");
    enum status status = run_device(health, views, count, result, err);
    health->computed++;
    health->batches++;
    if (status == STATUS_OK && !health_is_finite(result->logits, count))
        status = error_set(err, STATUS_FATAL, "a logit is no number");
    if (status != STATUS_OK) {
        LOG_WARN("device_error", "reason=\"%s\"", err->message);
        status = health_check(health, err);
        if (status == STATUS_OK)
            status = run_device(health, views, count, result, err);
        if (status == STATUS_OK)
            health->batches++;
    }
    return status == STATUS_OK ? health_look(health, err) : status;
}

enum status health_check_if_due(struct health *health, struct error *err)
{
    if (health->interval == 0 || health->batches < health->interval)
        return STATUS_OK;
    return health_check(health, err);
}

bool health_is_suspect(struct worker *worker, const struct job *job)
{
    return job->code == JOB_OK && atomic_load(&worker->device) == DEVICE_WRONG;
}
