// test_monitor_archive.c: what goes into the archive comes out once, as one analysis for each request, in the
// order of time and for the offsets that a report may know; on SQLite and on PostgreSQL.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "monitor/archive/archive_internal.h"
#include "tests/support/archive_world.h"

static enum status check_whole(void *context, const struct analysis *analysis, struct error *why)
{
    (void)why;
    ++*(int *)context;
    assert_int_equal(analysis->partition, 2);
    assert_int_equal(analysis->offset, 40);
    assert_string_equal(analysis->request_id, uuid(1));
    assert_string_equal(analysis->image_sha256, image(7));
    assert_int_equal(analysis->at, AT);
    assert_string_equal(analysis->site, "clinic");
    assert_string_equal(analysis->subject, image(0xabc));
    assert_string_equal(analysis->capture_device, "camera-1");
    assert_string_equal(analysis->lesion_location, "");
    assert_int_equal(analysis->dermatoscope_attached, 1);
    assert_int_equal(analysis->fitzpatrick_type, -1);
    assert_int_equal(analysis->age_decade, 50);
    assert_string_equal(analysis->model_version, "vit-1");
    assert_string_equal(analysis->precision, "fp32");
    assert_string_equal(analysis->device, "a CPU");
    assert_string_equal(analysis->error_code, "");
    assert_int_equal(analysis->class, LESION_BCC);
    assert_int_equal(analysis->action, ACTION_URGENT_REFERRAL);
    assert_false(analysis->abstained);
    assert_float_equal(analysis->probabilities[LESION_BCC], exp(2) / (exp(2) + 7), 1e-6);
    assert_float_equal(analysis->probabilities[LESION_SCC], 1 / (exp(2) + 7), 1e-6);
    assert_float_equal(analysis->confidence, exp(2) / (exp(2) + 7), 1e-6);
    assert_true(analysis->entropy_nats == 1.5f);
    assert_true(analysis->features.brightness == 0.5f && analysis->features.contrast == 0.25f);
    assert_true(analysis->features.histogram_g[3] == 1 && analysis->features.histogram_g[4] == 0);
    assert_true(analysis->ood.energy == -3 && isnan(analysis->ood.distance));
    assert_int_equal(analysis->image_bytes, 54321);
    assert_int_equal(analysis->submitted, AT - 100);
    assert_int_equal(analysis->moments[MOMENT_CONSUMED], AT - 90);
    assert_int_equal(analysis->moments[MOMENT_FETCHED], -1);
    assert_int_equal(analysis->moments[MOMENT_PUBLISHED], AT);
    assert_int_equal(analysis->truth.label, -1);
    assert_false(analysis->truth.conflict);
    return STATUS_OK;
}

static void test_what_goes_in_comes_out(void **state)
{
    (void)state;
    struct world *world = open_world();
    int count = 0;
    add(world, 2, 40, &(struct given){1, 7, AT, .site = "clinic", .class = LESION_BCC});
    GOOD(append(world, world->predictions, 2, -1, 41));
    GOOD(archive_walk(world->archive, &(struct archive_filter){.from = AT, .to = AT + 1}, check_whole, &count,
                      &err));
    assert_int_equal(count, 1);
    // Outside of the window.
    walk_with(world, (struct archive_filter){.from = AT + 1, .to = AT + 2});
    assert_int_equal(seen.count, 0);
    walk_with(world, (struct archive_filter){.from = AT - 1, .to = AT});
    assert_int_equal(seen.count, 0);
    close_world(world);
}

static void test_final_record(void **state)
{
    (void)state;
    struct world *world = open_world();
    struct archive_as_of before;
    add(world, 0, 10, &(struct given){1, 7, AT + 5, .class = LESION_NV});
    add(world, 1, 3, &(struct given){1, 7, AT + 9, .class = LESION_MEL}); // the final one
    add(world, 0, 11, &(struct given){2, 8, AT + 7, .class = LESION_AK});
    add(world, 0, 12, &(struct given){0, 0, AT + 8, .error = "record_unreadable"});
    add(world, 0, 13, &(struct given){0, 0, AT + 8, .error = "record_unreadable"});
    const struct archive_step steps[] = {{world->predictions, 0, -1, 14, 0, 0},
                                         {world->predictions, 1, -1, 4, 2, 0}};
    GOOD(archive_append(world->archive, world->batch, steps, 2, NULL, &err));
    archive_batch_clear(world->batch);
    walk(world);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.rows[0].class, LESION_AK);
    assert_int_equal(seen.rows[1].class, LESION_MEL);
    // Records without a request count each; the earlier answer of request 1 never.
    walk_with(world, (struct archive_filter){.errors = true});
    assert_int_equal(seen.count, 4);
    assert_string_equal(seen.rows[1].request_id, "");
    // All of them, where that is asked for.
    walk_with(world, (struct archive_filter){.replaced = true});
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.rows[0].class, LESION_NV);
    assert_true(seen.rows[0].replaced && !seen.rows[1].replaced && !seen.rows[2].replaced);
    walk_with(world, (struct archive_filter){.replaced = true, .errors = true});
    assert_int_equal(seen.count, 5);
    assert_false(seen.rows[2].replaced); // of no request, though another one is later
    walk_with(world, (struct archive_filter){.to = AT + 9});
    assert_int_equal(seen.count, 1);
    // Later records change nothing of what was known before them.
    GOOD(archive_now(world->archive, &before, &err));
    assert_int_equal(before.count, 2);
    add(world, 0, 14, &(struct given){2, 8, AT + 20, .class = LESION_DF});
    GOOD(append(world, world->predictions, 0, 14, 15));
    walk(world);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.rows[1].class, LESION_DF);
    walk_with(world, (struct archive_filter){.as_of = &before});
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.rows[0].class, LESION_AK);
    walk_with(world, (struct archive_filter){.as_of = &before, .replaced = true});
    assert_int_equal(seen.count, 3);
    assert_false(seen.rows[1].replaced);
    walk_with(world, (struct archive_filter){.replaced = true});
    assert_int_equal(seen.count, 4);
    assert_true(seen.rows[1].replaced);
    archive_as_of_release(&before);
    close_world(world);
}

static void test_offsets_are_compared(void **state)
{
    (void)state;
    struct world *world = open_world();
    struct archive_position position;
    GOOD(archive_position(world->archive, world->predictions, 0, &position, &err));
    assert_int_equal(position.next, -1);
    add(world, 0, 0, &(struct given){1, 7, AT, .class = LESION_MEL});
    GOOD(append(world, world->predictions, 0, -1, 1));
    // Another monitor loses; the one that wrote it finds its own.
    struct world *other = open_world();
    add(other, 0, 0, &(struct given){1, 7, AT, .class = LESION_MEL});
    assert_int_equal(append(other, other->predictions, 0, -1, 1), STATUS_REJECTED);
    add(other, 0, 1, &(struct given){2, 7, AT, .class = LESION_MEL});
    assert_int_equal(append(other, other->predictions, 0, 0, 2), STATUS_REJECTED);
    // The writer who has closed the archive and opened it again.
    archive_set_writer(other->archive, world->archive->writer);
    add(other, 0, 0, &(struct given){1, 7, AT, .class = LESION_MEL});
    assert_int_equal(append(other, other->predictions, 0, -1, 1), STATUS_RETRY);
    close_world(other);
    add(world, 0, 0, &(struct given){1, 7, AT, .class = LESION_MEL});
    assert_int_equal(append(world, world->predictions, 0, -1, 1), STATUS_RETRY);
    walk(world);
    assert_int_equal(seen.count, 1);
    add(world, 0, 1, &(struct given){2, 7, AT, .class = LESION_MEL});
    GOOD(append(world, world->predictions, 0, 1, 2));
    GOOD(archive_position(world->archive, world->predictions, 0, &position, &err));
    assert_true(position.next == 2 && position.witness == 77);
    walk(world);
    assert_int_equal(seen.count, 2);
    close_world(world);
}

static void import_some(struct world *world, unsigned first, unsigned count, int64_t expected)
{
    int64_t added;
    for (unsigned i = first; i < first + count; i++)
        add(world, ARCHIVE_IMPORTED, -1, &(struct given){i, i, AT + i, .model = i % 2 ? "odd" : "even"});
    GOOD(archive_import(world->archive, world->batch, &added, &err));
    archive_batch_clear(world->batch);
    assert_int_equal(added, expected);
}

static void test_import(void **state)
{
    (void)state;
    struct world *world = open_world();
    struct archive_as_of first;
    import_some(world, 1, 20, 20);
    GOOD(archive_now(world->archive, &first, &err));
    import_some(world, 1, 20, 0);
    import_some(world, 15, 20, 14);
    walk(world);
    assert_int_equal(seen.count, 34);
    assert_int_equal(seen.rows[33].partition, ARCHIVE_IMPORTED);
    walk_with(world, (struct archive_filter){.as_of = &first});
    assert_int_equal(seen.count, 20);
    walk_with(world, (struct archive_filter){.model_version = "odd"});
    assert_int_equal(seen.count, 17);
    walk_with(world, (struct archive_filter){.site = "nowhere"});
    assert_int_equal(seen.count, 0);
    // The same request from the topic: counted once.
    add(world, 0, 0, &(struct given){3, 3, AT + 100, .class = LESION_MEL});
    GOOD(append(world, world->predictions, 0, -1, 1));
    walk(world);
    assert_int_equal(seen.count, 34);
    archive_as_of_release(&first);
    close_world(world);
}

static void test_closed_vocabulary(void **state)
{
    (void)state;
    struct world *world = open_world();
    char site[32];
    int others = 0;
    for (unsigned i = 0; i < 60; i++) {
        snprintf(site, sizeof site, i % 55 < 54 ? "site-%02u" : "Site-%02u", i % 55);
        add(world, 0, i, &(struct given){i + 1, 1, AT + i, .site = site});
    }
    GOOD(append(world, world->predictions, 0, -1, 60));
    walk(world);
    assert_int_equal(seen.count, 60);
    // Five sites have two records; of the others, which have one each, the first by the bytes of their names
    // are left.
    for (size_t i = 0; i < seen.count; i++)
        others += strcmp(seen.site[i], ANALYSIS_OTHER) == 0;
    assert_int_equal(others, 5);
    assert_string_equal(seen.site[48], "site-48");
    assert_string_equal(seen.site[49], ANALYSIS_OTHER);
    assert_string_equal(seen.site[54], "Site-54");
    assert_string_equal(seen.site[55], "site-00");
    walk_with(world, (struct archive_filter){.site = "site-51"});
    assert_int_equal(seen.count, 1);
    close_world(world);
}

static void test_retention(void **state)
{
    (void)state;
    struct world *world = open_world();
    int64_t forgotten;
    bool more;
    for (unsigned i = 0; i < 10; i++)
        add(world, 0, i, &(struct given){i + 1, 1, AT + i * DAY / 2, .class = LESION_MEL});
    GOOD(append(world, world->predictions, 0, -1, 10));
    GOOD(archive_forget(world->archive, AT, &forgotten, &more, &err));
    assert_true(forgotten == 0 && !more);
    // Days are dropped whole, one at a time.
    GOOD(archive_forget(world->archive, AT + 2 * DAY + 5, &forgotten, &more, &err));
    assert_true(forgotten == 2 && more);
    GOOD(archive_forget(world->archive, AT + 2 * DAY + 5, &forgotten, &more, &err));
    assert_true(forgotten == 2 && !more);
    walk(world);
    assert_int_equal(seen.count, 6);
    close_world(world);
}

// Of the id 0x100 + offset; it withdraws the one of offset `supersedes`, where that is not negative.
static void add_label_of(struct world *world, int64_t offset, unsigned request, unsigned picture, int64_t at,
                         int label, int supersedes)
{
    const struct archive_origin origin = {world->feedback, 0, offset, at};
    struct feedback feedback;
    feedback_init(&feedback);
    strcpy(feedback.feedback_id, uuid(0x100 + (unsigned)offset));
    strcpy(feedback.request_id, request ? uuid(request) : "");
    strcpy(feedback.image_sha256, picture ? image(picture) : "");
    strcpy(feedback.supersedes, supersedes >= 0 ? uuid(0x100 + (unsigned)supersedes) : "");
    feedback.label = label;
    feedback.certainty = CERTAINTY_CLINICIAN;
    feedback.reviewed_at = at;
    buffer_clear(&world->text);
    GOOD(feedback_write(&feedback, &world->text, &err));
    GOOD(archive_batch_add_feedback(world->batch, buffer_bytes(&world->text), &origin, &err));
}

static void add_label(struct world *world, int64_t offset, unsigned request, unsigned picture, int64_t at)
{
    add_label_of(world, offset, request, picture, at, LESION_NV, -1);
}

static int64_t count_rows(struct world *world, const char *text)
{
    bool found;
    GOOD(sql_find(world->archive->sql, text, NULL, 0, &found, &err));
    return sql_integer(world->archive->sql, 0);
}

// A label is there as long as an answer that it speaks for, and no longer.
static void test_retention_of_labels(void **state)
{
    (void)state;
    struct world *world = open_world();
    int64_t forgotten;
    bool more;
    add(world, 0, 0, &(struct given){1, 1, AT, .class = LESION_MEL});
    add(world, 0, 1, &(struct given){2, 2, AT, .class = LESION_MEL});
    add(world, 0, 2, &(struct given){3, 3, AT, .class = LESION_MEL});
    add(world, 0, 3, &(struct given){3, 3, AT + 2 * DAY, .class = LESION_MEL}); // its request once more
    add(world, 0, 4, &(struct given){4, 2, AT + 2 * DAY, .class = LESION_MEL}); // the image of request 2
    GOOD(append(world, world->predictions, 0, -1, 5));
    add_label(world, 0, 1, 0, AT + 5 * DAY);  // goes with its answer, though it came late
    add_label(world, 1, 2, 2, AT);            // its image is still there
    add_label(world, 2, 3, 0, AT - 3 * DAY);  // came early; the second answer is still there
    add_label(world, 3, 9, 0, AT);            // nobody's
    add_label(world, 4, 9, 0, AT + 5 * DAY);  // nobody's yet
    add_label(world, 5, 0, 2, AT - 40 * DAY); // of an image
    add_label(world, 6, 0, 1, AT - 40 * DAY);
    GOOD(append(world, world->feedback, 0, -1, 7));
    GOOD(archive_forget(world->archive, AT + 2 * DAY, &forgotten, &more, &err));
    assert_true(forgotten == 3 + 3 && more);
    walk(world);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.rows[0].truth.label, LESION_NV);
    assert_int_equal(seen.rows[1].truth.label, LESION_NV);
    GOOD(archive_forget(world->archive, AT + 3 * DAY, &forgotten, &more, &err));
    assert_true(forgotten == 2 + 3 && !more); // one is nobody's yet
    GOOD(archive_forget(world->archive, AT + 6 * DAY, &forgotten, &more, &err));
    assert_true(forgotten == 1 && !more);
    close_world(world);
}

// By request: 1 has image 1, 2 image 2, 3 image 3. 11 to 14 have the images 1 to 4, two days later.
static void add_answers_of_two_days(struct world *world)
{
    for (unsigned i = 1; i <= 4; i++) {
        if (i <= 3)
            add(world, 0, i, &(struct given){i, i, AT + i, .class = LESION_DF});
        add(world, 0, 10 + i, &(struct given){10 + i, i, AT + 2 * DAY + i, .class = LESION_DF});
    }
    GOOD(append(world, world->predictions, 0, -1, 20));
}

// The labels of the last four rows: the answers of the second day.
static void expect_second_day(struct world *world, const int8_t labels[4])
{
    walk_with(world, (struct archive_filter){.from = AT + DAY});
    assert_int_equal(seen.count, 4);
    for (int i = 0; i < 4; i++)
        if (seen.rows[i].truth.label != labels[i])
            fail_msg("answer %d has the label %d, wanted %d", i, seen.rows[i].truth.label, labels[i]);
}

// Labels that name a request say the same of its image when the request's answer is dropped.
static void test_labels_without_their_requests(void **state)
{
    (void)state;
    static const int8_t labels[4] = {LESION_NV, LESION_BCC, -1, LESION_AK};
    struct world *world = open_world();
    struct archive_as_of as_of;
    int64_t forgotten;
    bool more;
    add_answers_of_two_days(world);
    add_label_of(world, 0, 1, 0, AT + 5 * DAY, LESION_NV, -1);   // for image 1
    add_label_of(world, 1, 0, 2, AT, LESION_MEL, -1);            // withdrawn by the next one
    add_label_of(world, 2, 2, 0, AT + 5 * DAY, LESION_BCC, 1);   // for image 2
    add_label_of(world, 3, 3, 4, AT + 5 * DAY, LESION_MEL, -1);  // its image is not its request's
    add_label_of(world, 4, 99, 3, AT + 5 * DAY, LESION_MEL, -1); // withdrawn; its answer never comes
    add_label_of(world, 5, 99, 0, AT - DAY, LESION_VASC, 4);     // old, of the same request
    add_label_of(world, 6, 99, 0, AT - DAY, LESION_VASC, 5);     // old, and withdraws that one
    add_label_of(world, 7, 0, 4, AT, LESION_AK, -1);
    GOOD(append(world, world->feedback, 0, -1, 8));
    GOOD(archive_now(world->archive, &as_of, &err));
    expect_second_day(world, labels);
    GOOD(archive_forget(world->archive, AT + 2 * DAY, &forgotten, &more, &err));
    assert_int_equal(forgotten, 3); // answers alone
    expect_second_day(world, labels);
    walk_with(world, (struct archive_filter){.from = AT + DAY, .as_of = &as_of});
    assert_int_equal(seen.rows[0].truth.label, LESION_NV);
    archive_as_of_release(&as_of);
    // With the last answers of their images all labels go, and what named images for them.
    GOOD(archive_forget(world->archive, AT + 3 * DAY, &forgotten, &more, &err));
    assert_int_equal(count_rows(world, "SELECT count(*) FROM monitor_feedback"), 0);
    assert_int_equal(count_rows(world, "SELECT count(*) FROM monitor_request_images"), 0);
    close_world(world);
}

// Labels that name an image go with its last answer, though they came later; those that came early wait.
static void test_labels_of_images_follow_answers(void **state)
{
    (void)state;
    struct world *world = open_world();
    int64_t forgotten;
    bool more;
    add(world, 0, 0, &(struct given){1, 1, AT, .class = LESION_MEL});
    GOOD(append(world, world->predictions, 0, -1, 1));
    add_label(world, 0, 0, 1, AT + 100 * DAY);
    add_label(world, 1, 0, 2, AT + 2 * DAY); // its answer is still to come
    GOOD(append(world, world->feedback, 0, -1, 2));
    GOOD(archive_forget(world->archive, AT + DAY, &forgotten, &more, &err));
    assert_int_equal(forgotten, 2);
    GOOD(archive_forget(world->archive, AT + 2 * DAY, &forgotten, &more, &err));
    assert_int_equal(forgotten, 0);
    add(world, 0, 1, &(struct given){2, 2, AT + 5 * DAY, .class = LESION_MEL});
    GOOD(append(world, world->predictions, 0, 1, 2));
    GOOD(archive_forget(world->archive, AT + 4 * DAY, &forgotten, &more, &err));
    assert_int_equal(forgotten, 0);
    walk(world);
    assert_int_equal(seen.rows[0].truth.label, LESION_NV);
    GOOD(archive_forget(world->archive, AT + 6 * DAY, &forgotten, &more, &err));
    assert_int_equal(forgotten, 2);
    close_world(world);
}

// A log more for each time that a topic was made anew.
static void test_many_places(void **state)
{
    (void)state;
    enum { PARTITIONS = 1000, LOGS = 3 };
    static struct archive_step steps[PARTITIONS];
    struct world *world = open_world();
    struct archive_as_of as_of;
    int64_t log = world->predictions;
    for (int i = 0; i < LOGS; i++) {
        for (int32_t j = 0; j < PARTITIONS; j++)
            steps[j] = (struct archive_step){log, j, -1, 1, 0, 0};
        GOOD(archive_append(world->archive, world->batch, steps, PARTITIONS, NULL, &err));
        GOOD(archive_log_anew(world->archive, "predictions", &log, &err));
    }
    GOOD(archive_now(world->archive, &as_of, &err));
    assert_int_equal(as_of.count, LOGS * PARTITIONS);
    archive_as_of_release(&as_of);
    close_world(world);
}

// The records of the old topic stay, under its own offsets, and a report tells the two apart.
static void test_topic_made_anew(void **state)
{
    (void)state;
    struct world *world = open_world();
    struct archive_as_of as_of;
    int64_t anew, log;
    add(world, 0, 5, &(struct given){1, 7, AT, .class = LESION_MEL});
    GOOD(append(world, world->predictions, 0, -1, 6));
    GOOD(archive_log_anew(world->archive, "predictions", &anew, &err));
    GOOD(archive_log(world->archive, "predictions", &log, &err));
    assert_true(log == anew && anew != world->predictions);
    world->predictions = anew;
    add(world, 0, 5, &(struct given){2, 7, AT + 1, .class = LESION_NV});
    GOOD(append(world, anew, 0, -1, 6));
    GOOD(archive_now(world->archive, &as_of, &err));
    assert_int_equal(as_of.count, 2);
    assert_string_equal(as_of.places[0].topic, "predictions");
    assert_string_equal(as_of.places[1].topic, "predictions~2");
    walk_with(world, (struct archive_filter){.as_of = &as_of});
    assert_int_equal(seen.count, 2);
    as_of.count = 1;
    walk_with(world, (struct archive_filter){.as_of = &as_of});
    assert_int_equal(seen.count, 1);
    archive_as_of_release(&as_of);
    close_world(world);
}

static void test_published_reports(void **state)
{
    (void)state;
    struct world *world = open_world();
    struct archive_report report = {.id = "r1", .kind = "drift", .made_at = AT, .sha256 = "ab"}, found;
    report.request = (struct bytes){(const uint8_t *)"{\"a\":1}", 7};
    GOOD(archive_add_report(world->archive, &report, &err));
    GOOD(archive_find_report(world->archive, "r1", &found, &err));
    assert_string_equal(found.kind, "drift");
    assert_true(found.made_at == AT && bytes_equal(found.request, report.request));
    assert_int_equal(archive_find_report(world->archive, "r2", &found, &err), STATUS_REJECTED);
    close_world(world);
}

static void test_newer_tables(void **state)
{
    (void)state;
    struct archive *archive;
    struct sql *sql;
    GOOD(sql_open(&sql, &(struct sql_options){.url = url, .timeout_ms = 5000}, &err));
    GOOD(sql_run(sql, "UPDATE sql_versions SET version = version + 1 WHERE part = 'monitor'", NULL, 0, NULL,
                 &err));
    assert_int_equal(archive_open(&archive, url, &err), STATUS_REJECTED);
    assert_null(archive);
    GOOD(sql_run(sql, "UPDATE sql_versions SET version = version - 1 WHERE part = 'monitor'", NULL, 0, NULL,
                 &err));
    sql_close(sql);
}

int main(void)
{
    const struct CMUnitTest cases[] = {CASE(test_what_goes_in_comes_out),
                                       CASE(test_final_record),
                                       CASE(test_offsets_are_compared),
                                       CASE(test_import),
                                       CASE(test_topic_made_anew),
                                       CASE(test_closed_vocabulary),
                                       CASE(test_retention),
                                       CASE(test_retention_of_labels),
                                       CASE(test_labels_without_their_requests),
                                       CASE(test_labels_of_images_follow_answers),
                                       CASE(test_many_places),
                                       CASE(test_published_reports),
                                       CASE(test_newer_tables)};
    RUN_ON_BOTH(cases);
}
