// measure.c: the monitor's gauges, set before each scrape, and the samples of the board. Server's thread.
#include <math.h>
#include <stdio.h>

#include "monitor/service/metrics_rows.h"
#include "monitor/service/run.h"

// Alarms' names are the program's own; what no label may hold becomes '_'.
static void label_alarm(const struct live_alarm *alarm, char labels[2 * LIVE_NAME_SIZE])
{
    char name[LIVE_NAME_SIZE];
    snprintf(name, sizeof name, "%s", alarm->name);
    for (char *at = name; *at; at++)
        if (*at == '"' || *at == '\\' || (unsigned char)*at < 0x20)
            *at = '_';
    snprintf(labels, 2 * LIVE_NAME_SIZE, "alarm=\"%s\",rule=\"%s\"", name,
             alarm->plain ? "plain" : "calibrated");
}

static void sample_alarms(const struct live_board *board, unsigned metric, struct metrics_writer *writer)
{
    for (size_t i = 0; i < board->count; i++) {
        const struct live_alarm *alarm = &board->alarms[i];
        char labels[2 * LIVE_NAME_SIZE];
        double value = metric == MONITOR_ALARM_STATE   ? alarm->state
                       : metric == MONITOR_ALARM_VALUE ? alarm->value
                       : metric == MONITOR_ALARM_LIMIT ? alarm->limit
                                                       : alarm->arl0_days;
        label_alarm(alarm, labels);
        if (isfinite(value))
            metrics_sample(writer, metric, labels, value);
    }
}

static void sample_latency(const struct live_board *board, struct metrics_writer *writer)
{
    static const char *const quantiles[] = {"0.5", "0.95", "0.99"};
    for (int step = 0; step < STEP_COUNT; step++)
        for (int i = 0; i < 3; i++) {
            char labels[LIVE_NAME_SIZE];
            snprintf(labels, sizeof labels, "component=\"%s\",quantile=\"%s\"", operation_step_names[step],
                     quantiles[i]);
            if (board->made_at >= 0 && isfinite(board->latency_s[step][i]))
                metrics_sample(writer, MONITOR_LATENCY, labels, board->latency_s[step][i]);
        }
}

static void sample_cost(const struct monitor *monitor, const struct watched *watched,
                        struct metrics_writer *writer)
{
    char labels[COST_CURRENCY_SIZE + 16];
    double cost = cost_per_1000(&monitor->prices, watched->input.workers, watched->advice.arrival_per_s);
    snprintf(labels, sizeof labels, "currency=\"%s\"", monitor->prices.currency);
    if (*monitor->prices.currency && watched->at_ms >= 0 && watched->input.workers >= 0 && isfinite(cost))
        metrics_sample(writer, MONITOR_COST_PER_1000, labels, cost);
}

// NaN: not known, and no sample is shown.
static double of_the_fleet(const struct watched *watched, unsigned metric)
{
    const struct scale_input *input = &watched->input;
    const struct scale_advice *advice = &watched->advice;
    return watched->at_ms < 0                ? NAN
           : metric == MONITOR_DESIRED       ? (advice->desired > 0 ? advice->desired : NAN)
           : metric == MONITOR_READY_WORKERS ? (input->workers >= 0 ? input->workers : NAN)
           : metric == MONITOR_BACKLOG       ? input->backlog
           : metric == MONITOR_ARRIVALS      ? advice->arrival_per_s
           : metric == MONITOR_CAPACITY      ? advice->capacity_per_s
           : metric == MONITOR_P99           ? input->p99_ms / 1e3
                                             : NAN;
}

static void sample(void *context, unsigned metric, struct metrics_writer *writer)
{
    struct monitor *monitor = context;
    static struct live_board board; // of the server's thread
    struct watched watched = {.at_ms = -1};
    live_look(monitor->live, &board);
    if (monitor->watch)
        watch_look(monitor->watch, &watched);
    double value = of_the_fleet(&watched, metric);
    if (isfinite(value))
        metrics_sample(writer, metric, "", value);
    else if (metric == MONITOR_LATENCY)
        sample_latency(&board, writer);
    else if (metric == MONITOR_COST_PER_1000)
        sample_cost(monitor, &watched, writer);
    else if (metric >= MONITOR_ALARM_STATE && metric <= MONITOR_ALARM_ARL0)
        sample_alarms(&board, metric, writer);
    else if (metric >= MONITOR_DRIFT_STATISTIC && metric <= MONITOR_EXPERIMENT_STATE)
        live_sample(monitor->live, metric, writer);
}

void monitor_use_metrics(struct monitor *monitor)
{
    metrics_set_sampler(sample, monitor);
}

static void measure_scale(struct monitor *monitor)
{
    struct watched watched;
    watch_look(monitor->watch, &watched);
    metrics_set(MONITOR_SCALE_HELD, 0, watched.at_ms < 0 || watched.advice.held);
}

void monitor_measure(struct monitor *monitor)
{
    static struct live_board board; // of the server's thread
    struct collect_figures figures;
    collector_figures(monitor->collector, &figures);
    live_look(monitor->live, &board);
    metrics_set(MONITOR_RECORDS, RECORD_PREDICTION, (double)figures.predictions);
    metrics_set(MONITOR_RECORDS, RECORD_FEEDBACK, (double)figures.feedback);
    metrics_set(MONITOR_REFUSED, 0, (double)figures.refused);
    metrics_set(MONITOR_COMMITTED_AT, 0, figures.committed_at < 0 ? 0 : (double)figures.committed_at / 1e3);
    metrics_set(MONITOR_COLLECTS, 0, figures.reads);
    metrics_set(MONITOR_BOARD_AT, 0, !board.whole ? 0 : (double)board.made_at / 1e3);
    if (monitor->watch)
        measure_scale(monitor);
}
