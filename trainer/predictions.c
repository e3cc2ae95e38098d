// predictions.c: predictions.csv, read and written.
#include "trainer/predictions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/csv.h"
#include "common/base/memory.h"

static const double most_off = 1e-3; // of the sum of probabilities that were written with few digits

void predictions_init(struct predictions *predictions, size_t count)
{
    predictions->rows = memory_alloc((count + 1) * sizeof *predictions->rows);
    predictions->count = count;
    for (size_t i = 0; i < count; i++)
        predictions->rows[i].atypical = -1;
}

void predictions_release(struct predictions *predictions)
{
    for (size_t i = 0; i < predictions->count; i++) {
        free(predictions->rows[i].file);
        free(predictions->rows[i].lesion);
    }
    free(predictions->rows);
    *predictions = (struct predictions){0};
}

int prediction_said(const struct prediction_row *row)
{
    int said = 0;
    for (int i = 1; i < LESION_CLASSES; i++)
        if (row->p[i] > row->p[said])
            said = i;
    return said;
}

void prediction_set(struct prediction_row *row, const float logits[LESION_CLASSES], double temperature)
{
    double greatest = -INFINITY, sum = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        greatest = fmax(greatest, (double)logits[i] / temperature);
    for (int i = 0; i < LESION_CLASSES; i++)
        sum += row->p[i] = exp((double)logits[i] / temperature - greatest);
    for (int i = 0; i < LESION_CLASSES; i++)
        row->p[i] /= sum;
}

// ---- lesions ----

struct placed {
    const struct prediction_row *row;
    size_t index;
};

// A row without a lesion is of the same one as its copies.
static int compare_lesions(const struct prediction_row *a, const struct prediction_row *b)
{
    int order = strcmp(a->lesion, b->lesion);
    return order || a->lesion[0] ? order : memcmp(a->sha256.value, b->sha256.value, DIGEST_SIZE);
}

static int by_lesion(const void *left, const void *right)
{
    const struct placed *a = left, *b = right;
    int order = compare_lesions(a->row, b->row);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

size_t predictions_lesions(const struct predictions *predictions, const size_t *subset, size_t count,
                           uint32_t *clusters)
{
    uint32_t found = 0;
    struct placed *sorted = memory_alloc((count + 1) * sizeof *sorted);
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct placed){&predictions->rows[subset[i]], i};
    qsort(sorted, count, sizeof *sorted, by_lesion);
    for (size_t i = 0; i < count; i++) {
        found += i == 0 || compare_lesions(sorted[i].row, sorted[i - 1].row) != 0;
        clusters[sorted[i].index] = found - 1;
    }
    free(sorted);
    return found;
}

// ---- reading ----

struct columns {
    int file, sha256, lesion, label, atypical, p[LESION_CLASSES];
};

static enum status find_columns(const struct csv *csv, struct columns *columns, struct error *err)
{
    char name[16];
    const char *missing = NULL;
    columns->lesion = csv_column(csv, "lesion_id");
    columns->atypical = csv_column(csv, "atypical");
    for (int i = LESION_CLASSES - 1; i >= 0; i--) {
        snprintf(name, sizeof name, "p_%s", lesion_codes[i]);
        columns->p[i] = csv_column(csv, name);
        if (columns->p[i] < 0)
            missing = lesion_codes[i];
    }
    if (missing)
        return error_set(err, STATUS_REJECTED, "there is no column p_%s: it is no table of predictions",
                         missing);
    columns->file = csv_column(csv, "file");
    columns->sha256 = csv_column(csv, "sha256");
    columns->label = csv_column(csv, "label");
    if (columns->file < 0 || columns->sha256 < 0 || columns->label < 0)
        return error_set(err, STATUS_REJECTED,
                         "a table of predictions has the columns file, sha256 and label");
    return STATUS_OK;
}

static bool read_probability(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value >= 0 && *value <= 1; // NaN is neither
}

static enum status read_probabilities(const struct csv *csv, size_t at, const struct columns *columns,
                                      struct prediction_row *row, struct error *err)
{
    double sum = 0;
    for (int i = 0; i < LESION_CLASSES; i++) {
        if (!read_probability(csv_field(csv, at, columns->p[i]), &row->p[i]))
            return error_set(err, STATUS_REJECTED, "line %d: p_%s is no number from 0 to 1", csv->lines[at],
                             lesion_codes[i]);
        sum += row->p[i];
    }
    if (!(fabs(sum - 1) <= most_off))
        return error_set(err, STATUS_REJECTED, "line %d: the probabilities' sum is %.6g, not 1",
                         csv->lines[at], sum);
    return STATUS_OK;
}

static enum status read_row(const struct csv *csv, size_t at, const struct columns *columns,
                            struct prediction_row *row, struct error *err)
{
    const char *atypical = csv_field(csv, at, columns->atypical);
    row->file = memory_strdup(csv_field(csv, at, columns->file));
    row->lesion = memory_strdup(csv_field(csv, at, columns->lesion));
    row->label = lesion_from_code(csv_field(csv, at, columns->label));
    row->atypical = strcmp(atypical, "1") == 0 ? 1 : strcmp(atypical, "0") == 0 ? 0 : -1;
    if (!digest_parse(csv_field(csv, at, columns->sha256), &row->sha256))
        return error_set(err, STATUS_REJECTED, "line %d: sha256 is not 64 hexadecimal digits",
                         csv->lines[at]);
    if (row->label < 0)
        return error_set(err, STATUS_REJECTED, "line %d: label is none of the eight codes", csv->lines[at]);
    if (*atypical && row->atypical < 0)
        return error_set(err, STATUS_REJECTED, "line %d: atypical is neither 0 nor 1", csv->lines[at]);
    return read_probabilities(csv, at, columns, row, err);
}

static enum status from_csv(const struct csv *csv, struct predictions *predictions, struct error *err)
{
    struct columns columns = {0};
    if (csv->rows == 0)
        return error_set(err, STATUS_REJECTED, "there is no row below the names of the columns");
    enum status status = find_columns(csv, &columns, err);
    if (status != STATUS_OK)
        return status;
    predictions_init(predictions, csv->rows);
    for (size_t i = 0; i < csv->rows && status == STATUS_OK; i++)
        status = read_row(csv, i, &columns, &predictions->rows[i], err);
    if (status != STATUS_OK)
        predictions_release(predictions);
    return status;
}

enum status predictions_parse(struct bytes data, struct predictions *predictions, struct error *err)
{
    struct csv csv = {0};
    *predictions = (struct predictions){0};
    enum status status = csv_parse(data, &csv, err);
    if (status == STATUS_OK)
        status = from_csv(&csv, predictions, err);
    csv_release(&csv);
    return status;
}

enum status predictions_read(const char *folder, struct predictions *predictions, struct error *err)
{
    struct csv csv = {0};
    char *path = memory_format("%s/%s", folder, PREDICTIONS_FILE);
    *predictions = (struct predictions){0};
    enum status status = csv_read(path, &csv, err);
    if (status == STATUS_OK) {
        status = from_csv(&csv, predictions, err);
        if (status != STATUS_OK)
            error_prefix(err, "%s", path);
    }
    csv_release(&csv);
    free(path);
    return status;
}

// ---- writing ----

// A field in quotes, where it needs them.
static void write_text(FILE *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static void write_row(FILE *out, const struct prediction_row *row)
{
    char digest[DIGEST_TEXT_SIZE];
    digest_text(&row->sha256, digest);
    write_text(out, row->file);
    fprintf(out, ",%s,", digest);
    write_text(out, row->lesion);
    fprintf(out, ",%s", lesion_codes[row->label]);
    for (int i = 0; i < LESION_CLASSES; i++)
        fprintf(out, ",%.17g", row->p[i]);
    fprintf(out, ",%s\n", row->atypical < 0 ? "" : row->atypical ? "1" : "0");
}

enum status predictions_write(const struct predictions *predictions, struct buffer *out, struct error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return error_set(err, STATUS_FATAL, "no memory for a table of predictions");
    fputs("file,sha256,lesion_id,label", stream);
    for (int i = 0; i < LESION_CLASSES; i++)
        fprintf(stream, ",p_%s", lesion_codes[i]);
    fputs(",atypical\n", stream);
    for (size_t i = 0; i < predictions->count; i++)
        write_row(stream, &predictions->rows[i]);
    enum status status = fclose(stream) == 0
                             ? buffer_append(out, text, size, err)
                             : error_set(err, STATUS_FATAL, "no memory for a table of predictions");
    free(text);
    return status;
}
