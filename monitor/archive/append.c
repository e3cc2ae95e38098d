// append.c: a batch into the tables, and what is too old out of them.
#include <inttypes.h>
#include <string.h>

#include "monitor/archive/archive_internal.h"

enum { DAY_MS = 24 * 60 * 60 * 1000 };

struct append {
    const struct archive_batch *batch;
    const struct archive_step *steps;
    size_t count;
    const char *writer;
    int64_t added; // records that were not there yet
    int64_t first; // the next offset of what is imported
    struct row_bytes bytes;
};

static void fill_prediction(void *context, size_t row, struct sql_value *values)
{
    struct append *append = context;
    const struct prediction_row *prediction = &append->batch->predictions[row];
    bool imported = prediction->analysis.partition == ARCHIVE_IMPORTED;
    int64_t offset = imported ? append->first + (int64_t)row : prediction->analysis.offset;
    prediction_row_fill(prediction, offset, &append->bytes, values);
}

static void fill_feedback(void *context, size_t row, struct sql_value *values)
{
    struct append *append = context;
    const struct feedback_row *feedback = &append->batch->feedback[row];
    bool imported = feedback->partition == ARCHIVE_IMPORTED;
    int64_t offset = imported ? append->first + (int64_t)row : feedback->offset;
    feedback_row_fill(feedback, offset, &append->bytes, values);
}

static enum status load_predictions(struct sql *sql, struct append *append, int64_t *changed,
                                    struct error *err)
{
    const struct sql_load load = {.table = "monitor_predictions",
                                  .columns = prediction_columns,
                                  .column_count = PREDICTION_COLUMN_COUNT,
                                  .rows = append->batch->prediction_count,
                                  .fill = fill_prediction,
                                  .context = append};
    *changed = 0;
    return load.rows > 0 ? sql_load(sql, &load, changed, err) : STATUS_OK;
}

static enum status load_feedback(struct sql *sql, struct append *append, int64_t *changed, struct error *err)
{
    const struct sql_load load = {.table = "monitor_feedback",
                                  .columns = feedback_columns,
                                  .column_count = FEEDBACK_COLUMN_COUNT,
                                  .rows = append->batch->feedback_count,
                                  .fill = fill_feedback,
                                  .context = append};
    *changed = 0;
    return load.rows > 0 ? sql_load(sql, &load, changed, err) : STATUS_OK;
}

// ---- from topics ----

// A transaction of this writer's, whose commit was not answered and came late, is no other monitor.
static enum status tell_lost(struct sql *sql, const struct append *append, const struct archive_step *step,
                             struct error *err)
{
    bool found;
    enum status status =
        sql_find(sql, "SELECT writer FROM monitor_offsets WHERE log = ? AND part = ?",
                 VALUES(sql_of_integer(step->log), sql_of_integer(step->partition)), &found, err);
    if (status != STATUS_OK)
        return status;
    if (found && strcmp(sql_text(sql, 0), append->writer) == 0)
        return error_set(err, STATUS_RETRY, "what was written to %s before is there after all",
                         sql_name(sql));
    return error_set(err, STATUS_REJECTED,
                     "another monitor writes to %s: partition %" PRId32 " is no longer at %" PRId64,
                     sql_name(sql), step->partition, step->from);
}

static enum status advance(struct sql *sql, const struct append *append, const struct archive_step *step,
                           struct error *err)
{
    int64_t changed;
    enum status status =
        step->from < 0
            ? sql_run(sql,
                      "INSERT INTO monitor_offsets (log, part, next_place, refused, witness, writer) "
                      "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (log, part) DO NOTHING",
                      VALUES(sql_of_integer(step->log), sql_of_integer(step->partition),
                             sql_of_integer(step->to), sql_of_integer(step->refused),
                             sql_of_integer(step->witness), sql_of_text(append->writer)),
                      &changed, err)
            : sql_run(sql,
                      "UPDATE monitor_offsets SET next_place = ?, refused = refused + ?, witness = ?, "
                      "writer = ? WHERE log = ? AND part = ? AND next_place = ?",
                      VALUES(sql_of_integer(step->to), sql_of_integer(step->refused),
                             sql_of_integer(step->witness), sql_of_text(append->writer),
                             sql_of_integer(step->log), sql_of_integer(step->partition),
                             sql_of_integer(step->from)),
                      &changed, err);
    if (status == STATUS_OK && changed != 1)
        return tell_lost(sql, append, step, err);
    return status;
}

static enum status append_all(struct sql *sql, void *context, struct error *err)
{
    struct append *append = context;
    int64_t predictions = 0, feedback = 0;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < append->count && status == STATUS_OK; i++)
        status = advance(sql, append, &append->steps[i], err);
    if (status == STATUS_OK)
        status = load_predictions(sql, append, &predictions, err);
    if (status == STATUS_OK)
        status = load_feedback(sql, append, &feedback, err);
    append->added = predictions + feedback;
    return status;
}

enum status archive_append(struct archive *archive, const struct archive_batch *batch,
                           const struct archive_step *steps, size_t count, int64_t *added, struct error *err)
{
    struct append append = {.batch = batch, .steps = steps, .count = count, .writer = archive->writer};
    enum status status = sql_transaction(archive->sql, SQL_WRITE, append_all, &append, err);
    if (added)
        *added = append.added;
    return status;
}

// ---- imported ----

// Reads the next offset of what was imported into that log; 0 where nothing was.
static enum status find_first(struct sql *sql, int64_t log, int64_t *first, struct error *err)
{
    bool found;
    enum status status = sql_find(sql, "SELECT next_place FROM monitor_offsets WHERE log = ? AND part = ?",
                                  VALUES(sql_of_integer(log), sql_of_integer(ARCHIVE_IMPORTED)), &found, err);
    *first = status == STATUS_OK && found ? sql_integer(sql, 0) : 0;
    return status;
}

static enum status set_next(struct sql *sql, int64_t log, int64_t next, struct error *err)
{
    return sql_run(sql,
                   "INSERT INTO monitor_offsets (log, part, next_place, refused, witness, writer) "
                   "VALUES (?, ?, ?, 0, 0, '') "
                   "ON CONFLICT (log, part) DO UPDATE SET next_place = excluded.next_place",
                   VALUES(sql_of_integer(log), sql_of_integer(ARCHIVE_IMPORTED), sql_of_integer(next)), NULL,
                   err);
}

// Offsets of records that were there already stay unused, as those that compaction takes from a topic.
static enum status import_rows(struct sql *sql, struct append *append, int64_t log, int64_t rows,
                               enum status (*load)(struct sql *sql, struct append *append, int64_t *changed,
                                                   struct error *err),
                               struct error *err)
{
    int64_t changed = 0;
    if (rows == 0)
        return STATUS_OK;
    enum status status = find_first(sql, log, &append->first, err);
    if (status == STATUS_OK)
        status = load(sql, append, &changed, err);
    append->added += changed;
    if (status == STATUS_OK && changed > 0)
        status = set_next(sql, log, append->first + rows, err);
    return status;
}

static enum status import_all(struct sql *sql, void *context, struct error *err)
{
    struct append *append = context;
    const struct archive_batch *batch = append->batch;
    append->added = 0; // it may be another try
    enum status status = import_rows(sql, append, batch->predictions[0].log, (int64_t)batch->prediction_count,
                                     load_predictions, err);
    if (status == STATUS_OK)
        status = import_rows(sql, append, batch->feedback[0].log, (int64_t)batch->feedback_count,
                             load_feedback, err);
    return status;
}

enum status archive_import(struct archive *archive, const struct archive_batch *batch, int64_t *added,
                           struct error *err)
{
    struct append append = {.batch = batch};
    enum status status = sql_transaction(archive->sql, SQL_WRITE, import_all, &append, err);
    *added = append.added;
    return status;
}

// ---- retention ----

struct forget {
    int64_t before, forgotten;
    bool more;
};

// A label goes with the last answer to its request or of its image, or of an image that its request was
// answered for; one that has no answer, by its own time. One that withdraws a label stays as long as that
// one. As the text runs first, answers that stay are those from `end` on (+: all of them are read, whatever
// index there is).
static const char forget_feedback_text[] =
    "WITH RECURSIVE answered AS (SELECT p.request, p.image FROM monitor_predictions p WHERE p.at < ? AND "
    "length(p.request) > 0 UNION SELECT r.request, r.image FROM monitor_request_images r), "
    "touched AS (SELECT f.log, f.part, f.place, f.feedback_id, f.request, f.image, f.supersedes "
    "FROM monitor_feedback f WHERE (f.at < ? OR f.request IN (SELECT a.request FROM answered a) OR "
    "f.image IN (SELECT p.image FROM monitor_predictions p WHERE p.at < ? AND length(p.image) > 0)) "
    "AND NOT EXISTS (SELECT 1 FROM monitor_predictions p WHERE p.request = f.request AND "
    "length(p.request) > 0 AND p.at >= ?)), "
    "images AS (SELECT t.log, t.part, t.place, t.image FROM touched t WHERE length(t.image) > 0 UNION ALL "
    "SELECT t.log, t.part, t.place, a.image FROM touched t JOIN answered a ON a.request = t.request), "
    "staying AS (SELECT p.image FROM monitor_predictions p WHERE +p.at >= ? AND length(p.image) > 0 AND "
    "p.image IN (SELECT i.image FROM images i)), "
    "going AS (SELECT t.log, t.part, t.place FROM touched t EXCEPT SELECT i.log, i.part, i.place FROM images "
    "i WHERE i.image IN (SELECT s.image FROM staying s)), "
    "withdrawals AS (SELECT t.feedback_id, t.supersedes FROM touched t WHERE length(t.supersedes) > 0), "
    "needed AS (SELECT w.feedback_id FROM withdrawals w JOIN monitor_feedback f ON f.feedback_id = "
    "w.supersedes LEFT JOIN going g ON g.log = f.log AND g.part = f.part AND g.place = f.place "
    "WHERE g.log IS NULL UNION SELECT w.feedback_id FROM withdrawals w JOIN needed n ON w.supersedes = "
    "n.feedback_id) "
    "DELETE FROM monitor_feedback WHERE (log, part, place) IN (SELECT g.log, g.part, g.place FROM going g "
    "EXCEPT SELECT t.log, t.part, t.place FROM touched t WHERE t.feedback_id IN (SELECT n.feedback_id FROM "
    "needed n))";

// What a label that stays names its image by.
static const char keep_images_text[] =
    "INSERT INTO monitor_request_images (log, part, place, request, image) SELECT p.log, p.part, p.place, "
    "p.request, p.image FROM monitor_predictions p WHERE p.at < ? AND length(p.request) > 0 AND "
    "length(p.image) > 0 AND p.request IN (SELECT f.request FROM monitor_feedback f) "
    "ON CONFLICT (log, part, place) DO NOTHING";
static const char forget_images_text[] =
    "DELETE FROM monitor_request_images WHERE request IN (SELECT r.request FROM monitor_request_images r "
    "EXCEPT SELECT f.request FROM monitor_feedback f)";

// Where the oldest day of answers that is to go ends; `before` where there is none.
static enum status find_oldest_day(struct sql *sql, struct forget *forget, int64_t *end, struct error *err)
{
    bool found;
    *end = forget->before;
    enum status status = sql_find(sql, "SELECT min(at) FROM monitor_predictions WHERE at < ?",
                                  VALUES(sql_of_integer(forget->before)), &found, err);
    if (status != STATUS_OK || sql_is_null(sql, 0))
        return status;
    int64_t day = sql_integer(sql, 0) / DAY_MS * DAY_MS + DAY_MS;
    if (day < forget->before) {
        *end = day;
        forget->more = true;
    }
    return status;
}

static enum status forget_day(struct sql *sql, void *context, struct error *err)
{
    struct forget *forget = context;
    int64_t end, predictions = 0, feedback = 0;
    forget->more = false;
    enum status status = find_oldest_day(sql, forget, &end, err);
    const struct sql_value day = sql_of_integer(end);
    if (status == STATUS_OK)
        status = sql_run(sql, forget_feedback_text, VALUES(day, day, day, day, day), &feedback, err);
    if (status == STATUS_OK)
        status = sql_run(sql, keep_images_text, &day, 1, NULL, err);
    if (status == STATUS_OK)
        status = sql_run(sql, "DELETE FROM monitor_predictions WHERE at < ?", &day, 1, &predictions, err);
    if (status == STATUS_OK)
        status = sql_run(sql, forget_images_text, NULL, 0, NULL, err);
    forget->forgotten = predictions + feedback;
    return status;
}

enum status archive_forget(struct archive *archive, int64_t before, int64_t *forgotten, bool *more,
                           struct error *err)
{
    struct forget forget = {.before = before / DAY_MS * DAY_MS};
    archive_drop_truths(archive);
    enum status status = sql_transaction(archive->sql, SQL_WRITE, forget_day, &forget, err);
    *forgotten = forget.forgotten;
    *more = forget.more;
    return status;
}
