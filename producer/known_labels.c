// known_labels.c: the rows sorted by the last names of their files.
#include "producer/known_labels.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/csv.h"
#include "common/base/memory.h"
#include "common/records/lesion.h"

struct row {
    const char *name; // last part of the file's path
    int lesion;
    int line;
};

struct known_labels {
    struct csv csv;
    struct row *rows; // (csv.rows)
};

static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int lesion_of(const char *label)
{
    for (int i = 0; i < LESION_CLASSES; i++)
        if (strcmp(label, lesion_codes[i]) == 0 || strcmp(label, lesion_names[i]) == 0)
            return i;
    return -1;
}

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static enum status read_rows(struct known_labels *labels, struct error *err)
{
    const struct csv *csv = &labels->csv;
    int file = csv_column(csv, "file"), label = csv_column(csv, "label");
    if (file < 0 || label < 0)
        return error_set(err, STATUS_REJECTED, "has no columns file and label");
    labels->rows = memory_alloc((csv->rows + 1) * sizeof *labels->rows);
    for (size_t i = 0; i < csv->rows; i++) {
        struct row *row = &labels->rows[i];
        *row = (struct row){last_name(csv_field(csv, i, file)), lesion_of(csv_field(csv, i, label)),
                            csv->lines[i]};
        if (row->lesion < 0)
            return error_set(err, STATUS_REJECTED,
                             "line %d: label '%.40s' is none of MEL, NV, BCC, AK, BKL, DF, VASC, SCC",
                             row->line, csv_field(csv, i, label));
    }
    qsort(labels->rows, csv->rows, sizeof *labels->rows, compare_rows);
    for (size_t i = 1; i < csv->rows; i++)
        if (strcmp(labels->rows[i - 1].name, labels->rows[i].name) == 0)
            return error_set(err, STATUS_REJECTED, "lines %d and %d: '%.80s' stands there twice",
                             labels->rows[i - 1].line, labels->rows[i].line, labels->rows[i].name);
    return STATUS_OK;
}

enum status known_labels_read(struct known_labels **result, const char *path, struct error *err)
{
    struct known_labels *labels = memory_alloc(sizeof *labels);
    enum status status = csv_read(path, &labels->csv, err);
    if (status == STATUS_OK && (status = read_rows(labels, err)) != STATUS_OK)
        error_prefix(err, "%s", path);
    if (status != STATUS_OK) {
        known_labels_free(labels);
        labels = NULL;
    }
    *result = labels;
    return status;
}

void known_labels_free(struct known_labels *labels)
{
    if (!labels)
        return;
    csv_release(&labels->csv);
    free(labels->rows);
    free(labels);
}

const char *known_labels_find(const struct known_labels *labels, const char *path)
{
    if (!labels)
        return NULL;
    struct row wanted = {.name = last_name(path)};
    const struct row *row =
        bsearch(&wanted, labels->rows, labels->csv.rows, sizeof *labels->rows, compare_rows);
    return row ? lesion_names[row->lesion] : NULL;
}
