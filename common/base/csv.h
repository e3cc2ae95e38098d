// csv.h: a table of texts from outside: RFC 4180, UTF-8, the first row names the columns.
//
// Quoted fields may hold commas, line breaks and doubled quotes. Lines end with LF or CRLF; a byte order mark
// and empty lines are passed over. The table owns all texts; it doesn't change after csv_parse, so any thread
// may read it.
#ifndef SKINSIGHT_COMMON_BASE_CSV_H
#define SKINSIGHT_COMMON_BASE_CSV_H

#include <stddef.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

enum { CSV_MOST_BYTES = 256 << 20, CSV_MOST_COLUMNS = 256, CSV_MOST_ROWS = 1 << 20 };

struct csv {
    char *text;    // of all fields
    char **fields; // (rows, columns), the row of names not among them
    char **names;  // (columns)
    int *lines;    // (rows): line of the file in which each row begins, from 1
    size_t rows, capacity;
    int columns;
};

// REJECTED says what is wrong and in which line: no row of names, a row with another number of fields, a
// quote out of place, a control character, more than the limits. FATAL: no memory. csv_release takes a table
// that failed, and a zeroed one.
enum status csv_parse(struct bytes data, struct csv *csv, struct error *err) MUST_CHECK;
// The file; the sentence names it.
enum status csv_read(const char *path, struct csv *csv, struct error *err) MUST_CHECK;
void csv_release(struct csv *csv);

int csv_column(const struct csv *csv, const char *name);              // index, or -1
const char *csv_field(const struct csv *csv, size_t row, int column); // "" where column is -1
// The columns' names for a sentence, "a, b, c", cut where size is too small.
void csv_list_names(const struct csv *csv, char *text, size_t size);

#endif
