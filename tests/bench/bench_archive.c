// bench_archive.c: the monitor's archive against the bare database.
//
//     bench_archive walk STORE DAYS           one walk over the last days of the archive: seconds, rows,
//     memory bench_archive parse FILE.jsonl          one thread makes batches of the lines, and nothing more
//     bench_archive inserts ARCHIVE.db NEW.db the archive's predictions into an equal table of a new file by
//     a bare
//                                             loop of prepared inserts, with the same transactions: only
//                                             these are timed
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/memory.h"
#include "monitor/archive/archive.h"
#include "monitor/archive/lines.h"

enum { DAY_MS = 86400000, COLUMNS_MOST = 64 };

static struct error err;

static void must(enum status status)
{
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "%s\n", err.message);
    exit(1);
}

static double processor_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void print(const char *what, int64_t rows, int64_t start_us, double start_s)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double seconds = (double)(clock_monotonic_us() - start_us) / 1e6, used_s = processor_s() - start_s;
    printf("%s: %" PRId64
           " rows, %.2f s, %.2f s of processor time, %.0f rows/s (%.0f by processor time), %ld MiB\n",
           what, rows, seconds, used_s, (double)rows / seconds, (double)rows / used_s, usage.ru_maxrss >> 10);
}

// ---- walk ----

struct counts {
    int64_t rows, labelled, newest;
};

static enum status count(void *context, const struct analysis *analysis, struct error *why)
{
    struct counts *counts = context;
    (void)why;
    counts->rows++;
    counts->labelled += analysis->truth.label >= 0;
    counts->newest = analysis->at;
    return STATUS_OK;
}

static void walk(const char *store, int64_t days)
{
    struct archive *archive;
    struct counts counts = {0};
    must(archive_open(&archive, store, &err));
    struct archive_filter filter = {.from = 0, .to = INT64_MAX};
    must(archive_walk(archive, &filter, count, &counts, &err));
    filter = (struct archive_filter){.from = counts.newest - days * DAY_MS, .to = counts.newest};
    counts = (struct counts){0};
    int64_t start_us = clock_monotonic_us();
    double start_s = processor_s();
    must(archive_walk(archive, &filter, count, &counts, &err));
    print("walk", counts.rows, start_us, start_s);
    struct archive_as_of now;
    must(archive_now(archive, &now, &err));
    filter.as_of = &now;
    must(archive_walk(archive, &filter, count, &counts, &err));
    counts = (struct counts){0};
    start_us = clock_monotonic_us();
    start_s = processor_s();
    must(archive_walk(archive, &filter, count, &counts, &err));
    print("walk once more", counts.rows, start_us, start_s);
    archive_as_of_release(&now);
    printf("%" PRId64 " have a label\n", counts.labelled);
    archive_close(archive);
}

// ---- parse ----

static void parse(const char *path)
{
    struct archive_batch *batch = archive_batch_new();
    const struct archive_origin origin = {1, ARCHIVE_IMPORTED, -1, clock_wall_ms()};
    struct lines lines;
    struct bytes line;
    bool cut, more;
    int64_t rows = 0, start_us = clock_monotonic_us();
    double start_s = processor_s();
    must(lines_open(&lines, path, &err));
    for (must(lines_next(&lines, &line, &cut, &more, &err)); more; rows++) {
        must(archive_batch_add_prediction(batch, line, &origin, &err));
        if (archive_batch_count(batch) == ARCHIVE_BATCH_MOST)
            archive_batch_clear(batch);
        must(lines_next(&lines, &line, &cut, &more, &err));
    }
    print("parse", rows, start_us, start_s);
    lines_close(&lines);
    archive_batch_free(batch);
}

// ---- a bare loop of inserts ----

static void run(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK)
        return;
    fprintf(stderr, "%s: %s\n", text, sqlite3_errmsg(db));
    exit(1);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *text)
{
    sqlite3_stmt *prepared;
    if (sqlite3_prepare_v2(db, text, -1, &prepared, NULL) == SQLITE_OK)
        return prepared;
    fprintf(stderr, "%s: %s\n", text, sqlite3_errmsg(db));
    exit(1);
}

// The tables and indexes of the archive, as its own text makes them.
static sqlite3 *open_new(const char *from, const char *path)
{
    sqlite3 *db;
    char *attach = memory_format("ATTACH '%s' AS old", from);
    if (sqlite3_open(path, &db) != SQLITE_OK)
        exit(1);
    run(db, attach);
    free(attach);
    run(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536");
    sqlite3_stmt *texts = prepare(
        db, "SELECT sql FROM old.sqlite_master WHERE tbl_name = 'monitor_predictions' AND sql NOT NULL "
            "ORDER BY type DESC");
    while (sqlite3_step(texts) == SQLITE_ROW)
        run(db, (const char *)sqlite3_column_text(texts, 0));
    sqlite3_finalize(texts);
    return db;
}

static void inserts(const char *from, const char *path)
{
    sqlite3 *db = open_new(from, path);
    sqlite3_stmt *rows = prepare(db, "SELECT * FROM old.monitor_predictions ORDER BY log, part, place");
    int columns = sqlite3_column_count(rows);
    char marks[3 * COLUMNS_MOST] = "?";
    for (int i = 1; i < columns; i++)
        strcat(marks, ", ?");
    char *text = memory_format("INSERT INTO main.monitor_predictions VALUES (%s)", marks);
    sqlite3_stmt *insert = prepare(db, text);
    sqlite3_value **values = memory_alloc((size_t)(ARCHIVE_BATCH_MOST * columns) * sizeof *values);
    int64_t total = 0, spent_us = 0;
    double spent_s = 0;
    for (int count = ARCHIVE_BATCH_MOST; count == ARCHIVE_BATCH_MOST;) {
        for (count = 0; count < ARCHIVE_BATCH_MOST && sqlite3_step(rows) == SQLITE_ROW; count++)
            for (int i = 0; i < columns; i++)
                values[count * columns + i] = sqlite3_value_dup(sqlite3_column_value(rows, i));
        int64_t start_us = clock_monotonic_us();
        double start_s = processor_s();
        run(db, "BEGIN IMMEDIATE");
        for (int row = 0; row < count; row++) {
            for (int i = 0; i < columns; i++)
                sqlite3_bind_value(insert, i + 1, values[row * columns + i]);
            if (sqlite3_step(insert) != SQLITE_DONE)
                exit(1);
            sqlite3_reset(insert);
        }
        run(db, "COMMIT");
        spent_us += clock_monotonic_us() - start_us;
        spent_s += processor_s() - start_s;
        total += count;
        for (int i = 0; i < count * columns; i++)
            sqlite3_value_free(values[i]);
    }
    print("inserts", total, clock_monotonic_us() - spent_us, processor_s() - spent_s);
    sqlite3_finalize(insert);
    sqlite3_finalize(rows);
    sqlite3_close(db);
    free(values);
    free(text);
}

int main(int argc, char **argv)
{
    json_prepare_memory();
    if (argc == 4 && strcmp(argv[1], "walk") == 0)
        walk(argv[2], atoll(argv[3]));
    else if (argc == 3 && strcmp(argv[1], "parse") == 0)
        parse(argv[2]);
    else if (argc == 4 && strcmp(argv[1], "inserts") == 0)
        inserts(argv[2], argv[3]);
    else
        return fprintf(stderr, "usage: bench_archive walk STORE DAYS | parse FILE | inserts ARCHIVE NEW\n"),
               2;
    return 0;
}
