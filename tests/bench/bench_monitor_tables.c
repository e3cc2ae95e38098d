// bench_monitor_tables.c: what the monitor's statistics say of two tables of analyses, and how long they
// take, beside other programs (monitor_peers.py).
//
//     bench_monitor_tables REFERENCE CURRENT
//
// Both are folders as `skinsight-monitor simulate` makes them. Reads them first, then computes, and prints
// one JSON object: "days", each day of CURRENT against the reference by the monitor's own bins; "same", of
// the whole of CURRENT, figures by definitions that others share; processor time of each. Writes
// reference.csv and current.csv into the folder it runs in, for the others.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/csv.h"
#include "common/base/json_write.h"
#include "common/base/memory.h"
#include "common/statistics/auroc.h"
#include "common/statistics/divergence.h"
#include "common/statistics/label_free.h"
#include "monitor/archive/lines.h"
#include "monitor/drift/compare.h"
#include "monitor/drift/reference_build.h"

enum { DAYS_MOST = 366 };

struct table {
    struct analysis *rows; // texts are interned
    bool *melanoma;        // the truth
    size_t count;
    int64_t from, to; // midnights
};

static void check(enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        fprintf(stderr, "bench_monitor_tables: %s\n", err->message);
        exit(1);
    }
}

static double processor_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// ---- reading ----

static const char *intern(const char *text)
{
    static const char *known[256];
    static int count;
    if (!text)
        return "";
    for (int i = 0; i < count; i++)
        if (strcmp(known[i], text) == 0)
            return known[i];
    if (count == 256)
        return "other";
    return known[count++] = memory_strdup(text);
}

static void add_row(struct table *table, const struct prediction *prediction)
{
    struct analysis *row = &table->rows[table->count];
    struct error err;
    check(analysis_read(prediction, -1, row, &err), &err);
    row->site = intern(row->site);
    row->capture_device = intern(row->capture_device);
    row->lesion_location = intern(row->lesion_location);
    row->subject = row->model_version = row->precision = row->device = row->error_code = "";
}

// The truth stands in the order of the images; one that failed at first has two records.
static void read_table(const char *folder, struct table *table)
{
    struct lines lines = {0};
    struct csv truth = {0};
    struct bytes line;
    struct error err;
    struct prediction prediction;
    bool cut, more;
    size_t image = 0;
    char *path = memory_format("%s/predictions.jsonl", folder), *csv = memory_format("%s/truth.csv", folder);
    check(csv_read(csv, &truth, &err), &err);
    check(lines_open(&lines, path, &err), &err);
    *table = (struct table){.rows = memory_alloc(truth.rows * sizeof *table->rows),
                            .melanoma = memory_alloc(truth.rows * sizeof *table->melanoma)};
    int request = csv_column(&truth, "request_id"), label = csv_column(&truth, "label");
    for (;;) {
        check(lines_next(&lines, &line, &cut, &more, &err), &err);
        if (!more)
            break;
        check(prediction_parse(line, &prediction, &err), &err);
        while (strcmp(csv_field(&truth, image, request), prediction.request_id) != 0)
            image++;
        if (!prediction.error.code) {
            table->melanoma[table->count] = strcmp(csv_field(&truth, image, label), "MEL") == 0;
            add_row(table, &prediction);
            table->count++;
        }
        prediction_release(&prediction);
    }
    if (table->count > 0) {
        table->from = table->rows[0].at / DRIFT_DAY_MS * DRIFT_DAY_MS;
        table->to = (table->rows[table->count - 1].at / DRIFT_DAY_MS + 1) * DRIFT_DAY_MS;
    }
    lines_close(&lines);
    csv_release(&truth);
    free(path);
    free(csv);
}

static void write_table(const char *path, const struct table *table)
{
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        exit(1);
    }
    fprintf(file, "day,brightness,contrast,sharpness,red,green,blue,ood_distance,image_bytes,site,"
                  "capture_device,lesion_location,fitzpatrick_type,dermatoscope,class,p_melanoma,melanoma\n");
    for (size_t i = 0; i < table->count; i++) {
        const struct analysis *row = &table->rows[i];
        fprintf(file, "%d", (int)((row->at - table->from) / DRIFT_DAY_MS));
        for (int number = 0; number < DRIFT_NUMBERS; number++)
            fprintf(file, ",%.17g", drift_number(number, row));
        for (int category = 0; category < DRIFT_CATEGORIES; category++) {
            char name[DRIFT_NAME_SIZE];
            drift_category(category, row, name);
            fprintf(file, ",%s", name);
        }
        fprintf(file, ",%s,%.17g,%d\n", lesion_codes[row->class], (double)row->probabilities[LESION_MEL],
                table->melanoma[i]);
    }
    if (fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

// ---- by the monitor's definitions ----

static struct drift_reference *learn(const struct table *table)
{
    struct drift_builder *builder = drift_builder_new(table->from, table->to);
    struct drift_reference *reference = drift_reference_new();
    struct drift_rows rows;
    struct error err;
    for (size_t i = 0; i < table->count; i++)
        check(drift_builder_learn(builder, &table->rows[i], &err), &err);
    drift_builder_bins(builder);
    for (size_t i = 0; i < table->count; i++)
        check(drift_builder_count(builder, &table->rows[i], &err), &err);
    check(drift_builder_finish(builder, reference, &rows, &err), &err);
    drift_builder_free(builder);
    return reference;
}

static void add_days(struct json_writer *writer, const struct drift_reference *reference,
                     const struct table *table)
{
    static struct drift_tally days[DAYS_MOST];
    struct drift_difference differences[DRIFT_FEATURES];
    int count = 0;
    for (size_t i = 0; i < table->count; i++) {
        int day = (int)((table->rows[i].at - table->from) / DRIFT_DAY_MS);
        if (day >= DAYS_MOST)
            break;
        count = day + 1 > count ? day + 1 : count;
        drift_tally_add(&days[day], &reference->bins, &table->rows[i]);
    }
    json_add_array(writer, "days");
    for (int day = 0; day < count; day++) {
        drift_compare(&days[day], &reference->strata[0].tally, &reference->bins, differences);
        json_add_object(writer, NULL);
        for (int i = 0; i < DRIFT_COUNTED; i++) {
            json_add_object(writer, drift_features[i]);
            json_add_double(writer, "kl", differences[i].kl);
            json_add_double(writer, "js", differences[i].js);
            json_add_double(writer, "psi", differences[i].psi);
            json_add_double(writer, "w1", differences[i].w1);
            json_add_double(writer, "p", differences[i].p);
            json_end_object(writer);
        }
        json_end_object(writer);
    }
    json_end_array(writer);
}

// ---- by definitions that others share ----

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double *sorted_numbers(const struct table *table, int number)
{
    double *values = memory_alloc(table->count * sizeof *values);
    for (size_t i = 0; i < table->count; i++)
        values[i] = drift_number(number, &table->rows[i]);
    qsort(values, table->count, sizeof *values, by_value);
    return values;
}

static double deviation(const double *values, size_t count)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    for (size_t i = 0; i < count; i++)
        squares += (values[i] - sum / (double)count) * (values[i] - sum / (double)count);
    return sqrt(squares / (double)count);
}

static void add_number(struct json_writer *writer, int number, const struct table *reference,
                       const struct table *current)
{
    double *then = sorted_numbers(reference, number), *now = sorted_numbers(current, number);
    const struct weighted_values p = {now, NULL, current->count}, q = {then, NULL, reference->count};
    double distance = divergence_wasserstein(&p, &q);
    json_add_object(writer, drift_features[number]);
    json_add_double(writer, "wasserstein", distance);
    json_add_double(writer, "wasserstein_sd", distance / deviation(then, reference->count));
    json_end_object(writer);
    free(then);
    free(now);
}

struct names {
    char names[DRIFT_NAMES_MOST][DRIFT_NAME_SIZE];
    int64_t counts[2][DRIFT_NAMES_MOST];
    int count;
};

static void count_names(struct names *names, int side, int category, const struct table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        char name[DRIFT_NAME_SIZE];
        int at = 0;
        drift_category(category, &table->rows[i], name);
        while (at < names->count && strcmp(names->names[at], name) != 0)
            at++;
        if (at == names->count && at < DRIFT_NAMES_MOST)
            strcpy(names->names[names->count++], name);
        if (at < DRIFT_NAMES_MOST)
            names->counts[side][at]++;
    }
}

static void add_category(struct json_writer *writer, int category, const struct table *reference,
                         const struct table *current)
{
    struct names names = {0};
    double p[DRIFT_NAMES_MOST], q[DRIFT_NAMES_MOST];
    count_names(&names, 0, category, reference);
    count_names(&names, 1, category, current);
    size_t count = (size_t)names.count;
    divergence_shares(names.counts[1], count, 0, p);
    divergence_shares(names.counts[0], count, 0, q);
    json_add_object(writer, drift_features[DRIFT_NUMBERS + category]);
    json_add_double(writer, "js", divergence_js(p, q, count));
    json_add_double(writer, "greatest", divergence_greatest(p, q, count));
    json_add_double(writer, "hellinger", divergence_hellinger(p, q, count));
    json_add_double(writer, "psi", divergence_psi(p, q, count));
    json_add_double(writer, "kl_reference_from_current", divergence_kl(q, p, count));
    json_end_object(writer);
}

static void add_same(struct json_writer *writer, const struct table *reference, const struct table *current)
{
    double *scores = memory_alloc(current->count * sizeof *scores);
    for (size_t i = 0; i < current->count; i++)
        scores[i] = current->rows[i].probabilities[LESION_MEL];
    const struct scored_images images = {current->melanoma, NULL, current->count};
    json_add_object(writer, "same");
    for (int number = 0; number < DRIFT_NUMBERS; number++)
        add_number(writer, number, reference, current);
    for (int category = 0; category < DRIFT_CATEGORIES; category++)
        add_category(writer, category, reference, current);
    json_add_double(writer, "auroc_melanoma", auroc_of(&images, scores).estimate);
    json_add_double(writer, "cbpe_auroc_melanoma", performance_expected(scores, current->count, 0.5).auroc);
    json_end_object(writer);
    free(scores);
}

int main(int argc, char **argv)
{
    struct table reference, current;
    struct json_line line;
    if (argc != 3) {
        fprintf(stderr, "usage: bench_monitor_tables REFERENCE CURRENT\n");
        return 2;
    }
    double start = processor_s();
    read_table(argv[1], &reference);
    read_table(argv[2], &current);
    double read = processor_s();
    write_table("reference.csv", &reference);
    write_table("current.csv", &current);
    struct json_writer *writer = json_line_begin(&line);
    double begun = processor_s();
    struct drift_reference *learnt = learn(&reference);
    add_days(writer, learnt, &current);
    double drifted = processor_s();
    add_same(writer, &reference, &current);
    double done = processor_s();
    json_add_integer(writer, "reference_rows", (int64_t)reference.count);
    json_add_integer(writer, "current_rows", (int64_t)current.count);
    json_add_double(writer, "read_s", read - start);
    json_add_double(writer, "days_s", drifted - begun);
    json_add_double(writer, "same_s", done - drifted);
    json_line_end(&line, stdout);
    drift_reference_free(learnt);
    return 0;
}
