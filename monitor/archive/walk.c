// walk.c: what reports read. What may be known goes into a table of the connection first; the labels and the
// rows are then read in one transaction, as one state of the database.
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/base/shutdown.h"
#include "common/base/text.h"
#include "monitor/archive/archive_internal.h"
#include "monitor/archive/truths.h"

// The largest names of a kind; with fewer than the limit all there are.
struct vocabulary {
    char names[ANALYSIS_NAMES + 1][JOB_TOKEN_SIZE];
    size_t count; // ANALYSIS_NAMES + 1: there are others
};

struct walk {
    struct archive *archive;
    const struct archive_filter *filter;
    enum status (*take)(void *context, const struct analysis *analysis, struct error *err);
    void *context;
    struct vocabulary sites, capture_devices;
};

#define IN_WINDOW "p.at >= ? AND p.at < ? AND " KNOWN("p")

// Another record of the same request is the final one.
#define IS_REPLACED                                                                                          \
    "(length(p.request) > 0 AND EXISTS (SELECT 1 FROM monitor_predictions o WHERE o.request = p.request "    \
    "AND " KNOWN("o") " AND (o.at, o.log, o.part, o.place) > (p.at, p.log, p.part, p.place)))"
#define IN_ORDER " ORDER BY p.at, p.log, p.part, p.place"

static const char walk_text[] =
    "SELECT %s, 0 FROM monitor_predictions p WHERE " IN_WINDOW " AND NOT " IS_REPLACED IN_ORDER;
static const char walk_all_text[] = "SELECT %s, CASE WHEN " IS_REPLACED
                                    " THEN 1 ELSE 0 END FROM monitor_predictions p WHERE " IN_WINDOW IN_ORDER;

static const char sites_text[] = "SELECT p.site FROM monitor_predictions p WHERE " IN_WINDOW
                                 " GROUP BY p.site ORDER BY count(*) DESC, p.site COLLATE \"C\" LIMIT ?";
static const char capture_devices_text[] =
    "SELECT p.capture_device FROM monitor_predictions p WHERE " IN_WINDOW
    " GROUP BY p.capture_device ORDER BY count(*) DESC, p.capture_device COLLATE \"C\" LIMIT ?";

// ---- what may be known ----

static enum status add_known(struct sql *sql, const struct archive_place *place, struct error *err)
{
    bool found;
    enum status status = sql_find(sql, "SELECT log FROM monitor_logs WHERE name = ?",
                                  VALUES(sql_of_text(place->topic)), &found, err);
    if (status != STATUS_OK || !found)
        return status;
    return sql_run(sql,
                   "INSERT INTO monitor_known (log, part, next_place) VALUES (?, ?, ?) "
                   "ON CONFLICT (log, part) DO NOTHING",
                   VALUES(sql_of_integer(sql_integer(sql, 0)), sql_of_integer(place->partition),
                          sql_of_integer(place->next)),
                   NULL, err);
}

static enum status fill_known(struct sql *sql, void *context, struct error *err)
{
    const struct archive_as_of *as_of = context;
    enum status status = sql_run(sql,
                                 "CREATE TEMP TABLE IF NOT EXISTS monitor_known (log BIGINT NOT NULL, "
                                 "part BIGINT NOT NULL, next_place BIGINT NOT NULL, PRIMARY KEY (log, part))",
                                 NULL, 0, NULL, err);
    if (status == STATUS_OK)
        status = sql_run(sql, "DELETE FROM monitor_known", NULL, 0, NULL, err);
    if (status == STATUS_OK && !as_of)
        status = sql_run(sql, "INSERT INTO monitor_known SELECT log, part, next_place FROM monitor_offsets",
                         NULL, 0, NULL, err);
    for (size_t i = 0; as_of && i < as_of->count && status == STATUS_OK; i++)
        status = add_known(sql, &as_of->places[i], err);
    return status;
}

// ---- closed vocabularies ----

static enum status read_vocabulary(struct walk *walk, const char *text, struct vocabulary *vocabulary,
                                   struct error *err)
{
    struct sql *sql = walk->archive->sql;
    bool more;
    enum status status =
        sql_query(sql, text,
                  VALUES(sql_of_integer(walk->filter->from), sql_of_integer(walk->filter->to),
                         sql_of_integer(ANALYSIS_NAMES + 1)),
                  err);
    while (status == STATUS_OK && (status = sql_next(sql, &more, err)) == STATUS_OK && more)
        text_cut(sql_text(sql, 0), vocabulary->names[vocabulary->count++], JOB_TOKEN_SIZE);
    sql_end(sql);
    return status;
}

static const char *name_in(const struct vocabulary *vocabulary, const char *name)
{
    if (vocabulary->count <= ANALYSIS_NAMES)
        return name;
    for (size_t i = 0; i < ANALYSIS_NAMES; i++)
        if (strcmp(vocabulary->names[i], name) == 0)
            return name;
    return ANALYSIS_OTHER;
}

// ---- labels ----

static bool is_same(const struct archive_as_of *one, const struct archive_as_of *other)
{
    if (one->count != other->count)
        return false;
    for (size_t i = 0; i < one->count; i++) {
        const struct archive_place *a = &one->places[i], *b = &other->places[i];
        if (strcmp(a->topic, b->topic) != 0 || a->partition != b->partition || a->next != b->next)
            return false;
    }
    return true;
}

static void keep_as_of(struct archive_as_of *kept, const struct archive_as_of *as_of)
{
    archive_as_of_release(kept);
    if (!as_of)
        return;
    size_t size = as_of->count * sizeof *as_of->places;
    *kept = (struct archive_as_of){
        .time = as_of->time, .count = as_of->count, .places = memory_alloc(size ? size : 1)};
    memcpy(kept->places, as_of->places, size);
}

// A report walks several times for the same offsets, below which no label changes.
static enum status find_truths(struct archive *archive, const struct archive_as_of *as_of, struct error *err)
{
    if (archive->truths && as_of && archive->truths_of.places && is_same(as_of, &archive->truths_of))
        return STATUS_OK;
    archive_drop_truths(archive);
    archive->truths = memory_alloc(sizeof *archive->truths);
    keep_as_of(&archive->truths_of, as_of);
    enum status status = truths_read(archive->sql, archive->truths, err);
    if (status != STATUS_OK)
        archive_drop_truths(archive);
    return status;
}

void archive_drop_truths(struct archive *archive)
{
    if (archive->truths)
        truths_release(archive->truths);
    free(archive->truths);
    archive->truths = NULL;
    archive_as_of_release(&archive->truths_of);
}

// ---- rows ----

static bool is_wanted(const struct archive_filter *filter, const struct analysis *analysis)
{
    return (filter->errors || !*analysis->error_code) &&
           (!filter->site || strcmp(filter->site, analysis->site) == 0) &&
           (!filter->model_version || strcmp(filter->model_version, analysis->model_version) == 0);
}

static void add_truth(const struct walk *walk, struct analysis *analysis)
{
    const struct truth *truth = truths_find(walk->archive->truths, analysis->image_sha256);
    if (!truth)
        return;
    analysis->truth.label = truth->label;
    analysis->truth.certainty = truth->certainty;
    analysis->truth.reviewed_at = truth->reviewed_at;
    analysis->truth.atypical = truth->atypical;
    analysis->truth.conflict = truth->conflict;
}

static enum status take_row(struct walk *walk, struct error *err)
{
    struct analysis analysis;
    char subject[DIGEST_TEXT_SIZE];
    if (!prediction_row_read(walk->archive->sql, 0, &analysis, subject))
        return error_set(err, STATUS_FATAL, "a prediction in %s is damaged", sql_name(walk->archive->sql));
    analysis.replaced = sql_integer(walk->archive->sql, PREDICTION_COLUMN_COUNT) == 1;
    if (!is_wanted(walk->filter, &analysis))
        return STATUS_OK;
    analysis.site = name_in(&walk->sites, analysis.site);
    analysis.capture_device = name_in(&walk->capture_devices, analysis.capture_device);
    add_truth(walk, &analysis);
    return walk->take(walk->context, &analysis, err);
}

static enum status read_rows(struct walk *walk, struct error *err)
{
    struct sql *sql = walk->archive->sql;
    char *text = memory_format(walk->filter->replaced ? walk_all_text : walk_text, prediction_columns);
    bool more;
    enum status status = sql_query(
        sql, text, VALUES(sql_of_integer(walk->filter->from), sql_of_integer(walk->filter->to)), err);
    while (status == STATUS_OK && (status = sql_next(sql, &more, err)) == STATUS_OK && more)
        status =
            shutdown_requested() ? error_set(err, STATUS_RETRY, "a stop was asked for") : take_row(walk, err);
    sql_end(sql);
    free(text);
    return status;
}

static enum status read_all(struct walk *walk, struct error *err)
{
    enum status status = find_truths(walk->archive, walk->filter->as_of, err);
    if (status == STATUS_OK)
        status = read_vocabulary(walk, sites_text, &walk->sites, err);
    if (status == STATUS_OK)
        status = read_vocabulary(walk, capture_devices_text, &walk->capture_devices, err);
    return status == STATUS_OK ? read_rows(walk, err) : status;
}

enum status archive_walk(struct archive *archive, const struct archive_filter *filter,
                         enum status (*take)(void *context, const struct analysis *analysis,
                                             struct error *err),
                         void *context, struct error *err)
{
    struct walk *walk = memory_alloc(sizeof *walk);
    *walk = (struct walk){.archive = archive, .filter = filter, .take = take, .context = context};
    enum status status =
        sql_transaction(archive->sql, SQL_WRITE, fill_known, (void *)(uintptr_t)filter->as_of, err);
    if (status == STATUS_OK)
        status = sql_begin(archive->sql, SQL_READ, err);
    if (status == STATUS_OK) {
        status = read_all(walk, err);
        sql_rollback(archive->sql); // nothing was changed
    }
    free(walk);
    return status;
}
