// reference.c: the struct, and how it is written.
#include "monitor/drift/reference.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/json_write.h"
#include "common/base/memory.h"

const char *const drift_stratum_kinds[STRATUM_KINDS] = {"all", "site", "capture_device"};

bool drift_reference_id_good(const char *id)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t size = strlen(id);
    return size > 0 && size < DRIFT_ID_SIZE && id[0] != '.' && strspn(id, good) == size;
}

struct drift_reference *drift_reference_new(void)
{
    return memory_alloc(sizeof(struct drift_reference));
}

void drift_reference_free(struct drift_reference *reference)
{
    free(reference);
}

int drift_weekday(int64_t at)
{
    return (int)((at / DRIFT_DAY_MS + 3) % 7); // 1970 began with a Thursday
}

int drift_stratum_find(const struct drift_reference *reference, enum drift_stratum_kind kind,
                       const char *name)
{
    for (size_t i = 0; i < reference->stratum_count; i++)
        if (reference->strata[i].kind == kind && strcmp(reference->strata[i].name, name) == 0)
            return (int)i;
    return -1;
}

// ---- writing ----

static void write_numbers(struct json_writer *json, const char *name, const double *values, int count)
{
    json_add_array(json, name);
    for (int i = 0; i < count; i++)
        json_add_double(json, NULL, values[i]);
    json_end_array(json);
}

static void write_counts(struct json_writer *json, const char *name, const int32_t *counts, int count)
{
    json_add_array(json, name);
    for (int i = 0; i < count; i++)
        json_add_integer(json, NULL, counts[i]);
    json_end_array(json);
}

static void write_integers(struct json_writer *json, const char *name, const int64_t *values, int count)
{
    json_add_array(json, name);
    for (int i = 0; i < count; i++)
        json_add_integer(json, NULL, values[i]);
    json_end_array(json);
}

static void write_bins(struct json_writer *json, const struct drift_bins *bins)
{
    json_add_array(json, "features");
    for (int i = 0; i < DRIFT_COUNTED; i++) {
        json_add_object(json, NULL);
        json_add_text(json, "feature", drift_features[i]);
        if (i < DRIFT_NUMBERS) {
            write_numbers(json, "edges", bins->edges[i], DRIFT_EDGES);
        } else {
            int category = i - DRIFT_NUMBERS;
            json_add_array(json, "names");
            for (int k = 0; k < bins->name_counts[category]; k++)
                json_add_text(json, NULL, bins->names[category][k]);
            json_end_array(json);
            json_add_bool(json, "complete", bins->complete[category]);
        }
        json_add_double(json, "design_effect", bins->effects[i]);
        json_end_object(json);
    }
    json_end_array(json);
}

static void write_output(struct json_writer *json, const char *name, const struct drift_output *output)
{
    json_add_object(json, name);
    json_add_integer(json, "n", output->n);
    write_integers(json, "classes", output->classes, LESION_CLASSES);
    write_numbers(json, "sums", output->sums, DRIFT_MEANS);
    write_numbers(json, "squares", output->squares, DRIFT_MEANS);
    write_integers(json, "events", output->events, DRIFT_RATES);
    write_integers(json, "trials", output->trials, DRIFT_RATES);
    write_integers(json, "said", output->said[0], ACTION_COUNT * LESION_CLASSES);
    json_end_object(json);
}

static void write_limit(struct json_writer *json, const char *name, const struct drift_limit *limit)
{
    json_add_object(json, name);
    json_add_double(json, "limit", limit->limit);
    json_add_double(json, "arl0_days", limit->arl0_days);
    json_add_double(json, "delay_days", limit->delay_days);
    json_end_object(json);
}

static void write_stratum(struct json_writer *json, const struct drift_bins *bins,
                          const struct drift_stratum *stratum)
{
    const struct drift_tally *tally = &stratum->tally;
    json_add_object(json, NULL);
    json_add_text(json, "kind", drift_stratum_kinds[stratum->kind]);
    json_add_text(json, "name", stratum->name);
    json_add_array(json, "counts");
    for (int i = 0; i < DRIFT_COUNTED; i++)
        write_counts(json, NULL, tally->counts[i], drift_bin_count(bins, i));
    json_end_array(json);
    json_add_array(json, "sums");
    for (int i = 0; i < DRIFT_NUMBERS; i++)
        write_numbers(json, NULL, tally->sums[i], DRIFT_NUMBER_BINS);
    json_end_array(json);
    write_numbers(json, "squares", tally->squares, DRIFT_NUMBERS);
    json_add_array(json, "histograms");
    for (int i = 0; i < DRIFT_HISTOGRAMS; i++)
        write_numbers(json, NULL, tally->histograms[i], FEATURES_BINS);
    json_end_array(json);
    write_output(json, "output", &tally->output);
    write_limit(json, "input", &stratum->input);
    json_end_object(json);
}

static void write_limits(struct json_writer *json, const struct drift_limits *limits)
{
    json_add_object(json, "limits");
    json_add_integer(json, "seed", (int64_t)limits->seed);
    json_add_double(json, "alarm_budget_per_year", limits->budget);
    json_add_object(json, "charts");
    for (int i = 0; i < DRIFT_LIMITED_CHARTS; i++)
        write_limit(json, drift_charts[i], &limits->charts[i]);
    json_end_object(json);
    json_add_object(json, "plain");
    for (int i = 0; i < DRIFT_PLAIN_RULES; i++)
        write_limit(json, drift_plain_rules[i], &limits->plain[i]);
    json_end_object(json);
    json_end_object(json);
}

enum status drift_reference_write(const struct drift_reference *reference, struct buffer *out,
                                  struct error *err)
{
    struct json_writer json;
    json_write_begin(&json, out, err);
    json_add_object(&json, NULL);
    json_add_text(&json, "schema", DRIFT_REFERENCE_SCHEMA);
    json_add_text(&json, "id", reference->id);
    if (reference->model_version[0])
        json_add_text(&json, "model_version", reference->model_version);
    else
        json_add_null(&json, "model_version");
    json_add_integer(&json, "from", reference->from);
    json_add_integer(&json, "to", reference->to);
    write_numbers(&json, "weekdays", reference->weekdays, 7);
    write_bins(&json, &reference->bins);
    json_add_array(&json, "strata");
    for (size_t i = 0; i < reference->stratum_count; i++)
        write_stratum(&json, &reference->bins, &reference->strata[i]);
    json_end_array(&json);
    json_add_object(&json, "truth");
    for (int i = 0; i < LESION_CLASSES; i++)
        write_output(&json, lesion_codes[i], &reference->truth[i]);
    json_end_object(&json);
    json_add_object(&json, "design_effects");
    for (int i = 0; i < DRIFT_CHARTS; i++)
        json_add_double(&json, drift_charts[i], reference->effects[i]);
    json_end_object(&json);
    write_limits(&json, &reference->limits);
    json_end_object(&json);
    return json_write_end(&json);
}
