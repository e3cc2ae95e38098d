// archive_world.h: an archive for a test, records to put into it, and what comes out. Each case begins with
// empty tables, in SQLite or in a PostgreSQL server of the test's own.
#ifndef SKINSIGHT_TESTS_SUPPORT_ARCHIVE_WORLD_H
#define SKINSIGHT_TESTS_SUPPORT_ARCHIVE_WORLD_H

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/records/feedback.h"
#include "common/services/sql.h"
#include "monitor/archive/archive.h"
#include "tests/support/postgres.h"

#define DAY INT64_C(86400000)
#define AT  INT64_C(1795420800000) // a midnight of UTC

static char folder[SCRATCH_SIZE];
static char url[SCRATCH_SIZE + 64];
static struct error err;

#define GOOD(call)                                                                                           \
    do {                                                                                                     \
        if ((call) != STATUS_OK)                                                                             \
            fail_msg("line %d: %s", __LINE__, err.message);                                                  \
    } while (0)

// ---- records ----

// 8 digits, the others zeros.
TEST_HELPER const char *uuid(unsigned number)
{
    static char texts[8][JOB_REQUEST_ID_SIZE];
    static int next;
    char *text = texts[next++ % 8];
    snprintf(text, JOB_REQUEST_ID_SIZE, "%08x-0000-4000-8000-000000000000", number);
    return text;
}

TEST_HELPER const char *image(unsigned number)
{
    static char texts[8][DIGEST_TEXT_SIZE];
    static int next;
    char *text = texts[next++ % 8];
    snprintf(text, DIGEST_TEXT_SIZE, "%064x", number);
    return text;
}

struct given {
    unsigned request, image; // 0: none
    int64_t at;
    const char *site, *model, *error;
    int class;
};

// A record as a worker writes it. Of the logits one is 2 and the others are 0.
TEST_HELPER void write_prediction(const struct given *given, struct buffer *out)
{
    struct prediction record;
    prediction_init(&record);
    record.request_id = given->request ? uuid(given->request) : NULL;
    record.context.site = given->site;
    record.context.capture_device = "camera-1";
    record.context.subject = image(0xabc);
    record.context.age_decade = 50;
    record.context.dermatoscope_attached = 1;
    record.provenance.moments[MOMENT_PUBLISHED] = given->at;
    record.provenance.moments[MOMENT_CONSUMED] = given->at - 90;
    record.provenance.submitted = given->at - 100;
    record.provenance.precision = "fp32";
    record.provenance.device = "a CPU";
    record.provenance.image_bytes = 54321;
    if (given->image)
        snprintf(record.provenance.image_sha256, DIGEST_TEXT_SIZE, "%s", image(given->image));
    if (given->error) {
        record.error.code = given->error;
    } else {
        record.model_info.model_version = given->model ? given->model : "vit-1";
        record.result.primary_diagnosis = lesion_names[given->class];
        record.result.confidence = (float)(exp(2) / (exp(2) + 7));
        record.result.risk_score = 1;
        record.result.recommended_action = "urgent_referral";
        record.provenance.temperature = 1;
        for (int i = 0; i < LESION_CLASSES; i++)
            record.provenance.logits[i] = i == given->class ? 2 : 0;
        record.provenance.features = (struct features){.brightness = 0.5f, .contrast = 0.25f, .sharpness = 7};
        record.provenance.features.entropy_nats = 1.5f;
        record.provenance.features.histogram_g[3] = 1;
        record.provenance.features.histogram_r[0] = record.provenance.features.histogram_b[0] = 1;
        record.provenance.ood = (struct ood_values){.energy = -3, .distance = NAN, .quantile = NAN};
    }
    buffer_clear(out);
    GOOD(prediction_write(&record, out, &err));
}

struct world {
    struct archive *archive;
    struct archive_batch *batch;
    struct buffer text;
    int64_t predictions, feedback; // logs
};

TEST_HELPER struct world *open_world(void)
{
    struct world *world = memory_alloc(sizeof *world);
    GOOD(archive_open(&world->archive, url, &err));
    GOOD(archive_log(world->archive, "predictions", &world->predictions, &err));
    GOOD(archive_log(world->archive, "feedback", &world->feedback, &err));
    world->batch = archive_batch_new();
    buffer_init(&world->text, 1 << 16);
    return world;
}

TEST_HELPER void close_world(struct world *world)
{
    archive_batch_free(world->batch);
    archive_close(world->archive);
    buffer_release(&world->text);
    free(world);
}

TEST_HELPER void add(struct world *world, int32_t partition, int64_t offset, const struct given *given)
{
    const struct archive_origin origin = {world->predictions, partition, offset, given->at};
    write_prediction(given, &world->text);
    GOOD(archive_batch_add_prediction(world->batch, buffer_bytes(&world->text), &origin, &err));
}

TEST_HELPER enum status append(struct world *world, int64_t log, int32_t partition, int64_t from, int64_t to)
{
    const struct archive_step step = {log, partition, from, to, 1, 77};
    enum status status = archive_append(world->archive, world->batch, &step, 1, NULL, &err);
    archive_batch_clear(world->batch);
    return status;
}

// ---- reading ----

struct seen {
    struct analysis rows[64];
    char site[64][JOB_TOKEN_SIZE], model[64][JOB_TOKEN_SIZE];
    size_t count;
};

TEST_HELPER enum status take(void *context, const struct analysis *analysis, struct error *why)
{
    struct seen *seen = context;
    if (seen->count == 64)
        return error_set(why, STATUS_FATAL, "more rows than wanted");
    strcpy(seen->site[seen->count], analysis->site);
    strcpy(seen->model[seen->count], analysis->model_version);
    seen->rows[seen->count++] = *analysis;
    return STATUS_OK;
}

static struct seen seen;

TEST_HELPER void walk_with(struct world *world, struct archive_filter filter)
{
    memset(&seen, 0, sizeof seen);
    if (filter.to == 0)
        filter.to = INT64_MAX;
    GOOD(archive_walk(world->archive, &filter, take, &seen, &err));
}

TEST_HELPER void walk(struct world *world)
{
    walk_with(world, (struct archive_filter){.from = 0});
}

TEST_HELPER int empty_store(void **state)
{
    static const char *const texts[] = {
        "DELETE FROM monitor_predictions", "DELETE FROM monitor_feedback",
        "DELETE FROM monitor_offsets",     "DELETE FROM monitor_logs",
        "DELETE FROM monitor_reports",     "DELETE FROM monitor_request_images"};
    (void)state;
    struct archive *archive;
    struct sql *sql;
    GOOD(archive_open(&archive, url, &err)); // makes the tables
    archive_close(archive);
    GOOD(sql_open(&sql, &(struct sql_options){.url = url, .timeout_ms = 5000}, &err));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        GOOD(sql_run(sql, texts[i], NULL, 0, NULL, &err));
    sql_close(sql);
    return 0;
}

#define CASE(test) cmocka_unit_test_setup(test, empty_store)

TEST_HELPER int start_sqlite(void **state)
{
    (void)state;
    scratch_make(folder);
    snprintf(url, sizeof url, "sqlite://%s/archive.db", folder);
    return 0;
}

TEST_HELPER int stop_sqlite(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

static struct postgres server;

TEST_HELPER int use_postgres(void **state)
{
    (void)state;
    snprintf(url, sizeof url, "%s", server.url);
    return 0;
}

// Runs the cases on both; those of PostgreSQL only where it is installed.
#define RUN_ON_BOTH(cases)                                                                                   \
    do {                                                                                                     \
        int failed = cmocka_run_group_tests(cases, start_sqlite, stop_sqlite);                               \
        if (!postgres_start(&server) && !server.programs[0]) {                                               \
            fprintf(stderr, "skipped: PostgreSQL is not installed\n");                                       \
            return failed;                                                                                   \
        }                                                                                                    \
        failed += cmocka_run_group_tests(cases, use_postgres, NULL);                                         \
        postgres_stop(&server);                                                                              \
        return failed;                                                                                       \
    } while (0)

#endif
