// plans.c: plans are counted like imported records, in a log that no topic can be called after.
#include "monitor/archive/plans.h"

#include <stdio.h>
#include <string.h>

#include "monitor/archive/archive_internal.h"

static const char plans_log[] = "(plans)";

#define COLUMNS                                                                                              \
    "p.name, p.model_a, p.model_b, p.id, p.registered_at, p.paired, p.share_b, p.p0, p.p1, p.worse, "        \
    "p.margin, p.alpha, p.power_wanted, p.power, p.n_a, p.n_b, p.looks"

struct addition {
    const struct archive_plan *plan;
    int64_t log;
};

static enum status insert(struct sql *sql, const struct archive_plan *plan, int64_t place, struct error *err)
{
    return sql_run(sql,
                   "INSERT INTO monitor_plans (place, name, model_a, model_b, id, registered_at, paired, "
                   "share_b, p0, p1, "
                   "worse, margin, alpha, power_wanted, power, n_a, n_b, looks) "
                   "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                   VALUES(sql_of_integer(place), sql_of_text(plan->name), sql_of_text(plan->model_a),
                          sql_of_text(plan->model_b), sql_of_text(plan->id),
                          sql_of_integer(plan->registered_at), sql_of_integer(plan->paired),
                          sql_of_real(plan->share_b), sql_of_real(plan->p0), sql_of_real(plan->p1),
                          sql_of_real(plan->worse), sql_of_real(plan->margin), sql_of_real(plan->alpha),
                          sql_of_real(plan->power_wanted), sql_of_real(plan->power),
                          sql_of_integer(plan->n_a), sql_of_integer(plan->n_b), sql_of_integer(plan->looks)),
                   NULL, err);
}

static enum status add(struct sql *sql, void *context, struct error *err)
{
    const struct addition *addition = context;
    bool found;
    enum status status = sql_find(sql, "SELECT place FROM monitor_plans WHERE name = ?",
                                  VALUES(sql_of_text(addition->plan->name)), &found, err);
    if (status == STATUS_OK && found)
        return error_set(err, STATUS_REJECTED, "a plan of the name %s is registered already",
                         addition->plan->name);
    if (status == STATUS_OK)
        status =
            sql_find(sql, "SELECT coalesce(max(place), -1) + 1 FROM monitor_plans", NULL, 0, &found, err);
    if (status != STATUS_OK)
        return status;
    int64_t place = sql_integer(sql, 0);
    status = insert(sql, addition->plan, place, err);
    if (status != STATUS_OK)
        return status;
    return sql_run(
        sql,
        "INSERT INTO monitor_offsets (log, part, next_place, refused, witness, writer) "
        "VALUES (?, ?, ?, 0, 0, '') "
        "ON CONFLICT (log, part) DO UPDATE SET next_place = excluded.next_place",
        VALUES(sql_of_integer(addition->log), sql_of_integer(ARCHIVE_IMPORTED), sql_of_integer(place + 1)),
        NULL, err);
}

enum status archive_add_plan(struct archive *archive, const struct archive_plan *plan, struct error *err)
{
    struct addition addition = {.plan = plan};
    enum status status = archive_log(archive, plans_log, &addition.log, err);
    return status == STATUS_OK ? sql_transaction(archive->sql, SQL_WRITE, add, &addition, err) : status;
}

// Plans up to, not including, this place may be known.
static int64_t known_up_to(const struct archive_as_of *as_of)
{
    if (!as_of)
        return INT64_MAX;
    for (size_t i = 0; i < as_of->count; i++)
        if (as_of->places[i].partition == ARCHIVE_IMPORTED && strcmp(as_of->places[i].topic, plans_log) == 0)
            return as_of->places[i].next;
    return 0;
}

static void take_text(const struct sql *sql, size_t column, char *text, size_t size)
{
    snprintf(text, size, "%s", sql_text(sql, column));
}

static void take_plan(const struct sql *sql, struct archive_plan *plan)
{
    *plan = (struct archive_plan){.registered_at = sql_integer(sql, 4),
                                  .paired = sql_integer(sql, 5) != 0,
                                  .share_b = sql_real(sql, 6),
                                  .p0 = sql_real(sql, 7),
                                  .p1 = sql_real(sql, 8),
                                  .worse = sql_real(sql, 9),
                                  .margin = sql_real(sql, 10),
                                  .alpha = sql_real(sql, 11),
                                  .power_wanted = sql_real(sql, 12),
                                  .power = sql_real(sql, 13),
                                  .n_a = sql_integer(sql, 14),
                                  .n_b = sql_integer(sql, 15),
                                  .looks = sql_integer(sql, 16)};
    take_text(sql, 0, plan->name, sizeof plan->name);
    take_text(sql, 1, plan->model_a, sizeof plan->model_a);
    take_text(sql, 2, plan->model_b, sizeof plan->model_b);
    take_text(sql, 3, plan->id, sizeof plan->id);
}

enum status archive_find_plan(struct archive *archive, const char *model_a, const char *model_b,
                              const struct archive_as_of *as_of, struct archive_plan *plan, bool *found,
                              struct error *err)
{
    const struct sql_value values[] = {sql_of_text(model_a), sql_of_text(model_b),
                                       sql_of_integer(known_up_to(as_of))};
    enum status status = sql_find(
        archive->sql,
        "SELECT " COLUMNS " FROM monitor_plans p WHERE p.model_a = ? AND p.model_b = ? AND p.place < ? "
        "ORDER BY p.place DESC LIMIT 1",
        values, 3, found, err);
    if (status != STATUS_OK || !*found)
        return status;
    take_plan(archive->sql, plan);
    bool counted;
    status = sql_find(archive->sql,
                      "SELECT count(*) FROM monitor_plans WHERE model_a = ? AND model_b = ? AND place < ?",
                      values, 3, &counted, err);
    plan->number = status == STATUS_OK ? sql_integer(archive->sql, 0) : 0;
    return status;
}

enum status archive_newest_plans(struct archive *archive, struct archive_plan *plans, size_t most,
                                 size_t *count, struct error *err)
{
    bool more;
    *count = 0;
    enum status status =
        sql_query(archive->sql,
                  "SELECT " COLUMNS " FROM monitor_plans p WHERE NOT EXISTS (SELECT 1 FROM monitor_plans n "
                  "WHERE n.model_a = p.model_a AND n.model_b = p.model_b AND n.place > p.place) "
                  "ORDER BY p.place DESC LIMIT ?",
                  VALUES(sql_of_integer((int64_t)most)), err);
    while (status == STATUS_OK && (status = sql_next(archive->sql, &more, err)) == STATUS_OK && more)
        take_plan(archive->sql, &plans[(*count)++]);
    sql_end(archive->sql);
    return status;
}
