// scale.c: the advice.
#include "monitor/service/scale.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    DOWN_WINDOW_MS = 600 * 1000, // fewer workers only when this long nobody wanted more
    STUCK_WINDOW_MS = 60 * 1000, // jobs that did not move for so long, though there was capacity, are stuck
    SMOOTH_MS = 60 * 1000,
};

static const double load_up = 0.8, load_down = 0.7; // of the capacity; the room between them stops flapping
static const double drain_most_s = 30;
static const double changed_sd = 4;
static const double loaded = 0.5; // below this share of the capacity, load explains no latency

void scale_init(struct scale *scale, const struct scale_options *options)
{
    *scale = (struct scale){
        .options = *options, .first_ms = -1, .last_ms = -1, .arrival_per_s = NAN, .capacity_per_s = NAN};
}

static int clamp(const struct scale *scale, double workers)
{
    return (int)fmin(fmax(workers, scale->options.min), scale->options.max);
}

static void smooth_arrival(struct scale *scale, const struct scale_input *input)
{
    double period_s = scale->last_ms < 0 ? 0 : (double)(input->at_ms - scale->last_ms) / 1e3;
    double before = scale->arrival_per_s, now = input->arrival_per_s;
    if (isnan(before) || period_s <= 0) {
        scale->arrival_per_s = now;
        return;
    }
    // One arrival more, so that the first job of a night is noise, too.
    double sd = sqrt(fmax(before, 1 / period_s) / period_s);
    double weight = fabs(now - before) > changed_sd * sd ? 1 : 1 - exp(-period_s * 1e3 / SMOOTH_MS);
    scale->arrival_per_s = before + weight * (now - before);
}

static void keep_sample(struct scale *scale, struct scale_sample sample)
{
    scale->samples[scale->next_sample] = sample;
    scale->next_sample = (scale->next_sample + 1) % SCALE_SAMPLES;
    if (scale->sample_count < SCALE_SAMPLES)
        scale->sample_count++;
}

// What waited at every call of the last minute, if the spare capacity would have answered it; else 0.
static double stuck_jobs(const struct scale *scale, const struct scale_input *input)
{
    double least = input->backlog;
    double spare = scale->capacity_per_s * input->workers - scale->arrival_per_s;
    bool whole = false; // the samples go back over all of the window
    for (size_t i = 0; i < scale->sample_count; i++) {
        const struct scale_sample *sample = &scale->samples[i];
        if (input->at_ms - sample->at_ms >= STUCK_WINDOW_MS)
            whole = true;
        else
            least = fmin(least, sample->backlog);
    }
    return whole && spare * STUCK_WINDOW_MS / 1e3 >= least ? least : 0;
}

// The most that any call of the window would have found enough, this one included.
static int most_enough(const struct scale *scale, int64_t now_ms, int enough)
{
    for (size_t i = 0; i < scale->sample_count; i++)
        if (now_ms - scale->samples[i].at_ms < DOWN_WINDOW_MS && scale->samples[i].enough > enough)
            enough = scale->samples[i].enough;
    return enough;
}

static bool some_are_silent(const struct scale_input *input)
{
    return input->answered < input->asked;
}

// Over about a minute: a single look at a GPU is noise. NaN until a minute was seen.
static double mean_gpu(const struct scale *scale, const struct scale_input *input)
{
    double sum = input->gpu_utilisation;
    int count = 1;
    bool whole = false; // the samples go back over all of the minute
    for (size_t i = 0; i < scale->sample_count; i++) {
        const struct scale_sample *sample = &scale->samples[i];
        if (input->at_ms - sample->at_ms >= SMOOTH_MS) {
            whole = true;
        } else if (isfinite(sample->gpu)) {
            sum += sample->gpu;
            count++;
        }
    }
    return whole ? sum / count : NAN;
}

// The inputs without which nothing is said, or NULL.
static const char *missing(const struct scale *scale, const struct scale_input *input)
{
    return !isfinite(input->arrival_per_s) || input->arrival_per_s < 0 ? "the arrival rate"
           : !isfinite(input->backlog) || input->backlog < 0           ? "the backlog"
           : input->workers < 0                                        ? "the number of workers"
           : isnan(scale->capacity_per_s)                              ? "the capacity of a worker"
                                                                       : NULL;
}

// The seed's triggers: one worker more for a slow tail, the share that is too much for GPUs. 0: neither.
static double triggered(const struct scale *scale, const struct scale_input *input, const char **why)
{
    double capacity = scale->capacity_per_s * input->workers;
    bool explained = scale->arrival_per_s > loaded * capacity;
    double gpu = mean_gpu(scale, input);
    if (input->workers > 0 && gpu > scale->options.gpu_limit) {
        *why = explained ? "GPU utilisation is over its limit"
                         : "GPU utilisation is over its limit, but not by load";
        if (explained)
            return ceil(input->workers * gpu / scale->options.gpu_limit);
    }
    if (input->p99_ms > scale->options.p99_limit_ms) {
        *why = explained ? "P99 is over its limit" : "P99 is over its limit, but not by load";
        return explained ? input->workers + 1 : 0;
    }
    return 0;
}

static double time_to_drain(const struct scale *scale, const struct scale_input *input)
{
    double spare = scale->capacity_per_s * input->workers - scale->arrival_per_s;
    return input->backlog <= 0 ? 0 : spare > 0 ? input->backlog / spare : NAN;
}

// To the reason, as far as there is room.
__attribute__((format(printf, 2, 3))) static void append(struct scale_advice *advice, const char *format, ...)
{
    size_t used = strlen(advice->reason);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(advice->reason + used, sizeof advice->reason - used, format, arguments);
    va_end(arguments);
}

static void advise(struct scale *scale, const struct scale_input *input, struct scale_advice *advice)
{
    const char *why = "";
    double stuck = stuck_jobs(scale, input);
    double drain_s = fmin(drain_most_s, fmax(1, scale->options.deadline_s / 2));
    double load = scale->arrival_per_s + (input->backlog - stuck) / drain_s;
    double trigger = triggered(scale, input, &why);
    int wanted = clamp(scale, fmax(ceil(load / (scale->capacity_per_s * load_up)), trigger));
    int enough = clamp(scale, fmax(ceil(load / (scale->capacity_per_s * load_down)), trigger));
    int most = most_enough(scale, input->at_ms, enough);
    if (wanted > scale->desired)
        scale->desired = wanted;
    else if (!some_are_silent(input) && most < scale->desired &&
             input->at_ms - scale->first_ms >= DOWN_WINDOW_MS)
        scale->desired = most;
    if (some_are_silent(input)) // what there is was needed, as far as anyone knows
        enough = scale->desired;
    else
        advice->time_to_drain_s = time_to_drain(scale, input);
    keep_sample(scale, (struct scale_sample){input->at_ms, enough, input->backlog, input->gpu_utilisation});
    append(advice, "%.4g arrive and %.0f wait, a worker does %.4g a second", scale->arrival_per_s,
           input->backlog, scale->capacity_per_s);
    if (stuck > 0)
        append(advice, "; %.0f of those don't move and are not counted", stuck);
    if (*why)
        append(advice, "; %s", why);
}

static void hold(const struct scale_input *input, const char *absent, struct scale_advice *advice)
{
    advice->held = true;
    *advice->reason = '\0';
    if (some_are_silent(input))
        append(advice, "held: %d of %d workers answer", input->answered, input->asked);
    else
        append(advice, "held: %s is not known", absent);
    if (input->unknown > 0)
        append(advice, "; not yet known, as they have never answered: %d", input->unknown);
}

struct scale_advice scale_advise(struct scale *scale, const struct scale_input *input)
{
    struct scale_advice advice = {.time_to_drain_s = NAN};
    bool silent = some_are_silent(input);
    if (isfinite(input->capacity_per_s) && input->capacity_per_s > 0)
        scale->capacity_per_s = input->capacity_per_s;
    if (scale->desired == 0 && input->workers >= 0 && !silent) // else nobody knows where to begin
        scale->desired = clamp(scale, input->workers);
    const char *absent = missing(scale, input);
    if (!absent && scale->desired > 0) {
        struct scale_input all = *input;
        all.workers += input->asked - input->answered; // the silent ones may be at work
        if (scale->first_ms < 0)
            scale->first_ms = input->at_ms;
        if (!silent || !(input->arrival_per_s < scale->arrival_per_s))
            smooth_arrival(scale, input);
        advise(scale, &all, &advice);
        scale->last_ms = input->at_ms;
    } else if (scale->desired > 0) { // nobody knows that fewer would have done
        keep_sample(scale, (struct scale_sample){input->at_ms, scale->desired, input->backlog,
                                                 input->gpu_utilisation});
    }
    if (absent || silent)
        hold(input, absent, &advice);
    if (input->gone > 0)
        append(&advice, "; silent workers that count as gone: %d", input->gone);
    advice.desired = scale->desired;
    advice.arrival_per_s = scale->arrival_per_s;
    advice.capacity_per_s = scale->capacity_per_s;
    return advice;
}
