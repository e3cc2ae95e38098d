// health.c: the device's faults and figures, and when its known images are due.
#include "worker/device/health.h"

#include <inttypes.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/faults.h"
#include "worker/metrics_rows.h"

enum { FIGURES_INTERVAL_MS = 1000 };

void health_init(struct health *health, struct served_model *served, int64_t interval)
{
    *health = (struct health){.served = served, .interval = interval};
}

// The backend, and the fault that a test asks for.
static enum device_state ask_device(struct health *health, struct error *err)
{
    int64_t number;
    enum status status = backend_health(health->served->engine.backend, err);
    if (status == STATUS_OK && fault_number(FAULT_REPORTED_AT, &number) && health->asked++ >= number)
        status = error_set(err, STATUS_FATAL, "the device reported a fault because a test asked for it");
    return status == STATUS_OK ? DEVICE_GOOD : DEVICE_LOST;
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
    backend_figures(health->served->engine.backend, &figures);
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

enum device_state health_check(struct health *health, struct error *err)
{
    struct served_model *served = health->served;
    int64_t begun_at = clock_wall_ms();
    enum device_state state = ask_device(health, err);
    if (state == DEVICE_GOOD)
        state = known_images_check(&served->known_images, &served->engine, err);
    metrics_add(METRIC_KNOWN_ANSWERS, state == DEVICE_GOOD ? CHECK_PASSED : CHECK_FAILED, 1);
    if (state == DEVICE_GOOD) {
        health->batches = 0;
        health->good_at = begun_at;
    }
    return state;
}

enum device_state health_look(struct health *health, struct error *err)
{
    enum device_state state = ask_device(health, err);
    if (state == DEVICE_GOOD)
        read_figures(health);
    else
        LOG_ERROR("device_fault", "reason=\"%s\"", err->message);
    return state;
}

bool health_is_check_due(const struct health *health)
{
    return health->interval > 0 && health->batches >= health->interval;
}
