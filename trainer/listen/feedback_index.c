// feedback_index.c: the tables of listen's index, and the statements over them.
//
// A feedback record is known by its feedback_id and the digest of what it means (content), so that one id
// with two meanings is seen whichever came first. A request may have answers for several images, where its id
// was used twice; each is a row.
#include "trainer/listen/feedback_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/services/sql.h"

enum {
    TIMEOUT_MS = 10 * 60 * 1000, // of one statement: sorting every label, on a slow disk
    RECORD_MOST = 64 << 10,
};

static const struct sql_migration migrations[] = {
    {.text =
         "CREATE TABLE feedback (feedback_id TEXT NOT NULL, content TEXT NOT NULL, request_id TEXT NOT NULL, "
         "image TEXT NOT NULL, label BIGINT NOT NULL, certainty BIGINT NOT NULL, reviewed_at BIGINT NOT "
         "NULL, "
         "lesion_id TEXT NOT NULL, subject TEXT NOT NULL, atypical BIGINT NOT NULL, supersedes TEXT NOT "
         "NULL, "
         "PRIMARY KEY (feedback_id, content));"
         "CREATE INDEX feedback_supersedes ON feedback (supersedes);"
         "CREATE INDEX feedback_request ON feedback (request_id);"
         "CREATE TABLE requests (request_id TEXT NOT NULL, image TEXT NOT NULL, site TEXT NOT NULL, "
         "subject TEXT NOT NULL, answered_at BIGINT NOT NULL, PRIMARY KEY (request_id, image));"
         "CREATE INDEX requests_image ON requests (image);"
         "CREATE INDEX requests_answered ON requests (answered_at);"
         "CREATE TABLE refused (topic TEXT NOT NULL, part BIGINT NOT NULL, place BIGINT NOT NULL, "
         "PRIMARY KEY (topic, part, place));"
         "CREATE TABLE offsets (topic TEXT NOT NULL, part BIGINT NOT NULL, next_place BIGINT NOT NULL, "
         "PRIMARY KEY (topic, part));"
         "CREATE TABLE images (image TEXT NOT NULL PRIMARY KEY, state BIGINT NOT NULL, "
         "tried_at BIGINT NOT NULL);"
         "CREATE TABLE numbers (name TEXT NOT NULL PRIMARY KEY, value BIGINT NOT NULL);"},
    {.text = "CREATE INDEX feedback_image ON feedback (image);"},
    {.text = "ALTER TABLE offsets ADD COLUMN witness BIGINT NOT NULL DEFAULT 0; DROP TABLE refused;"},
    {.text = NULL},
};

static const char *const number_names[INDEX_NUMBERS] = {
    "labels",     "repeated",        "refused",  "trained_labels",
    "trained_at", "trained_version", "training", "training_tries",
};

struct feedback_index {
    struct sql *sql;
    struct buffer record;
    int64_t added[INDEX_NUMBERS]; // in the transaction
};

#define VALUES(...)                                                                                          \
    (const struct sql_value[]){__VA_ARGS__},                                                                 \
        sizeof((struct sql_value[]){__VA_ARGS__}) / sizeof(struct sql_value)

enum status feedback_index_open(struct feedback_index **index, const char *folder, struct error *err)
{
    struct feedback_index *made = memory_alloc(sizeof *made);
    char *absolute = realpath(folder, NULL);
    char *url = memory_format("sqlite://%s/listen.db", absolute ? absolute : folder);
    const struct sql_options options = {.url = url, .timeout_ms = TIMEOUT_MS};
    buffer_init(&made->record, RECORD_MOST);
    enum status status = sql_open(&made->sql, &options, err);
    if (status == STATUS_OK)
        status = sql_migrate(made->sql, "listen", migrations, err);
    if (status != STATUS_OK) {
        feedback_index_close(made);
        made = NULL;
    }
    free(url);
    free(absolute);
    *index = made;
    return status;
}

void feedback_index_close(struct feedback_index *index)
{
    if (!index)
        return;
    sql_close(index->sql);
    buffer_release(&index->record);
    free(index);
}

enum status feedback_index_begin(struct feedback_index *index, struct error *err)
{
    memset(index->added, 0, sizeof index->added);
    return sql_begin(index->sql, SQL_WRITE, err);
}

enum status feedback_index_commit(struct feedback_index *index, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < INDEX_NUMBERS && status == STATUS_OK; i++)
        if (index->added[i] > 0)
            status =
                sql_run(index->sql,
                        "INSERT INTO numbers (name, value) VALUES (?, ?) "
                        "ON CONFLICT (name) DO UPDATE SET value = numbers.value + excluded.value",
                        VALUES(sql_of_text(number_names[i]), sql_of_integer(index->added[i])), NULL, err);
    if (status == STATUS_OK)
        return sql_commit(index->sql, err);
    sql_rollback(index->sql);
    return status;
}

void feedback_index_rollback(struct feedback_index *index)
{
    sql_rollback(index->sql);
}

enum status feedback_index_add(struct feedback_index *index, const struct feedback *feedback, bool *is_new,
                               struct error *err)
{
    char content[DIGEST_TEXT_SIZE];
    int64_t changed = 0;
    buffer_clear(&index->record);
    enum status status = feedback_write(feedback, &index->record, err);
    if (status != STATUS_OK)
        return status;
    struct digest digest = digest_of(index->record.data, index->record.size);
    digest_text(&digest, content);
    status = sql_run(
        index->sql,
        "INSERT INTO feedback (feedback_id, content, request_id, image, label, certainty, reviewed_at, "
        "lesion_id, subject, atypical, supersedes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (feedback_id, content) DO NOTHING",
        VALUES(sql_of_text(feedback->feedback_id), sql_of_text(content), sql_of_text(feedback->request_id),
               sql_of_text(feedback->image_sha256), sql_of_integer(feedback->label),
               sql_of_integer(feedback->certainty), sql_of_integer(feedback->reviewed_at),
               sql_of_text(feedback->lesion_id), sql_of_text(feedback->subject),
               sql_of_integer(feedback->atypical), sql_of_text(feedback->supersedes)),
        &changed, err);
    *is_new = changed > 0;
    index->added[*is_new ? INDEX_LABELS : INDEX_REPEATED]++;
    return status;
}

// Of answers to one request that differ in site or subject the least ones count, whichever came first.
enum status feedback_index_add_request(struct feedback_index *index, const struct answered_request *request,
                                       bool *awaited, struct error *err)
{
    enum status status =
        sql_run(index->sql,
                "INSERT INTO requests (request_id, image, site, subject, answered_at) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (request_id, image) DO UPDATE SET site = excluded.site, "
                "subject = excluded.subject WHERE excluded.site < requests.site "
                "OR (excluded.site = requests.site AND excluded.subject < requests.subject)",
                VALUES(sql_of_text(request->request_id), sql_of_text(request->image_sha256),
                       sql_of_text(request->site), sql_of_text(request->subject),
                       sql_of_integer(request->answered_at)),
                NULL, err);
    if (status == STATUS_OK)
        status = sql_find(index->sql, "SELECT 1 FROM feedback WHERE request_id = ? LIMIT 1",
                          VALUES(sql_of_text(request->request_id)), awaited, err);
    return status;
}

void feedback_index_count_refused(struct feedback_index *index)
{
    index->added[INDEX_REFUSED]++;
}

enum status feedback_index_place(struct feedback_index *index, const char *topic, int32_t partition,
                                 struct read_place *place, struct error *err)
{
    bool found;
    enum status status =
        sql_find(index->sql, "SELECT next_place, witness FROM offsets WHERE topic = ? AND part = ?",
                 VALUES(sql_of_text(topic), sql_of_integer(partition)), &found, err);
    *place = (struct read_place){.next = -1};
    if (status == STATUS_OK && found)
        *place = (struct read_place){sql_integer(index->sql, 0), sql_integer(index->sql, 1)};
    return status;
}

enum status feedback_index_set_place(struct feedback_index *index, const char *topic, int32_t partition,
                                     const struct read_place *place, struct error *err)
{
    return sql_run(index->sql,
                   "INSERT INTO offsets (topic, part, next_place, witness) VALUES (?, ?, ?, ?) "
                   "ON CONFLICT (topic, part) DO UPDATE SET next_place = excluded.next_place, "
                   "witness = excluded.witness",
                   VALUES(sql_of_text(topic), sql_of_integer(partition), sql_of_integer(place->next),
                          sql_of_integer(place->witness)),
                   NULL, err);
}

enum status feedback_index_offsets(struct feedback_index *index,
                                   void (*take)(void *context, const char *topic, int32_t partition,
                                                int64_t next),
                                   void *context, struct error *err)
{
    bool more;
    enum status status = sql_query(
        index->sql, "SELECT topic, part, next_place FROM offsets ORDER BY topic, part", NULL, 0, err);
    while (status == STATUS_OK && (status = sql_next(index->sql, &more, err)) == STATUS_OK && more)
        take(context, sql_text(index->sql, 0), (int32_t)sql_integer(index->sql, 1),
             sql_integer(index->sql, 2));
    sql_end(index->sql);
    return status;
}

enum status feedback_index_set_image(struct feedback_index *index, const char *image_sha256,
                                     enum image_state state, int64_t tried_at, struct error *err)
{
    return sql_run(index->sql,
                   "INSERT INTO images (image, state, tried_at) VALUES (?, ?, ?) "
                   "ON CONFLICT (image) DO UPDATE SET state = excluded.state, tried_at = excluded.tried_at",
                   VALUES(sql_of_text(image_sha256), sql_of_integer(state), sql_of_integer(tried_at)), NULL,
                   err);
}

// One row for each feedback record. A feedback_id is a clinic's to choose, so what names one speaks only for
// labels of its own picture. The joined table and the window cost no square where one id comes many times.
static const char walk_text[] =
    "WITH labels AS MATERIALIZED (SELECT f.*, CASE WHEN f.image <> '' THEN f.image ELSE "
    "coalesce((SELECT min(r.image) FROM requests r WHERE r.request_id = f.request_id), '') END AS picture "
    "FROM feedback f) "
    "SELECT p.picture, p.feedback_id, p.request_id, p.label, p.certainty, p.reviewed_at, p.lesion_id, "
    "p.subject, p.atypical, w.supersedes IS NOT NULL, "
    "count(*) OVER (PARTITION BY p.picture, p.feedback_id), "
    "(SELECT count(*) FROM requests r WHERE r.request_id = p.request_id), "
    "(SELECT count(*) FROM requests r WHERE r.request_id = p.request_id AND r.image = p.picture), "
    "(SELECT min(r.site) FROM requests r WHERE r.image = p.picture AND r.site <> ''), "
    "(SELECT min(r.subject) FROM requests r WHERE r.image = p.picture AND r.subject <> ''), "
    "i.state, i.tried_at, length(p.image) "
    "FROM labels p LEFT JOIN images i ON i.image = p.picture "
    "LEFT JOIN (SELECT DISTINCT supersedes, picture FROM labels WHERE supersedes <> '') w "
    "ON w.supersedes = p.feedback_id AND w.picture = p.picture "
    "ORDER BY p.picture, p.feedback_id, p.content";

static void copy_text(char *target, size_t size, const char *text)
{
    snprintf(target, size, "%s", text); // what was stored fits, and a damaged file does no harm
}

// What an enum may hold, from least up to end; else *good becomes false.
static int bounded(int64_t value, int least, int end, bool *good)
{
    *good = *good && value >= least && value < end;
    return *good ? (int)value : least;
}

// False: the file holds what was never written.
static bool read_row(const struct sql *sql, struct label_row *row)
{
    bool good = true;
    *row = (struct label_row){
        .label = bounded(sql_integer(sql, 3), 0, FEEDBACK_LABELS, &good),
        .certainty = bounded(sql_integer(sql, 4), 0, CERTAINTY_COUNT, &good),
        .reviewed_at = sql_integer(sql, 5),
        .atypical = bounded(sql_integer(sql, 8), -1, 2, &good),
        .withdrawn = sql_integer(sql, 9) > 0,
        .contradictory = sql_integer(sql, 10) > 1,
        .images = sql_integer(sql, 11),
        .agrees = sql_integer(sql, 12) > 0,
        .names_image = sql_integer(sql, 17) > 0,
        .state = (enum image_state)bounded(sql_integer(sql, 15), IMAGE_UNKNOWN, IMAGE_DIFFERS + 1, &good),
        .tried_at = sql_integer(sql, 16),
    };
    copy_text(row->image_sha256, sizeof row->image_sha256, sql_text(sql, 0));
    copy_text(row->feedback_id, sizeof row->feedback_id, sql_text(sql, 1));
    copy_text(row->request_id, sizeof row->request_id, sql_text(sql, 2));
    copy_text(row->lesion_id, sizeof row->lesion_id, sql_text(sql, 6));
    copy_text(row->subject, sizeof row->subject, *sql_text(sql, 7) ? sql_text(sql, 7) : sql_text(sql, 14));
    copy_text(row->site, sizeof row->site, sql_text(sql, 13));
    return good;
}

enum status feedback_index_walk(struct feedback_index *index,
                                enum status (*take)(void *context, const struct label_row *row,
                                                    struct error *err),
                                void *context, struct error *err)
{
    struct label_row row;
    bool more;
    enum status status = sql_query(index->sql, walk_text, NULL, 0, err);
    while (status == STATUS_OK && (status = sql_next(index->sql, &more, err)) == STATUS_OK && more) {
        status = read_row(index->sql, &row)
                     ? take(context, &row, err)
                     : error_set(err, STATUS_FATAL, "%s is damaged: remove it, and the topics are read anew",
                                 sql_name(index->sql));
    }
    sql_end(index->sql);
    return status;
}

enum status feedback_index_number(struct feedback_index *index, enum index_number number, int64_t *value,
                                  struct error *err)
{
    bool found;
    enum status status = sql_find(index->sql, "SELECT value FROM numbers WHERE name = ?",
                                  VALUES(sql_of_text(number_names[number])), &found, err);
    *value = status == STATUS_OK && found ? sql_integer(index->sql, 0) : 0;
    return status;
}

enum status feedback_index_set_number(struct feedback_index *index, enum index_number number, int64_t value,
                                      struct error *err)
{
    return sql_run(index->sql,
                   "INSERT INTO numbers (name, value) VALUES (?, ?) "
                   "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                   VALUES(sql_of_text(number_names[number]), sql_of_integer(value)), NULL, err);
}

enum status feedback_index_forget(struct feedback_index *index, int64_t answered_before, int64_t *changed,
                                  struct error *err)
{
    return sql_run(index->sql,
                   "DELETE FROM requests WHERE answered_at < ? AND NOT EXISTS "
                   "(SELECT 1 FROM feedback f WHERE f.request_id = requests.request_id) AND NOT EXISTS "
                   "(SELECT 1 FROM feedback f WHERE f.image = requests.image)",
                   VALUES(sql_of_integer(answered_before)), changed, err);
}
