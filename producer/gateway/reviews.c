// reviews.c: statements on reviews and models.
#include "producer/gateway/reviews.h"

#include <inttypes.h>

#include "common/base/json_write.h"

enum { MODELS_MOST = 100 };

#define OPEN "review_due_at IS NOT NULL AND review_closed_at IS NULL AND state = 3"

enum status reviews_list(struct sql *sql, const char *site, bool overdue_only, int64_t now,
                         struct buffer *out, struct error *err)
{
    struct json_writer writer;
    bool more = false;
    const struct sql_value values[] = {sql_of_text(site), sql_of_integer(overdue_only ? now : INT64_MAX),
                                       sql_of_integer(REVIEWS_MOST)};
    enum status status =
        sql_query(sql,
                  "SELECT request_id, answered_at, review_due_at FROM requests"
                  " WHERE site = ? AND review_due_at < ? AND " OPEN " ORDER BY review_due_at LIMIT ?",
                  values, sizeof values / sizeof *values, err);
    json_write_begin(&writer, out, err);
    json_add_object(&writer, NULL);
    json_add_array(&writer, "reviews");
    while (status == STATUS_OK && (status = sql_next(sql, &more, err)) == STATUS_OK && more) {
        json_add_object(&writer, NULL);
        json_add_text(&writer, "request_id", sql_text(sql, 0));
        json_add_integer(&writer, "answered_at", sql_integer(sql, 1));
        json_add_integer(&writer, "due_at", sql_integer(sql, 2));
        json_add_text(&writer, "state", sql_integer(sql, 2) < now ? "overdue" : "open");
        json_end_object(&writer);
    }
    sql_end(sql);
    json_end_array(&writer);
    json_end_object(&writer);
    enum status written = json_write_end(&writer);
    return status == STATUS_OK ? written : status;
}

enum status reviews_close(struct sql *sql, const struct feedback *feedback, int64_t now, bool *closed,
                          struct error *err)
{
    int64_t changed = 0;
    const struct sql_value values[] = {sql_of_integer(now), sql_of_text(feedback->feedback_id),
                                       sql_of_text(feedback->request_id), sql_of_text(feedback->feedback_id)};
    enum status status = sql_run(sql,
                                 "UPDATE requests SET review_closed_at = COALESCE(review_closed_at, ?),"
                                 " review_closed_by = ? WHERE request_id = ? AND review_due_at IS NOT NULL"
                                 " AND state = 3 AND (review_closed_at IS NULL OR review_closed_by = ?)",
                                 values, sizeof values / sizeof *values, &changed, err);
    *closed = changed > 0;
    return status;
}

enum status reviews_count_overdue(struct sql *sql, int64_t now, int64_t *count, struct error *err)
{
    bool found = false;
    const struct sql_value before = sql_of_integer(now);
    enum status status = sql_find(sql, "SELECT count(*) FROM requests WHERE review_due_at < ? AND " OPEN,
                                  &before, 1, &found, err);
    *count = status == STATUS_OK && found ? sql_integer(sql, 0) : 0;
    return status;
}

enum status models_note(struct sql *sql, const struct seen_model *model, int64_t now, struct error *err)
{
    const struct sql_value values[] = {sql_of_text(model->model_version ? model->model_version : ""),
                                       sql_of_text(model->weights_sha256 ? model->weights_sha256 : ""),
                                       sql_of_integer(model->trained), sql_of_integer(now)};
    return sql_run(
        sql,
        "INSERT INTO models (model_version, weights_sha256, trained, last_seen) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (model_version, weights_sha256) DO UPDATE"
        " SET trained = excluded.trained, last_seen = excluded.last_seen",
        values, sizeof values / sizeof *values, NULL, err);
}

enum status models_list(struct sql *sql, struct buffer *out, struct error *err)
{
    struct json_writer writer;
    bool more = false;
    const struct sql_value most = sql_of_integer(MODELS_MOST);
    enum status status = sql_query(sql,
                                   "SELECT model_version, weights_sha256, trained, last_seen FROM models"
                                   " ORDER BY last_seen DESC, model_version LIMIT ?",
                                   &most, 1, err);
    json_write_begin(&writer, out, err);
    json_add_object(&writer, NULL);
    json_add_array(&writer, "models");
    while (status == STATUS_OK && (status = sql_next(sql, &more, err)) == STATUS_OK && more) {
        json_add_object(&writer, NULL);
        json_add_text(&writer, "model_version", sql_text(sql, 0));
        json_add_text(&writer, "weights_sha256", sql_text(sql, 1));
        json_add_bool(&writer, "trained", sql_integer(sql, 2) == 1);
        json_add_integer(&writer, "last_seen", sql_integer(sql, 3));
        json_end_object(&writer);
    }
    sql_end(sql);
    json_end_array(&writer);
    json_end_object(&writer);
    enum status written = json_write_end(&writer);
    return status == STATUS_OK ? written : status;
}
