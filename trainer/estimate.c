// estimate.c: figures with intervals, for programs and for people.
#include "trainer/estimate.h"

#include <math.h>
#include <stdio.h>

struct estimate estimate_none(size_t n, const char *reason)
{
    return (struct estimate){.value = NAN, .low = NAN, .high = NAN, .n = n, .reason = reason};
}

struct estimate estimate_of(double value, struct interval interval, size_t n, const char *method)
{
    if (!isfinite(value))
        return estimate_none(n, "there are no images for it");
    if (!isfinite(interval.low))
        return estimate_none(n, "too few images for an interval");
    return (struct estimate){value, interval.low, interval.high, ESTIMATE_LEVEL, n, method, NULL};
}

struct estimate estimate_share(const struct share *lesions, size_t count)
{
    struct share all = {0};
    for (size_t i = 0; i < count; i++) {
        all.successes += lesions[i].successes;
        all.trials += lesions[i].trials;
    }
    return estimate_of((double)all.successes / (double)all.trials,
                       interval_wilson_clustered(lesions, count, ESTIMATE_LEVEL), (size_t)all.trials,
                       design_effect(lesions, count) == 1 ? "Wilson" : "Wilson, design effect of lesions");
}

void estimate_write(struct json_writer *json, const char *name, const struct estimate *estimate)
{
    json_add_object(json, name);
    if (estimate->reason) {
        json_add_null(json, "estimate");
        json_add_integer(json, "n", (int64_t)estimate->n);
        json_add_text(json, "reason", estimate->reason);
    } else {
        json_add_double(json, "estimate", estimate->value);
        json_add_double(json, "low", estimate->low);
        json_add_double(json, "high", estimate->high);
        json_add_integer(json, "n", (int64_t)estimate->n);
        json_add_text(json, "method", estimate->method);
        json_add_double(json, "level", estimate->level);
    }
    json_end_object(json);
}

const char *estimate_text(const struct estimate *estimate, char text[ESTIMATE_TEXT_SIZE])
{
    if (estimate->reason)
        snprintf(text, ESTIMATE_TEXT_SIZE, "not enough evidence: %s", estimate->reason);
    else
        snprintf(text, ESTIMATE_TEXT_SIZE, "%.3f (%.3f to %.3f)", estimate->value, estimate->low,
                 estimate->high);
    return text;
}

void estimate_cell(struct html *page, const struct estimate *estimate)
{
    char text[ESTIMATE_TEXT_SIZE];
    html_number(page, "%s", estimate_text(estimate, text));
}
