// test_monitor_plans.c: a plan is registered once, found for the reports that may know it, and shown beside
// what was seen; on SQLite and on PostgreSQL.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "monitor/archive/archive_internal.h"
#include "monitor/comparison/registered_plan.h"
#include "tests/support/archive_world.h"
#include "tests/support/near.h"

// Plans stay when a case begins with empty tables, so that each case has names and models of its own.
static struct archive_plan plan_of(const char *name, const char *with, double share_b)
{
    const struct power_design design = {
        .p0 = 0.90, .p1 = 0.95, .n_a = 4000, .n_b = 500, .alpha = 0.05, .wanted = 0.8, .margin = 0.05};
    const struct power_receipt receipt = {.power = 0.875, .decides = true};
    struct archive_plan plan;
    registered_plan_make(&(struct plan_subject){name, "v1", with, share_b, AT}, &design, &receipt, &plan);
    return plan;
}

static void add_plan(struct world *world, const char *name, const char *with, double share_b)
{
    const struct archive_plan plan = plan_of(name, with, share_b);
    GOOD(archive_add_plan(world->archive, &plan, &err));
}

static void test_what_goes_in_comes_out(void **state)
{
    (void)state;
    struct world *world = open_world();
    const struct archive_plan given = plan_of("spring", "v2", 0.1);
    struct archive_plan plan;
    bool found;
    GOOD(archive_find_plan(world->archive, "v1", "v2", NULL, &plan, &found, &err));
    assert_false(found);
    GOOD(archive_add_plan(world->archive, &given, &err));
    GOOD(archive_find_plan(world->archive, "v1", "v2", NULL, &plan, &found, &err));
    assert_true(found);
    assert_string_equal(plan.name, "spring");
    assert_string_equal(plan.model_a, "v1");
    assert_string_equal(plan.model_b, "v2");
    assert_string_equal(plan.id, given.id);
    assert_int_equal(strlen(plan.id), 32);
    assert_true(plan.registered_at == AT && !plan.paired && plan.share_b == 0.1 && plan.worse == 0);
    assert_true(plan.p0 == 0.90 && plan.p1 == 0.95 && plan.margin == 0.05 && plan.alpha == 0.05);
    assert_true(plan.power_wanted == 0.8 && plan.power == 0.875);
    assert_true(plan.n_a == 4000 && plan.n_b == 500 && plan.looks == 4 && plan.number == 1);
    GOOD(archive_find_plan(world->archive, "v2", "v1", NULL, &plan, &found, &err));
    assert_false(found);
    close_world(world);
}

// What was registered after a report was made is not its plan.
static void test_reports_know_what_they_knew(void **state)
{
    (void)state;
    struct world *world = open_world();
    struct archive_as_of none, one;
    struct archive_plan plan;
    bool found;
    GOOD(archive_now(world->archive, &none, &err));
    add_plan(world, "spring-w", "w2", 0.1);
    add_plan(world, "others-w", "w3", 0.5);
    GOOD(archive_now(world->archive, &one, &err));
    add_plan(world, "summer-w", "w2", 0.25);
    GOOD(archive_find_plan(world->archive, "v1", "w2", &none, &plan, &found, &err));
    assert_false(found);
    GOOD(archive_find_plan(world->archive, "v1", "w2", &one, &plan, &found, &err));
    assert_true(found && plan.share_b == 0.1 && plan.number == 1);
    GOOD(archive_find_plan(world->archive, "v1", "w2", NULL, &plan, &found, &err));
    assert_true(found && plan.share_b == 0.25 && plan.number == 2);
    struct archive_plan newest[2];
    size_t count;
    GOOD(archive_newest_plans(world->archive, newest, 2, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(newest[0].name, "summer-w");
    assert_string_equal(newest[1].name, "others-w");
    // The walks of a report that knows plans go on as ever.
    walk_with(world, (struct archive_filter){.as_of = &one});
    assert_int_equal(seen.count, 0);
    archive_as_of_release(&none);
    archive_as_of_release(&one);
    close_world(world);
}

static void test_a_plan_stays_what_it_is(void **state)
{
    (void)state;
    struct world *world = open_world();
    add_plan(world, "spring-x", "x2", 0.1);
    const struct archive_plan again = plan_of("spring-x", "x2", 0.5);
    assert_int_equal(archive_add_plan(world->archive, &again, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "spring-x"));
    assert_int_equal(
        sql_run(world->archive->sql, "UPDATE monitor_plans SET share_b = 0.5", NULL, 0, NULL, &err),
        STATUS_REJECTED);
    assert_int_equal(sql_run(world->archive->sql, "DELETE FROM monitor_plans", NULL, 0, NULL, &err),
                     STATUS_REJECTED);
    close_world(world);
}

static const cJSON *plan_in(const cJSON *comparison, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(comparison, "plan"), name);
}

// Power of Fisher's test, one-sided 0.05, 0.90 against 0.95: with 96 and 12 melanomas 0.00003.
static void test_shown_beside_what_was_seen(void **state)
{
    (void)state;
    struct archive_plan plan = plan_of("spring", "v2", 0.1);
    cJSON *comparison = cJSON_CreateObject();
    registered_plan_write(&plan, &(struct plan_progress){96, 12, AT + 1}, comparison);
    assert_int_equal(plan_in(comparison, "seen_b")->valueint, 12);
    near("power so far", 1 + plan_in(comparison, "power_with_seen")->valuedouble, 1.00003, 1e-5);
    assert_true(cJSON_IsTrue(plan_in(comparison, "before_first_answer")));
    assert_true(cJSON_IsNull(plan_in(comparison, "worse")));
    cJSON_Delete(comparison);
    comparison = cJSON_CreateObject();
    registered_plan_write(&plan, &(struct plan_progress){0, 0, AT}, comparison);
    assert_true(cJSON_IsFalse(plan_in(comparison, "before_first_answer")));
    assert_true(cJSON_IsNull(plan_in(comparison, "power_with_seen")));
    cJSON_Delete(comparison);
    comparison = cJSON_CreateObject();
    registered_plan_write(NULL, &(struct plan_progress){96, 12, AT}, comparison);
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(comparison, "plan")));
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(comparison, "plan_missing")->valuestring,
                        "not registered");
    cJSON_Delete(comparison);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(test_what_goes_in_comes_out), CASE(test_reports_know_what_they_knew),
        CASE(test_a_plan_stays_what_it_is), CASE(test_shown_beside_what_was_seen)};
    RUN_ON_BOTH(cases);
}
