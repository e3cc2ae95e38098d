// reference_read.c: reading a reference. Whoever can write to the folder can write anything, so every number
// is checked: a report computes with all of them.
#include <math.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/text.h"
#include "monitor/drift/reference.h"

#define EFFECT_MOST 1e6

// What stands at the field, or NULL with the sentence.
static const cJSON *field(const cJSON *object, const char *name, struct error *err)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!found)
        error_set(err, STATUS_REJECTED, "%s is missing", name);
    return found;
}

static enum status bad(const char *name, struct error *err)
{
    return error_set(err, STATUS_REJECTED, "%s is not what a reference has there", name);
}

// Finite numbers; with nulls also NaN.
static bool read_numbers(const cJSON *array, double *values, int count, bool nulls)
{
    if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) != count)
        return false;
    const cJSON *item;
    cJSON_ArrayForEach(item, array)
    {
        if (nulls && cJSON_IsNull(item))
            *values++ = NAN;
        else if (cJSON_IsNumber(item) && isfinite(item->valuedouble))
            *values++ = item->valuedouble;
        else
            return false;
    }
    return true;
}

static bool read_integers(const cJSON *array, int64_t *values, int count)
{
    if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) != count)
        return false;
    const cJSON *item;
    cJSON_ArrayForEach(item, array)
    {
        if (!json_whole_number(item, 0, JSON_WHOLE_MOST, values++))
            return false;
    }
    return true;
}

static bool read_counts(const cJSON *array, int32_t *counts, int count)
{
    int64_t wide[DRIFT_CATEGORY_BINS];
    if (!read_integers(array, wide, count))
        return false;
    for (int i = 0; i < count; i++) {
        if (wide[i] > INT32_MAX)
            return false;
        counts[i] = (int32_t)wide[i];
    }
    return true;
}

// ---- bins ----

// Finite and ascending, or all null.
static bool read_edges(const cJSON *array, double edges[DRIFT_EDGES])
{
    if (!read_numbers(array, edges, DRIFT_EDGES, true))
        return false;
    for (int i = 1; i < DRIFT_EDGES; i++)
        if (isnan(edges[i]) != isnan(edges[0]) || edges[i] < edges[i - 1])
            return false;
    return true;
}

static bool read_names(const cJSON *item, struct drift_bins *bins, int category)
{
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(item, "names"), *name;
    const cJSON *complete = cJSON_GetObjectItemCaseSensitive(item, "complete");
    int count = cJSON_GetArraySize(names);
    if (!cJSON_IsArray(names) || count > DRIFT_NAMES_MOST || !cJSON_IsBool(complete))
        return false;
    cJSON_ArrayForEach(name, names)
    {
        if (!json_copy_text(name, bins->names[category][bins->name_counts[category]++], DRIFT_NAME_SIZE))
            return false;
    }
    bins->complete[category] = cJSON_IsTrue(complete);
    return true;
}

static bool read_effect(const cJSON *number, double *effect)
{
    if (!cJSON_IsNumber(number) || !(number->valuedouble >= 1 && number->valuedouble <= EFFECT_MOST))
        return false;
    *effect = number->valuedouble;
    return true;
}

static enum status read_bins(const cJSON *root, struct drift_bins *bins, struct error *err)
{
    const cJSON *features = field(root, "features", err), *item;
    int feature = 0;
    if (!features)
        return STATUS_REJECTED;
    if (!cJSON_IsArray(features) || cJSON_GetArraySize(features) != DRIFT_COUNTED)
        return error_set(err, STATUS_REJECTED, "the reference has other features than this version's %d",
                         DRIFT_COUNTED);
    cJSON_ArrayForEach(item, features)
    {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(item, "feature");
        if (!cJSON_IsString(name) || strcmp(name->valuestring, drift_features[feature]) != 0)
            return error_set(err, STATUS_REJECTED,
                             "the reference has another feature where this version has %s",
                             drift_features[feature]);
        const cJSON *edges = cJSON_GetObjectItemCaseSensitive(item, "edges");
        const cJSON *effect = cJSON_GetObjectItemCaseSensitive(item, "design_effect");
        bool good = feature < DRIFT_NUMBERS ? read_edges(edges, bins->edges[feature])
                                            : read_names(item, bins, feature - DRIFT_NUMBERS);
        if (!good || !read_effect(effect, &bins->effects[feature]))
            return error_set(err, STATUS_REJECTED, "the bins of %s are other ones than this version's",
                             drift_features[feature]);
        feature++;
    }
    return STATUS_OK;
}

// ---- counts ----

// Of an output's means: neither an entropy nor a confidence is below 0.
static bool read_sums(const cJSON *array, double sums[DRIFT_MEANS])
{
    if (!read_numbers(array, sums, DRIFT_MEANS, false))
        return false;
    for (int i = 0; i < DRIFT_MEANS; i++)
        if (sums[i] < 0)
            return false;
    return true;
}

// Whether the counts are parts of n.
static bool output_adds_up(const struct drift_output *output)
{
    int64_t all = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        if (output->classes[i] > output->n || (all += output->classes[i]) > output->n)
            return false;
    for (int i = 0; i < DRIFT_RATES; i++)
        if (output->events[i] > output->trials[i] || output->trials[i] > output->n)
            return false;
    return all == output->n;
}

// Of each class as many as there are.
static bool read_said(const cJSON *array, struct drift_output *output)
{
    if (!read_integers(array, output->said[0], ACTION_COUNT * LESION_CLASSES))
        return false;
    for (int i = 0; i < LESION_CLASSES; i++) {
        int64_t rest = output->classes[i];
        for (int action = 0; action < ACTION_COUNT; action++) {
            if (output->said[action][i] > rest)
                return false;
            rest -= output->said[action][i];
        }
        if (rest > 0)
            return false;
    }
    return true;
}

static bool read_output(const cJSON *object, struct drift_output *output)
{
    return json_whole_number(cJSON_GetObjectItemCaseSensitive(object, "n"), 0, INT32_MAX, &output->n) &&
           read_integers(cJSON_GetObjectItemCaseSensitive(object, "classes"), output->classes,
                         LESION_CLASSES) &&
           read_integers(cJSON_GetObjectItemCaseSensitive(object, "events"), output->events, DRIFT_RATES) &&
           read_integers(cJSON_GetObjectItemCaseSensitive(object, "trials"), output->trials, DRIFT_RATES) &&
           read_sums(cJSON_GetObjectItemCaseSensitive(object, "sums"), output->sums) &&
           read_sums(cJSON_GetObjectItemCaseSensitive(object, "squares"), output->squares) &&
           output_adds_up(output) && read_said(cJSON_GetObjectItemCaseSensitive(object, "said"), output);
}

static bool read_feature_counts(const cJSON *counts, const struct drift_bins *bins, struct drift_tally *tally)
{
    if (cJSON_GetArraySize(counts) != DRIFT_COUNTED)
        return false;
    for (int i = 0; i < DRIFT_COUNTED; i++) {
        int64_t all = 0;
        if (!read_counts(cJSON_GetArrayItem(counts, i), tally->counts[i], drift_bin_count(bins, i)))
            return false;
        for (int bin = 0; bin < DRIFT_CATEGORY_BINS; bin++)
            all += tally->counts[i][bin];
        if (all > tally->output.n)
            return false;
    }
    return true;
}

static bool read_histograms(const cJSON *histograms, struct drift_tally *tally)
{
    if (cJSON_GetArraySize(histograms) != DRIFT_HISTOGRAMS)
        return false;
    for (int i = 0; i < DRIFT_HISTOGRAMS; i++) {
        if (!read_numbers(cJSON_GetArrayItem(histograms, i), tally->histograms[i], FEATURES_BINS, false))
            return false;
        for (int bin = 0; bin < FEATURES_BINS; bin++)
            if (tally->histograms[i][bin] < 0)
                return false;
    }
    return true;
}

static bool read_tally(const cJSON *object, const struct drift_bins *bins, struct drift_tally *tally)
{
    const cJSON *sums = cJSON_GetObjectItemCaseSensitive(object, "sums");
    if (!read_output(cJSON_GetObjectItemCaseSensitive(object, "output"), &tally->output) ||
        !read_numbers(cJSON_GetObjectItemCaseSensitive(object, "squares"), tally->squares, DRIFT_NUMBERS,
                      false) ||
        !read_feature_counts(cJSON_GetObjectItemCaseSensitive(object, "counts"), bins, tally) ||
        !read_histograms(cJSON_GetObjectItemCaseSensitive(object, "histograms"), tally) ||
        cJSON_GetArraySize(sums) != DRIFT_NUMBERS)
        return false;
    for (int i = 0; i < DRIFT_NUMBERS; i++)
        if (!read_numbers(cJSON_GetArrayItem(sums, i), tally->sums[i], DRIFT_NUMBER_BINS, false))
            return false;
    return true;
}

static bool read_limit(const cJSON *parent, const char *name, struct drift_limit *limit)
{
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(parent, name);
    struct {
        const char *name;
        double *value;
    } const values[] = {
        {"limit", &limit->limit}, {"arl0_days", &limit->arl0_days}, {"delay_days", &limit->delay_days}};
    for (int i = 0; i < 3; i++) {
        const cJSON *number = cJSON_GetObjectItemCaseSensitive(object, values[i].name);
        if (cJSON_IsNull(number))
            *values[i].value = NAN;
        else if (cJSON_IsNumber(number) && number->valuedouble >= 0)
            *values[i].value = number->valuedouble;
        else
            return false;
    }
    return true;
}

static bool read_kind(const cJSON *text, enum drift_stratum_kind *kind)
{
    for (int i = 0; i < STRATUM_KINDS; i++)
        if (cJSON_IsString(text) && strcmp(text->valuestring, drift_stratum_kinds[i]) == 0) {
            *kind = (enum drift_stratum_kind)i;
            return true;
        }
    return false;
}

static enum status read_strata(const cJSON *root, struct drift_reference *reference, struct error *err)
{
    const cJSON *strata = field(root, "strata", err), *item;
    if (!strata)
        return STATUS_REJECTED;
    int count = cJSON_GetArraySize(strata);
    if (!cJSON_IsArray(strata) || count < 1 || count > DRIFT_STRATA_MOST)
        return bad("strata", err);
    cJSON_ArrayForEach(item, strata)
    {
        struct drift_stratum *stratum = &reference->strata[reference->stratum_count];
        bool first = reference->stratum_count == 0;
        if (!read_kind(cJSON_GetObjectItemCaseSensitive(item, "kind"), &stratum->kind) ||
            !json_copy_text(cJSON_GetObjectItemCaseSensitive(item, "name"), stratum->name,
                            sizeof stratum->name) ||
            (stratum->kind == STRATUM_ALL) != first || !read_tally(item, &reference->bins, &stratum->tally) ||
            !read_limit(item, "input", &stratum->input))
            return error_set(err, STATUS_REJECTED,
                             "stratum %zu of the reference does not fit the reference's bins",
                             reference->stratum_count);
        reference->stratum_count++;
    }
    return STATUS_OK;
}

// ---- limits ----

static enum status read_limits(const cJSON *root, struct drift_limits *limits, struct error *err)
{
    const cJSON *object = field(root, "limits", err);
    if (!object)
        return STATUS_REJECTED;
    const cJSON *charts = cJSON_GetObjectItemCaseSensitive(object, "charts");
    const cJSON *plain = cJSON_GetObjectItemCaseSensitive(object, "plain");
    const cJSON *budget = cJSON_GetObjectItemCaseSensitive(object, "alarm_budget_per_year");
    int64_t seed;
    if (!json_whole_number(cJSON_GetObjectItemCaseSensitive(object, "seed"), 0, JSON_WHOLE_MOST, &seed) ||
        !cJSON_IsNumber(budget) || !(budget->valuedouble > 0 && budget->valuedouble <= DRIFT_BUDGET_MOST))
        return bad("limits", err);
    limits->seed = (uint64_t)seed;
    limits->budget = budget->valuedouble;
    for (int i = 0; i < DRIFT_LIMITED_CHARTS; i++)
        if (!read_limit(charts, drift_charts[i], &limits->charts[i]))
            return bad(drift_charts[i], err);
    for (int i = 0; i < DRIFT_PLAIN_RULES; i++)
        if (!read_limit(plain, drift_plain_rules[i], &limits->plain[i]))
            return bad(drift_plain_rules[i], err);
    return STATUS_OK;
}

// ---- the whole ----

static enum status read_head(const cJSON *root, struct drift_reference *reference, struct error *err)
{
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(root, "schema");
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(root, "model_version");
    if (!cJSON_IsString(schema) || strcmp(schema->valuestring, DRIFT_REFERENCE_SCHEMA) != 0)
        return error_set(err, STATUS_REJECTED, "schema is not " DRIFT_REFERENCE_SCHEMA);
    if (!json_copy_text(cJSON_GetObjectItemCaseSensitive(root, "id"), reference->id, sizeof reference->id) ||
        !drift_reference_id_good(reference->id))
        return bad("id", err);
    if (!cJSON_IsNull(model) &&
        !json_copy_text(model, reference->model_version, sizeof reference->model_version))
        return bad("model_version", err);
    if (!json_whole_number(cJSON_GetObjectItemCaseSensitive(root, "from"), 0, JSON_WHOLE_MOST,
                           &reference->from) ||
        !json_whole_number(cJSON_GetObjectItemCaseSensitive(root, "to"), 0, JSON_WHOLE_MOST,
                           &reference->to) ||
        reference->to <= reference->from)
        return bad("to", err);
    if (!read_numbers(cJSON_GetObjectItemCaseSensitive(root, "weekdays"), reference->weekdays, 7, false))
        return bad("weekdays", err);
    for (int i = 0; i < 7; i++)
        if (reference->weekdays[i] < 0 || reference->weekdays[i] > INT32_MAX)
            return bad("weekdays", err);
    return STATUS_OK;
}

static enum status read_root(const cJSON *root, struct drift_reference *reference, struct error *err)
{
    const char *repeated = json_repeated_name(root);
    if (repeated)
        return error_set(err, STATUS_REJECTED, "the reference has %s twice", repeated);
    enum status status = read_head(root, reference, err);
    if (status == STATUS_OK)
        status = read_bins(root, &reference->bins, err);
    if (status == STATUS_OK)
        status = read_strata(root, reference, err);
    const cJSON *truth = cJSON_GetObjectItemCaseSensitive(root, "truth");
    for (int i = 0; status == STATUS_OK && i < LESION_CLASSES; i++)
        if (!read_output(cJSON_GetObjectItemCaseSensitive(truth, lesion_codes[i]), &reference->truth[i]))
            status = bad("truth", err);
    const cJSON *effects = cJSON_GetObjectItemCaseSensitive(root, "design_effects");
    for (int i = 0; status == STATUS_OK && i < DRIFT_CHARTS; i++)
        if (!read_effect(cJSON_GetObjectItemCaseSensitive(effects, drift_charts[i]), &reference->effects[i]))
            status = bad("design_effects", err);
    return status == STATUS_OK ? read_limits(root, &reference->limits, err) : status;
}

enum status drift_reference_parse(struct bytes text, struct drift_reference *reference, struct error *err)
{
    static const struct json_limits limits = {
        .bytes = DRIFT_REFERENCE_BYTES_MOST, .values = 100000, .depth = 8};
    cJSON *root = NULL;
    memset(reference, 0, sizeof *reference);
    enum status status = json_parse(text, &limits, &root, err);
    if (status == STATUS_OK)
        status = read_root(root, reference, err);
    if (status == STATUS_REJECTED) {
        const struct error why = *err;
        error_set(err, status,
                  "%s; one of an earlier version has to be made anew (skinsight-monitor reference create)",
                  why.message);
    }
    cJSON_Delete(root);
    reference->sha256 = digest_of(text.data, text.size);
    return status;
}
