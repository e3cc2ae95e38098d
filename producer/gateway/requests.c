// requests.c: the table of requests and its statements.
#include "producer/gateway/requests.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct sql_migration migrations[] = {
    {.text = "CREATE TABLE requests ("
             " request_id TEXT PRIMARY KEY,"
             " site TEXT NOT NULL,"
             " content BYTEA NOT NULL,"
             " image_sha256 TEXT NOT NULL,"
             " state BIGINT NOT NULL," // enum request_state
             " attempt BIGINT NOT NULL,"
             " owner TEXT NOT NULL,"
             " lease_until BIGINT NOT NULL,"
             " accepted_at BIGINT NOT NULL,"
             " deadline_at BIGINT NOT NULL,"
             " place TEXT NOT NULL,"
             " problem TEXT NOT NULL," // its code; empty: none
             " detail TEXT NOT NULL,"
             " reply BYTEA,"
             " map_uri TEXT NOT NULL,"
             " answered_at BIGINT,"
             " review_due_at BIGINT,"
             " review_closed_at BIGINT);"
             "CREATE INDEX requests_open ON requests (lease_until) WHERE state < 3;"
             "CREATE INDEX requests_age ON requests (accepted_at);"
             "CREATE INDEX requests_reviews ON requests (site, review_due_at)"
             " WHERE review_due_at IS NOT NULL AND review_closed_at IS NULL;"},
    {.text = "CREATE TABLE models ("
             " model_version TEXT NOT NULL,"
             " weights_sha256 TEXT NOT NULL,"
             " trained BIGINT NOT NULL,"
             " last_seen BIGINT NOT NULL,"
             " PRIMARY KEY (model_version, weights_sha256));"},
    {.text = "ALTER TABLE requests ADD COLUMN review_closed_by TEXT;"}, // a feedback_id
    {.text = "ALTER TABLE requests ADD COLUMN submitted_at BIGINT NOT NULL DEFAULT 0;"},
    {0},
};

// In the order of read_row.
#define COLUMNS                                                                                              \
    "request_id, site, content, image_sha256, state, attempt, owner, lease_until, accepted_at, deadline_at," \
    " place, submitted_at"

enum { COLUMN_PROBLEM = 12, COLUMN_DETAIL, COLUMN_MAP, COLUMN_REPLY }; // behind them

void requests_place(char place[REQUEST_PLACE_SIZE], const char *topic, int32_t partition, int64_t offset)
{
    snprintf(place, REQUEST_PLACE_SIZE, "%.249s/%" PRId32 "/%" PRId64, topic, partition, offset);
}

enum status requests_migrate(struct sql *sql, struct error *err)
{
    return sql_migrate(sql, "gateway", migrations, err);
}

// A record of an attempt before has an earlier job. Gateways' clocks may differ, which only makes it fit.
static bool may_be_of_attempt(const struct request_row *row, const struct prediction *prediction)
{
    int64_t submitted = prediction->provenance.submitted;
    return submitted < 0 || submitted >= row->submitted_at;
}

bool request_row_fits(const struct request_row *row, const struct prediction *prediction)
{
    const struct prediction_provenance *provenance = &prediction->provenance;
    char place[REQUEST_PLACE_SIZE] = "";
    if (provenance->source.topic)
        requests_place(place, provenance->source.topic, (int32_t)provenance->source.partition,
                       provenance->source.offset);
    if (row->place[0])
        return strcmp(row->place, place) == 0;
    const char *site = prediction->context.site;
    return prediction->request_id && strcmp(prediction->request_id, row->request_id) == 0 &&
           (!site || strcmp(site, row->site) == 0) &&
           (!provenance->image_sha256[0] || strcmp(provenance->image_sha256, row->image_sha256) == 0) &&
           may_be_of_attempt(row, prediction);
}

#define COPY(target, column) snprintf(target, sizeof(target), "%s", sql_text(sql, column))

static void read_row(struct sql *sql, struct request_row *row)
{
    struct bytes content = sql_blob(sql, 2);
    *row = (struct request_row){.state = (enum request_state)sql_integer(sql, 4),
                                .attempt = sql_integer(sql, 5),
                                .lease_until = sql_integer(sql, 7),
                                .accepted_at = sql_integer(sql, 8),
                                .deadline_at = sql_integer(sql, 9),
                                .submitted_at = sql_integer(sql, 11)};
    if (content.size == DIGEST_SIZE)
        memcpy(row->content.value, content.data, DIGEST_SIZE);
    COPY(row->request_id, 0);
    COPY(row->site, 1);
    COPY(row->image_sha256, 3);
    COPY(row->owner, 6);
    COPY(row->place, 10);
}

void request_outcome_init(struct request_outcome *outcome)
{
    *outcome = (struct request_outcome){.problem = PROBLEM_NONE};
    buffer_init(&outcome->reply, REQUEST_REPLY_MOST);
}

void request_outcome_release(struct request_outcome *outcome)
{
    buffer_release(&outcome->reply);
}

static enum status read_outcome(struct sql *sql, struct request_outcome *outcome, struct error *err)
{
    const char *problem = sql_text(sql, COLUMN_PROBLEM);
    struct bytes reply = sql_blob(sql, COLUMN_REPLY);
    outcome->problem = *problem ? problem_of_code(problem) : PROBLEM_NONE;
    COPY(outcome->detail, COLUMN_DETAIL);
    COPY(outcome->map_uri, COLUMN_MAP);
    return buffer_append(&outcome->reply, reply.data, reply.size, err);
}

enum status requests_find(struct sql *sql, const char *request_id, struct request_row *row,
                          struct request_outcome *outcome, bool *found, struct error *err)
{
    const struct sql_value id = sql_of_text(request_id);
    enum status status = sql_find(sql,
                                  "SELECT " COLUMNS ", problem, detail, map_uri, reply"
                                  " FROM requests WHERE request_id = ?",
                                  &id, 1, found, err);
    if (status != STATUS_OK || !*found)
        return status;
    read_row(sql, row);
    return outcome && row->state == REQUEST_ANSWERED ? read_outcome(sql, outcome, err) : STATUS_OK;
}

static enum status change(struct sql *sql, const char *text, const struct sql_value *values, size_t count,
                          bool *done, struct error *err)
{
    int64_t changed = 0;
    enum status status = sql_run(sql, text, values, count, &changed, err);
    *done = changed > 0;
    return status;
}

#define COUNT(values) (sizeof(values) / sizeof *(values))

enum status requests_accept(struct sql *sql, const struct request_row *row, bool *done, struct error *err)
{
    const struct sql_value values[] = {sql_of_text(row->request_id),
                                       sql_of_text(row->site),
                                       sql_of_blob(row->content.value, DIGEST_SIZE),
                                       sql_of_text(row->image_sha256),
                                       sql_of_integer(REQUEST_ACCEPTED),
                                       sql_of_integer(row->attempt),
                                       sql_of_text(row->owner),
                                       sql_of_integer(row->lease_until),
                                       sql_of_integer(row->accepted_at),
                                       sql_of_integer(row->deadline_at),
                                       sql_of_integer(row->submitted_at)};
    return change(sql,
                  "INSERT INTO requests (request_id, site, content, image_sha256, state, attempt, owner,"
                  " lease_until, accepted_at, deadline_at, submitted_at, place, problem, detail, map_uri)"
                  " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', '', '')"
                  " ON CONFLICT (request_id) DO NOTHING",
                  values, COUNT(values), done, err);
}

enum status requests_take(struct sql *sql, const struct request_row *seen, const struct request_row *row,
                          bool *done, struct error *err)
{
    const struct sql_value values[] = {
        sql_of_integer(row->attempt),     sql_of_text(row->owner),          sql_of_integer(row->lease_until),
        sql_of_integer(row->accepted_at), sql_of_integer(row->deadline_at), sql_of_integer(row->submitted_at),
        sql_of_text(row->request_id),     sql_of_integer(seen->state),      sql_of_integer(seen->attempt),
        sql_of_text(seen->owner),         sql_of_integer(seen->lease_until)};
    return change(sql,
                  "UPDATE requests SET state = 1, attempt = ?, owner = ?, lease_until = ?, accepted_at = ?,"
                  " deadline_at = ?, submitted_at = ?, place = '', problem = '', detail = '', reply = NULL, "
                  "map_uri = '',"
                  " answered_at = NULL, review_due_at = NULL"
                  " WHERE request_id = ? AND state = ? AND attempt = ? AND owner = ? AND lease_until = ?",
                  values, COUNT(values), done, err);
}

enum status requests_queue(struct sql *sql, const struct request_row *row, bool *done, struct error *err)
{
    const struct sql_value values[] = {sql_of_text(row->place), sql_of_text(row->request_id),
                                       sql_of_integer(row->attempt), sql_of_text(row->owner)};
    return change(sql,
                  "UPDATE requests SET state = 2, place = ?"
                  " WHERE request_id = ? AND state = 1 AND attempt = ? AND owner = ?",
                  values, COUNT(values), done, err);
}

enum status requests_release(struct sql *sql, const struct request_row *row, struct error *err)
{
    const struct sql_value values[] = {sql_of_text(row->request_id), sql_of_integer(row->attempt),
                                       sql_of_text(row->owner)};
    return sql_run(sql,
                   "UPDATE requests SET owner = '', lease_until = 0"
                   " WHERE request_id = ? AND state = 1 AND attempt = ? AND owner = ?",
                   values, COUNT(values), NULL, err);
}

enum status requests_answer(struct sql *sql, const struct request_row *row,
                            const struct request_outcome *outcome, const struct request_times *times,
                            bool *done, struct error *err)
{
    bool good = outcome->problem == PROBLEM_NONE;
    const struct sql_value values[] = {
        sql_of_text(good ? "" : problem_code(outcome->problem)),
        sql_of_text(outcome->detail),
        good ? sql_of_blob(outcome->reply.data, outcome->reply.size) : sql_null(),
        sql_of_text(outcome->map_uri),
        sql_of_integer(times->answered_at),
        times->review_due_at >= 0 ? sql_of_integer(times->review_due_at) : sql_null(),
        sql_of_text(row->request_id),
        sql_of_integer(row->attempt),
        sql_of_text(row->place)};
    return change(sql,
                  "UPDATE requests SET state = 3, problem = ?, detail = ?, reply = ?, map_uri = ?,"
                  " answered_at = ?, review_due_at = ?, review_closed_at = NULL"
                  " WHERE request_id = ? AND attempt = ? AND (state = 1 OR (state = 2 AND place = ?))",
                  values, COUNT(values), done, err);
}

enum status requests_renew(struct sql *sql, const char *owner, int64_t lease_until, struct error *err)
{
    const struct sql_value values[] = {sql_of_integer(lease_until), sql_of_text(owner)};
    return sql_run(sql, "UPDATE requests SET lease_until = ? WHERE owner = ? AND state < 3", values,
                   COUNT(values), NULL, err);
}

enum status requests_adopt(struct sql *sql, const char *owner, int64_t now, int64_t lease_until,
                           struct request_row *rows, size_t most, size_t *count, struct error *err)
{
    bool more = false, done;
    const struct sql_value range[] = {sql_of_integer(now), sql_of_text(owner), sql_of_integer((int64_t)most)};
    *count = 0;
    enum status status = sql_query(sql,
                                   "SELECT " COLUMNS " FROM requests WHERE state < 3 AND lease_until < ?"
                                   " AND owner <> ? ORDER BY accepted_at LIMIT ?",
                                   range, COUNT(range), err);
    while (status == STATUS_OK && (status = sql_next(sql, &more, err)) == STATUS_OK && more && *count < most)
        read_row(sql, &rows[(*count)++]);
    sql_end(sql);
    size_t taken = 0;
    for (size_t i = 0; status == STATUS_OK && i < *count; i++) {
        struct request_row *row = &rows[i];
        const struct sql_value values[] = {sql_of_text(owner), sql_of_integer(lease_until),
                                           sql_of_text(row->request_id), sql_of_text(row->owner),
                                           sql_of_integer(row->lease_until)};
        status = change(sql,
                        "UPDATE requests SET owner = ?, lease_until = ?"
                        " WHERE request_id = ? AND state < 3 AND owner = ? AND lease_until = ?",
                        values, COUNT(values), &done, err);
        if (status == STATUS_OK && !done)
            continue;
        snprintf(row->owner, sizeof row->owner, "%s", owner);
        row->lease_until = lease_until;
        rows[taken++] = *row;
    }
    *count = taken;
    return status;
}

enum status requests_forget(struct sql *sql, int64_t before, int64_t most, int64_t *deleted,
                            struct error *err)
{
    const struct sql_value values[] = {sql_of_integer(before), sql_of_integer(most)};
    return sql_run(sql,
                   "DELETE FROM requests WHERE request_id IN (SELECT request_id FROM requests"
                   " WHERE accepted_at < ? ORDER BY accepted_at LIMIT ?)",
                   values, COUNT(values), deleted, err);
}
