// archive.c: the tables, the places that records have come from, and published reports.
#include "monitor/archive/archive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "monitor/archive/archive_internal.h"

enum {
    TIMEOUT_MS = 60 * 1000, // of one statement: an index over a year, on a slow disk
    CACHE_BYTES = 64 << 20,
};

// Parts share a database, so that each table has the part's name. An index on requests serves the search for
// the final record and keeps what is imported from coming twice.
static const struct sql_migration migrations[] = {
    {.text =
         "CREATE TABLE monitor_logs (log BIGINT PRIMARY KEY, topic TEXT NOT NULL, name TEXT NOT NULL UNIQUE);"
         "CREATE TABLE monitor_offsets (log BIGINT NOT NULL, part BIGINT NOT NULL, next_place BIGINT NOT "
         "NULL, "
         "refused BIGINT NOT NULL, witness BIGINT NOT NULL, writer TEXT NOT NULL, PRIMARY KEY (log, part));"
         "CREATE TABLE monitor_predictions (log BIGINT NOT NULL, part BIGINT NOT NULL, place BIGINT NOT "
         "NULL, "
         "digest BIGINT, at BIGINT NOT NULL, request BYTEA NOT NULL, image BYTEA NOT NULL, site TEXT NOT "
         "NULL, "
         "subject BYTEA NOT NULL, capture_device TEXT NOT NULL, lesion_location TEXT NOT NULL, "
         "dermatoscope BIGINT NOT NULL, fitzpatrick BIGINT NOT NULL, age_decade BIGINT NOT NULL, "
         "model TEXT NOT NULL, precision TEXT NOT NULL, device TEXT NOT NULL, error TEXT NOT NULL, "
         "class BIGINT NOT NULL, action BIGINT NOT NULL, abstained BIGINT NOT NULL, "
         "image_bytes BIGINT NOT NULL, cache_hit BIGINT NOT NULL, replayed BIGINT NOT NULL, "
         "moments BYTEA NOT NULL, numbers BYTEA NOT NULL, PRIMARY KEY (log, part, place));"
         "CREATE UNIQUE INDEX monitor_predictions_request ON monitor_predictions (request, digest);"
         "CREATE INDEX monitor_predictions_at ON monitor_predictions (at);"
         "CREATE TABLE monitor_feedback (log BIGINT NOT NULL, part BIGINT NOT NULL, place BIGINT NOT NULL, "
         "digest BIGINT, at BIGINT NOT NULL, feedback_id BYTEA NOT NULL, content BIGINT NOT NULL, "
         "request BYTEA NOT NULL, image BYTEA NOT NULL, label BIGINT NOT NULL, certainty BIGINT NOT NULL, "
         "reviewed_at BIGINT NOT NULL, lesion_id TEXT NOT NULL, atypical BIGINT NOT NULL, "
         "supersedes BYTEA NOT NULL, PRIMARY KEY (log, part, place));"
         "CREATE UNIQUE INDEX monitor_feedback_id ON monitor_feedback (feedback_id, digest);"
         "CREATE INDEX monitor_feedback_at ON monitor_feedback (at);"
         "CREATE TABLE monitor_reports (id TEXT PRIMARY KEY, kind TEXT NOT NULL, made_at BIGINT NOT NULL, "
         "request BYTEA NOT NULL, sha256 TEXT NOT NULL);"},
    {.text =
         "CREATE TABLE monitor_plans (place BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE, "
         "model_a TEXT NOT NULL, model_b TEXT NOT NULL, id TEXT NOT NULL, registered_at BIGINT NOT NULL, "
         "paired BIGINT NOT NULL, share_b DOUBLE PRECISION NOT NULL, p0 DOUBLE PRECISION NOT NULL, "
         "p1 DOUBLE PRECISION NOT NULL, worse DOUBLE PRECISION NOT NULL, margin DOUBLE PRECISION NOT NULL, "
         "alpha DOUBLE PRECISION NOT NULL, power_wanted DOUBLE PRECISION NOT NULL, "
         "power DOUBLE PRECISION NOT NULL, n_a BIGINT NOT NULL, n_b BIGINT NOT NULL, "
         "looks BIGINT NOT NULL);"},
    {.append_only = "monitor_plans"},
    {.text =
         "CREATE TABLE monitor_request_images (log BIGINT NOT NULL, part BIGINT NOT NULL, place BIGINT NOT "
         "NULL, request BYTEA NOT NULL, image BYTEA NOT NULL, PRIMARY KEY (log, part, place));"
         "CREATE INDEX monitor_request_images_request ON monitor_request_images (request);"},
    {.text = NULL},
};

enum status archive_open(struct archive **archive, const char *url, struct error *err)
{
    struct archive *made = memory_alloc(sizeof *made);
    job_request_id_new(made->writer);
    const struct sql_options options = {.url = url, .timeout_ms = TIMEOUT_MS, .cache_bytes = CACHE_BYTES};
    enum status status = sql_open(&made->sql, &options, err);
    if (status == STATUS_OK)
        status = sql_migrate(made->sql, "monitor", migrations, err);
    if (status != STATUS_OK) {
        archive_close(made);
        made = NULL;
    }
    *archive = made;
    return status;
}

void archive_close(struct archive *archive)
{
    if (!archive)
        return;
    archive_drop_truths(archive);
    sql_close(archive->sql);
    free(archive);
}

enum status archive_analyze(struct archive *archive, struct error *err)
{
    enum status status = sql_run(archive->sql, "ANALYZE monitor_predictions", NULL, 0, NULL, err);
    return status == STATUS_OK ? sql_run(archive->sql, "ANALYZE monitor_feedback", NULL, 0, NULL, err)
                               : status;
}

void archive_set_writer(struct archive *archive, const char writer[JOB_REQUEST_ID_SIZE])
{
    memcpy(archive->writer, writer, sizeof archive->writer);
}

// ---- places ----

struct search {
    const char *topic;
    bool anew;
    int64_t log;
};

// The last one may have been made anew more often than any operator would.
static enum status add_log(struct sql *sql, struct search *search, struct error *err)
{
    bool found;
    const struct sql_value topic = sql_of_text(search->topic);
    enum status status =
        sql_find(sql, "SELECT count(*) FROM monitor_logs WHERE topic = ?", &topic, 1, &found, err);
    long long before = status == STATUS_OK ? (long long)sql_integer(sql, 0) : 0;
    if (status == STATUS_OK)
        status = sql_find(sql, "SELECT coalesce(max(log), 0) + 1 FROM monitor_logs", NULL, 0, &found, err);
    if (status != STATUS_OK)
        return status;
    search->log = sql_integer(sql, 0);
    char *name =
        before == 0 ? memory_strdup(search->topic) : memory_format("%s~%lld", search->topic, before + 1);
    status = sql_run(sql, "INSERT INTO monitor_logs (log, topic, name) VALUES (?, ?, ?)",
                     VALUES(sql_of_integer(search->log), topic, sql_of_text(name)), NULL, err);
    free(name);
    return status;
}

static enum status find_log(struct sql *sql, void *context, struct error *err)
{
    struct search *search = context;
    bool found;
    if (search->anew)
        return add_log(sql, search, err);
    enum status status =
        sql_find(sql, "SELECT log FROM monitor_logs WHERE topic = ? ORDER BY log DESC LIMIT 1",
                 VALUES(sql_of_text(search->topic)), &found, err);
    if (status != STATUS_OK || !found)
        return status == STATUS_OK ? add_log(sql, search, err) : status;
    search->log = sql_integer(sql, 0);
    return STATUS_OK;
}

static enum status search_log(struct archive *archive, struct search search, int64_t *log, struct error *err)
{
    enum status status = sql_transaction(archive->sql, SQL_WRITE, find_log, &search, err);
    *log = search.log;
    return status;
}

enum status archive_log(struct archive *archive, const char *topic, int64_t *log, struct error *err)
{
    return search_log(archive, (struct search){.topic = topic}, log, err);
}

enum status archive_log_anew(struct archive *archive, const char *topic, int64_t *log, struct error *err)
{
    return search_log(archive, (struct search){.topic = topic, .anew = true}, log, err);
}

enum status archive_position(struct archive *archive, int64_t log, int32_t partition,
                             struct archive_position *position, struct error *err)
{
    bool found;
    enum status status =
        sql_find(archive->sql, "SELECT next_place, witness FROM monitor_offsets WHERE log = ? AND part = ?",
                 VALUES(sql_of_integer(log), sql_of_integer(partition)), &found, err);
    *position = (struct archive_position){.next = -1};
    if (status == STATUS_OK && found)
        *position = (struct archive_position){.next = sql_integer(archive->sql, 0),
                                              .witness = sql_integer(archive->sql, 1)};
    return status;
}

enum status archive_now(struct archive *archive, struct archive_as_of *as_of, struct error *err)
{
    bool more;
    *as_of = (struct archive_as_of){.time = clock_wall_ms()};
    as_of->places = memory_alloc(ARCHIVE_PLACES_MOST * sizeof *as_of->places);
    enum status status =
        sql_query(archive->sql,
                  "SELECT l.name, o.part, o.next_place FROM monitor_offsets o JOIN monitor_logs l "
                  "ON l.log = o.log ORDER BY l.name COLLATE \"C\", o.part",
                  NULL, 0, err);
    while (status == STATUS_OK && (status = sql_next(archive->sql, &more, err)) == STATUS_OK && more) {
        if (as_of->count == ARCHIVE_PLACES_MOST) {
            status = error_set(err, STATUS_REJECTED, "the archive has more than %d partitions",
                               ARCHIVE_PLACES_MOST);
            break;
        }
        struct archive_place *place = &as_of->places[as_of->count++];
        snprintf(place->topic, sizeof place->topic, "%s", sql_text(archive->sql, 0));
        place->partition = (int32_t)sql_integer(archive->sql, 1);
        place->next = sql_integer(archive->sql, 2);
    }
    sql_end(archive->sql);
    if (status != STATUS_OK)
        archive_as_of_release(as_of);
    return status;
}

enum status archive_first_answer(struct archive *archive, const char *model_version, int64_t *at,
                                 struct error *err)
{
    bool found;
    enum status status = sql_find(
        archive->sql, "SELECT at FROM monitor_predictions WHERE model = ? AND error = '' ORDER BY at LIMIT 1",
        VALUES(sql_of_text(model_version)), &found, err);
    *at = status == STATUS_OK && found ? sql_integer(archive->sql, 0) : -1;
    return status;
}

void archive_as_of_release(struct archive_as_of *as_of)
{
    free(as_of->places);
    *as_of = (struct archive_as_of){.time = 0};
}

// ---- reports ----

enum status archive_add_report(struct archive *archive, const struct archive_report *report,
                               struct error *err)
{
    return sql_run(archive->sql,
                   "INSERT INTO monitor_reports (id, kind, made_at, request, sha256) VALUES (?, ?, ?, ?, ?) "
                   "ON CONFLICT (id) DO NOTHING",
                   VALUES(sql_of_text(report->id), sql_of_text(report->kind), sql_of_integer(report->made_at),
                          sql_of_blob(report->request.data, report->request.size),
                          sql_of_text(report->sha256)),
                   NULL, err);
}

enum status archive_find_report(struct archive *archive, const char *id, struct archive_report *report,
                                struct error *err)
{
    bool found;
    enum status status =
        sql_find(archive->sql, "SELECT kind, made_at, request, sha256 FROM monitor_reports WHERE id = ?",
                 VALUES(sql_of_text(id)), &found, err);
    if (status != STATUS_OK)
        return status;
    if (!found)
        return error_set(err, STATUS_REJECTED, "there is no report of that id");
    *report = (struct archive_report){.made_at = sql_integer(archive->sql, 1),
                                      .request = sql_blob(archive->sql, 2)};
    snprintf(report->id, sizeof report->id, "%s", id);
    snprintf(report->kind, sizeof report->kind, "%s", sql_text(archive->sql, 0));
    snprintf(report->sha256, sizeof report->sha256, "%s", sql_text(archive->sql, 3));
    return STATUS_OK;
}
