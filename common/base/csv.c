// csv.c: one pass over a copy of the text; fields are unquoted and ended where they stand.
#include "common/base/csv.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/memory.h"

struct reader {
    char *at, *end; // one byte behind end is ours too
    int line;
    char *fields[CSV_MOST_COLUMNS];
    int count;
    struct error *err;
};

_Static_assert(CSV_MOST_COLUMNS == 256, "as the sentence says");

static enum status refuse(const struct reader *reader, const char *what)
{
    return error_set(reader->err, STATUS_REJECTED, "line %d: %s", reader->line, what);
}

static bool is_line_end(const struct reader *reader)
{
    return reader->at == reader->end || *reader->at == '\n' ||
           (*reader->at == '\r' && reader->at + 1 < reader->end && reader->at[1] == '\n');
}

// Unquotes in place; at stands behind the closing quote afterwards, *last where the text ends.
static enum status read_quoted(struct reader *reader, char **last)
{
    char *to = reader->at++;
    for (; reader->at < reader->end; reader->at++) {
        if (*reader->at == '"') {
            reader->at++;
            if (reader->at == reader->end || *reader->at != '"') {
                *last = to;
                return STATUS_OK;
            }
        }
        reader->line += *reader->at == '\n';
        *to++ = *reader->at;
    }
    return refuse(reader, "a quote is not closed");
}

static enum status read_plain(struct reader *reader, char **last)
{
    for (; !is_line_end(reader) && *reader->at != ','; reader->at++) {
        if (*reader->at == '"')
            return refuse(reader, "a quote inside a field that does not begin with one");
        if ((uint8_t)*reader->at < 0x20)
            return refuse(reader, "a control character");
    }
    *last = reader->at;
    return STATUS_OK;
}

// *more: another field of this row follows.
static enum status read_field(struct reader *reader, bool *more)
{
    if (reader->count == CSV_MOST_COLUMNS)
        return refuse(reader, "more than 256 columns");
    char *last = NULL;
    bool quoted = reader->at < reader->end && *reader->at == '"';
    reader->fields[reader->count++] = reader->at;
    enum status status = quoted ? read_quoted(reader, &last) : read_plain(reader, &last);
    if (status != STATUS_OK)
        return status;
    if (!is_line_end(reader) && *reader->at != ',')
        return refuse(reader, "text behind a closing quote");
    *more = reader->at < reader->end && *reader->at == ',';
    if (!*more)
        reader->line++;
    if (reader->at < reader->end)
        reader->at += *reader->at == '\r' ? 2 : 1;
    *last = '\0'; // behind what was read, so nothing is lost
    return STATUS_OK;
}

// One row that is not empty; count 0 at the end of the text. *line: where it begins.
static enum status read_row(struct reader *reader, int *line)
{
    bool more = false;
    reader->count = 0;
    while (reader->at < reader->end && is_line_end(reader)) {
        reader->line++;
        reader->at += *reader->at == '\r' ? 2 : 1;
    }
    *line = reader->line;
    if (reader->at == reader->end)
        return STATUS_OK;
    enum status status;
    do
        status = read_field(reader, &more);
    while (status == STATUS_OK && more);
    return status;
}

static enum status add_row(struct csv *csv, struct reader *reader, int line)
{
    if (reader->count != csv->columns)
        return error_set(reader->err, STATUS_REJECTED, "line %d has %d fields, the first row names %d", line,
                         reader->count, csv->columns);
    if (csv->rows == CSV_MOST_ROWS)
        return error_set(reader->err, STATUS_REJECTED, "more than %d rows", CSV_MOST_ROWS);
    size_t columns = (size_t)csv->columns;
    if (csv->rows == csv->capacity) {
        csv->capacity = csv->capacity ? 2 * csv->capacity : 256;
        csv->fields = memory_realloc(csv->fields, csv->capacity * columns * sizeof *csv->fields);
        csv->lines = memory_realloc(csv->lines, csv->capacity * sizeof *csv->lines);
    }
    memcpy(csv->fields + csv->rows * columns, reader->fields, columns * sizeof *csv->fields);
    csv->lines[csv->rows++] = line;
    return STATUS_OK;
}

static enum status read_names(struct csv *csv, struct reader *reader)
{
    int line;
    enum status status = read_row(reader, &line);
    if (status != STATUS_OK)
        return status;
    if (reader->count == 0)
        return error_set(reader->err, STATUS_REJECTED, "it is empty; the first row names the columns");
    csv->columns = reader->count;
    csv->names = memory_alloc((size_t)reader->count * sizeof *csv->names);
    memcpy(csv->names, reader->fields, (size_t)reader->count * sizeof *csv->names);
    for (int i = 0; i < csv->columns; i++)
        if (csv_column(csv, csv->names[i]) != i)
            return error_set(reader->err, STATUS_REJECTED, "two columns have the name '%s'", csv->names[i]);
    return STATUS_OK;
}

enum status csv_parse(struct bytes data, struct csv *csv, struct error *err)
{
    static const char mark[] = "\xef\xbb\xbf";
    *csv = (struct csv){0};
    if (data.size > CSV_MOST_BYTES)
        return error_set(err, STATUS_REJECTED, "more than %d bytes", CSV_MOST_BYTES);
    if (data.size > 0 && memchr(data.data, 0, data.size))
        return error_set(err, STATUS_REJECTED, "a byte of it is 0: it is no CSV");
    csv->text = memory_try_alloc(data.size + 1);
    if (!csv->text)
        return error_set(err, STATUS_FATAL, "no memory for a table of %zu bytes", data.size);
    if (data.size > 0)
        memcpy(csv->text, data.data, data.size);
    csv->text[data.size] = '\0';
    struct reader reader = {.at = csv->text, .end = csv->text + data.size, .line = 1, .err = err};
    if (strncmp(csv->text, mark, sizeof mark - 1) == 0)
        reader.at += sizeof mark - 1;
    enum status status = read_names(csv, &reader);
    while (status == STATUS_OK) {
        int line;
        status = read_row(&reader, &line);
        if (status == STATUS_OK && reader.count == 0)
            break;
        if (status == STATUS_OK)
            status = add_row(csv, &reader, line);
    }
    return status;
}

enum status csv_read(const char *path, struct csv *csv, struct error *err)
{
    struct buffer data;
    *csv = (struct csv){0};
    buffer_init(&data, CSV_MOST_BYTES);
    enum status status = file_read(path, &data, err);
    if (status == STATUS_OK) {
        status = csv_parse(buffer_bytes(&data), csv, err);
        if (status != STATUS_OK)
            error_prefix(err, "%s", path);
    }
    buffer_release(&data);
    return status;
}

void csv_release(struct csv *csv)
{
    free(csv->text);
    free(csv->fields);
    free(csv->names);
    free(csv->lines);
    *csv = (struct csv){0};
}

int csv_column(const struct csv *csv, const char *name)
{
    for (int i = 0; i < csv->columns; i++)
        if (strcmp(csv->names[i], name) == 0)
            return i;
    return -1;
}

const char *csv_field(const struct csv *csv, size_t row, int column)
{
    return column < 0 ? "" : csv->fields[row * (size_t)csv->columns + (size_t)column];
}

void csv_list_names(const struct csv *csv, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < csv->columns && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", csv->names[i]);
}
