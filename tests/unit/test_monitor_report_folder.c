// test_monitor_report_folder.c: which reports of a day become files, which files go, and that a stop ends a
// walk of the archive with its next row.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/archive_world.h"

#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/shutdown.h"
#include "monitor/archive/plans.h"
#include "monitor/report/publish.h"
#include "monitor/service/daily.h"

#define MIDNIGHT INT64_C(1795392000000) // of TODAY
#define NOW      (MIDNIGHT + 3600 * 1000)
#define TODAY    "2026-11-23"

static char reports[SCRATCH_SIZE + 64];
static int cases;

static struct report_folder_options options_of(int64_t days)
{
    return (struct report_folder_options){.path = reports, .days = days, .alarm_budget_per_year = 12};
}

static int new_folder(void **state)
{
    snprintf(reports, sizeof reports, "%s/reports%d", folder, cases++);
    return empty_store(state);
}

static char *path_to(const char *name)
{
    return memory_format("%s/%s", reports, name);
}

static bool is_there(const char *name)
{
    char *path = path_to(name);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

static void put(const char *name)
{
    char *path = path_to(name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    free(path);
}

// A text that ends with a zero; the caller frees data.
static struct buffer read_whole(const char *name)
{
    struct buffer text;
    char *path = path_to(name);
    buffer_init(&text, REPORT_MOST_BYTES);
    GOOD(file_read(path, &text, &err));
    GOOD(buffer_append(&text, "", 1, &err));
    free(path);
    return text;
}

// Answers of the models, one a day, the last one the day before MIDNIGHT.
static struct world *world_of(const char *const *models, int count)
{
    struct world *world = open_world();
    for (int i = 0; i < count; i++) {
        const struct given given = {.request = (unsigned)i + 1,
                                    .image = (unsigned)i + 1,
                                    .at = MIDNIGHT - (count - i) * DAY,
                                    .site = "north",
                                    .model = models[i]};
        add(world, 0, i, &given);
    }
    GOOD(append(world, world->predictions, 0, -1, count));
    return world;
}

static int update(struct world *world, int64_t days, int64_t now)
{
    const struct report_folder_options options = options_of(days);
    int published;
    GOOD(report_folder_update(&options, world->archive, now, &published, &err));
    return published;
}

static void assert_compared(const char *a, const char *b)
{
    struct buffer json = read_whole(TODAY "-comparison.json");
    cJSON *document = cJSON_Parse((const char *)json.data);
    const cJSON *comparison = cJSON_GetObjectItem(document, "comparison");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(comparison, "a")), a);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(comparison, "b")), b);
    cJSON_Delete(document);
    buffer_release(&json);
}

// The published report's own bytes; the comparison is of the two whose first answers are the latest.
static void test_a_day(void **state)
{
    (void)state;
    static const char *const models[] = {"vit-1", "vit-2", "vit-1", "vit-3"};
    struct world *world = world_of(models, 4);
    struct published published;
    struct stat about;
    assert_int_equal(update(world, 0, NOW), 3);
    struct buffer json = read_whole(TODAY "-comparison.json"), index = read_whole("index.html");
    cJSON *document = cJSON_Parse((const char *)json.data);
    assert_compared("vit-2", "vit-3");
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(document, "to")) == (double)MIDNIGHT);
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(document, "from")) == (double)(MIDNIGHT - 28 * DAY));
    GOOD(report_publish_again(world->archive, cJSON_GetStringValue(cJSON_GetObjectItem(document, "id")), NULL,
                              NULL, &published, &err));
    assert_int_equal(published.json.size, json.size - 1);
    assert_memory_equal(published.json.data, json.data, published.json.size);
    published_release(&published);
    const char *drift = strstr((const char *)index.data, "href=\"" TODAY "-drift.html\"");
    assert_non_null(drift);
    assert_non_null(strstr(drift, "href=\"" TODAY "-comparison.json\""));
    assert_true(is_there(TODAY "-performance.html"));
    char *path = path_to(TODAY "-drift.json");
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0027, 0); // others see nothing, the group writes nothing
    free(path);
    assert_int_equal(update(world, 0, NOW + 1000), 0);
    assert_int_equal(update(world, 0, NOW + DAY), 3); // the next day's
    cJSON_Delete(document);
    buffer_release(&json);
    buffer_release(&index);
    close_world(world);
}

// The old model's first answers lie before the report's days, in which the new one happens to begin.
static void test_the_older_model_is_a(void **state)
{
    (void)state;
    static const char *models[31];
    for (int i = 0; i < 31; i++)
        models[i] = i == 3 || i > 10 ? "vit-9" : "vit-old";
    for (int planned = 0; planned < 2; planned++) {
        struct archive_plan plan = {.name = "autumn", .model_a = "vit-9", .model_b = "vit-old", .id = "1"};
        struct world *world = world_of(models, 31);
        if (planned)
            GOOD(archive_add_plan(world->archive, &plan, &err));
        assert_int_equal(update(world, 0, NOW), 3);
        assert_compared(planned ? "vit-9" : "vit-old", planned ? "vit-old" : "vit-9");
        close_world(world);
        new_folder(state);
    }
}

static void test_one_model_is_compared_with_nothing(void **state)
{
    (void)state;
    static const char *const models[] = {"vit-1", "vit-1"};
    struct world *world = world_of(models, 2);
    assert_int_equal(update(world, 0, NOW), 2);
    assert_false(is_there(TODAY "-comparison.json"));
    close_world(world);
}

// What a crash left unfinished goes too, and what is not ours stays.
static void test_what_is_too_old_goes(void **state)
{
    (void)state;
    static const char *const go[] = {"2026-11-20-drift.html", "2026-11-20-drift.json",
                                     "2025-01-31-comparison.html", TODAY "-drift.json.partial"};
    static const char *const stay[] = {"2026-11-21-drift.html",  "2026-11-21-drift.json",
                                       "2020-01-01-drift.txt",   "2020-01-01-incident.html",
                                       "x2020-01-01-drift.html", "notes"};
    static const char *const models[] = {"vit-1"};
    struct world *world = world_of(models, 1);
    assert_int_equal(mkdir(reports, 0700), 0);
    for (size_t i = 0; i < sizeof go / sizeof *go; i++)
        put(go[i]);
    for (size_t i = 0; i < sizeof stay / sizeof *stay; i++)
        put(stay[i]);
    update(world, 2, NOW);
    for (size_t i = 0; i < sizeof go / sizeof *go; i++)
        if (is_there(go[i]))
            fail_msg("%s is still there", go[i]);
    for (size_t i = 0; i < sizeof stay / sizeof *stay; i++)
        if (!is_there(stay[i]))
            fail_msg("%s is gone", stay[i]);
    struct buffer index = read_whole("index.html");
    assert_non_null(strstr((const char *)index.data, "2026-11-21-drift.json"));
    assert_null(strstr((const char *)index.data, "2026-11-20"));
    buffer_release(&index);
    close_world(world);
}

static void test_a_folder_that_cannot_be(void **state)
{
    (void)state;
    static const char *const models[] = {"vit-1"};
    struct world *world = world_of(models, 1);
    snprintf(reports, sizeof reports, "%s/none/reports", folder);
    const struct report_folder_options options = options_of(0);
    int published;
    assert_int_equal(report_folder_update(&options, world->archive, NOW, &published, &err), STATUS_FATAL);
    close_world(world);
}

static enum status stop_at_the_second(void *context, const struct analysis *analysis, struct error *why)
{
    int *rows = context;
    (void)analysis, (void)why;
    if (++*rows == 2)
        shutdown_request();
    return STATUS_OK;
}

// The clock was two years ahead when the last reports were made, and was set back.
static void test_a_clock_that_is_set_back(void **state)
{
    (void)state;
    const int64_t wait = 600 * 1000, midnight = MIDNIGHT + DAY + wait;
    assert_false(daily_is_due(NOW, midnight, wait));
    assert_false(daily_is_due(MIDNIGHT, midnight, wait));
    assert_true(daily_is_due(midnight, midnight, wait));
    assert_true(daily_is_due(NOW, midnight + 730 * DAY, wait));
}

// The last case: a stop is for ever.
static void test_a_stop(void **state)
{
    (void)state;
    static const char *const models[] = {"vit-1", "vit-1", "vit-2", "vit-2"};
    struct world *world = world_of(models, 4);
    const struct archive_filter filter = {.from = 0, .to = INT64_MAX};
    const struct report_folder_options options = options_of(0);
    int rows = 0, published;
    assert_int_equal(archive_walk(world->archive, &filter, stop_at_the_second, &rows, &err), STATUS_RETRY);
    assert_int_equal(rows, 2);
    assert_int_equal(report_folder_update(&options, world->archive, NOW, &published, &err), STATUS_RETRY);
    assert_int_equal(published, 0);
    assert_false(is_there("index.html"));
    close_world(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_day, new_folder),
        cmocka_unit_test_setup(test_the_older_model_is_a, new_folder),
        cmocka_unit_test_setup(test_one_model_is_compared_with_nothing, new_folder),
        cmocka_unit_test_setup(test_what_is_too_old_goes, new_folder),
        cmocka_unit_test_setup(test_a_folder_that_cannot_be, new_folder),
        cmocka_unit_test(test_a_clock_that_is_set_back),
        cmocka_unit_test_setup(test_a_stop, new_folder),
    };
    return cmocka_run_group_tests(tests, start_sqlite, stop_sqlite);
}
