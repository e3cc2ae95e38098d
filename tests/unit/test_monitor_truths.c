// test_monitor_truths.c: each analysis has the label that the rules of docs/FORMATS.md give it, whatever the
// order of arrival, and records that can't be are refused; on SQLite and on PostgreSQL.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "monitor/archive/archive_internal.h"
#include "tests/support/archive_world.h"

// ---- labels ----

// By their last digits. request 0: named by its image alone, image 0: by its request alone.
struct label {
    unsigned id, request, image;
    const char *label, *certainty;
    int reviewed_at;
    unsigned supersedes;
};

static const struct label labels[] = {
    {0x10, 1, 0, "MEL", "clinician", 1, 0}, // gives way to 11
    {0x11, 1, 0, "NV", "histopathology", 1, 0},
    {0x12, 2, 0, "BCC", "clinician", 1, 0}, // withdrawn by 13, which is of the same picture
    {0x13, 0, 2, "NV", "clinician", 1, 0x12},
    {0x14, 3, 0, "BCC", "clinician", 1, 0}, // 15 names it and speaks for another picture
    {0x15, 2, 0, "AK", "follow_up", 0, 0x14},
    {0x16, 0, 4, "DF", "clinician", 9, 0}, // a tie of different labels
    {0x17, 4, 0, "VASC", "clinician", 9, 0},
    {0x18, 5, 0, "MEL", "clinician", 1, 0}, // two meanings of one id
    {0x18, 5, 0, "NV", "clinician", 1, 0},
    {0x19, 99, 0, "MEL", "clinician", 1, 0},    // nobody's request
    {0x1a, 6, 5, "MEL", "clinician", 1, 0},     // its image is not its request's
    {0x1b, 7, 0, "MEL", "clinician", 1, 0},     // a request with two images
    {0x1c, 98, 8, "SCC", "clinician", 1, 0},    // the request is not known, the image speaks for itself
    {0x1c, 98, 8, "SCC", "clinician", 1, 0},    // once more
    {0x21, 97, 0, "MEL", "clinician", 1, 0x1c}, // of another request that is not known: it withdraws nothing
    {0x1d, 9, 0, "OTHER", "consensus", 5, 0},
    {0x1e, 5, 0, "MEL", "clinician", 1, 0}, // two meanings, one of them twice
    {0x1e, 5, 0, "MEL", "clinician", 1, 0},
    {0x1e, 5, 0, "NV", "clinician", 1, 0},
    {0x1f, 5, 0, "NV", "clinician", 1, 0},
    {0x1f, 5, 0, "NV", "clinician", 1, 0},
    {0x1f, 5, 0, "MEL", "clinician", 1, 0},
};
enum { LABELS = sizeof labels / sizeof *labels };

static void add_label(struct world *world, int64_t offset, const struct label *label)
{
    char request[64] = "", picture[128] = "", supersedes[64] = "", text[1024];
    if (label->request)
        snprintf(request, sizeof request, ",\"request_id\":\"%s\"", uuid(label->request));
    if (label->image)
        snprintf(picture, sizeof picture, ",\"image_sha256\":\"%s\"", image(label->image));
    if (label->supersedes)
        snprintf(supersedes, sizeof supersedes, ",\"supersedes\":\"%s\"", uuid(label->supersedes));
    int length = snprintf(text, sizeof text,
                          "{\"schema\":\"skinsight.feedback.v1\",\"feedback_id\":\"%s\",\"label\":\"%s\","
                          "\"certainty\":\"%s\",\"reviewed_at\":%lld%s%s%s}",
                          uuid(label->id), label->label, label->certainty,
                          (long long)(AT + label->reviewed_at), request, picture, supersedes);
    const struct archive_origin origin = {world->feedback, 0, offset, AT};
    GOOD(archive_batch_add_feedback(world->batch, (struct bytes){(uint8_t *)text, (size_t)length}, &origin,
                                    &err));
}

// Requests 1 to 9 with the image of their number; 7 has image 17 too.
static void add_answers(struct world *world)
{
    for (unsigned i = 1; i <= 9; i++)
        add(world, 0, i, &(struct given){i, i, AT + i, .class = LESION_MEL});
    add(world, 0, 10, &(struct given){7, 17, AT + 10, .class = LESION_MEL});
    GOOD(append(world, world->predictions, 0, -1, 11));
}

static void expect_truths(const char *expected)
{
    char text[512] = "";
    for (size_t i = 0; i < seen.count; i++) {
        const struct analysis *row = &seen.rows[i];
        char one[64];
        snprintf(one, sizeof one, "%.8s:%s%s ", row->request_id,
                 row->truth.label < 0 ? "-" : feedback_label_names[row->truth.label],
                 row->truth.conflict ? "!" : "");
        strcat(text, one + 7);
    }
    assert_string_equal(text, expected);
}

// By hand, from the rules.
static const char truths[] = "1:NV 2:AK 3:BCC 4:-! 5:- 6:- 8:SCC 9:OTHER 7:- ";

static void test_labels_in_any_order(void **state)
{
    for (int order = 0; order < 4; order++) {
        empty_store(state);
        struct world *world = open_world();
        struct archive_as_of half = {.count = 0};
        if (order % 2 == 0)
            add_answers(world);
        for (int i = 0; i < LABELS; i++)
            add_label(world, i, &labels[order < 2 ? i : LABELS - 1 - i]);
        GOOD(append(world, world->feedback, 0, -1, LABELS));
        if (order % 2 == 1)
            add_answers(world);
        walk(world);
        expect_truths(truths);
        assert_int_equal(seen.rows[0].truth.certainty, CERTAINTY_HISTOPATHOLOGY);
        assert_int_equal(seen.rows[1].truth.reviewed_at, AT);
        // A label that came later is not known to a report that is made again.
        GOOD(archive_now(world->archive, &half, &err));
        add_label(world, LABELS, &(struct label){0x20, 6, 0, "DF", "clinician", 1, 0});
        GOOD(append(world, world->feedback, 0, LABELS, LABELS + 1));
        walk_with(world, (struct archive_filter){.as_of = &half});
        expect_truths(truths);
        walk(world);
        expect_truths("1:NV 2:AK 3:BCC 4:-! 5:- 6:DF 8:SCC 9:OTHER 7:- ");
        archive_as_of_release(&half);
        close_world(world);
    }
}

// An attack on one picture: nobody else's label suffers, and it takes no square of time.
static void test_one_picture_with_many_labels(void **state)
{
    (void)state;
    struct world *world = open_world();
    int64_t offset = 0;
    add_answers(world);
    while (offset < 12000) {
        int64_t from = offset;
        for (int i = 0; i < 4000; i++, offset++)
            add_label(world, offset,
                      &(struct label){0x1000 + (unsigned)offset, 1, 0, "MEL", "clinician", 1, 0});
        GOOD(append(world, world->feedback, 0, from ? from : -1, offset));
    }
    walk(world);
    expect_truths("1:MEL 2:- 3:- 4:- 5:- 6:- 8:- 9:- 7:- ");
    close_world(world);
}

// ---- records that are none ----

static void expect_refused(struct world *world, const char *find, const char *put, const char *sentence)
{
    const struct archive_origin origin = {world->predictions, 0, 0, AT};
    char text[1 << 14];
    write_prediction(&(struct given){1, 7, AT, .class = LESION_BCC}, &world->text);
    snprintf(text, sizeof text, "%.*s", (int)world->text.size, (const char *)world->text.data);
    char *at = strstr(text, find);
    assert_non_null(at);
    char *rest = memory_strdup(at + strlen(find));
    snprintf(at, sizeof text - (size_t)(at - text), "%s%s", put, rest);
    free(rest);
    enum status status = archive_batch_add_prediction(
        world->batch, (struct bytes){(uint8_t *)text, strlen(text)}, &origin, &err);
    if (sentence) {
        assert_int_equal(status, STATUS_REJECTED);
        assert_non_null(strstr(err.message, sentence));
    } else if (status != STATUS_OK) {
        fail_msg("%s", err.message);
    }
}

static void test_impossible_records(void **state)
{
    (void)state;
    struct world *world = open_world();
    expect_refused(world, "basal_cell_carcinoma", "basal_cell_carcinoma", NULL);
    expect_refused(world, "basal_cell_carcinoma", "BCC", "primary_diagnosis");
    expect_refused(world, "urgent_referral", "biopsy", "recommended_action");
    expect_refused(world, "\"temperature\":1", "\"temperature\":0", "temperature");
    expect_refused(world, "\"temperature\":1", "\"temperature\":-1", "temperature");
    expect_refused(world, "\"logits\":[0", "\"logits\":[9", "confidence");
    expect_refused(world, "\"logits\"", "\"others\"", "without logits");
    expect_refused(world, "\"histogram_g\":[0", "\"histogram_g\":[1", "histogram");
    expect_refused(world, "\"sharpness\":7", "\"sharpness\":-7", "sharpness");
    expect_refused(world, "\"entropy_nats\":1.5", "\"entropy_nats\":2.5", "entropy");
    assert_int_equal(archive_batch_count(world->batch), 1);
    close_world(world);
}

// One such record must not end the reports; those that were taken before it was refused are errors too.
static void test_error_without_code(void **state)
{
    (void)state;
    struct world *world = open_world();
    const struct archive_origin origin = {world->predictions, 0, 0, AT};
    write_prediction(&(struct given){0, 0, AT, .error = ""}, &world->text);
    assert_int_equal(archive_batch_add_prediction(world->batch, buffer_bytes(&world->text), &origin, &err),
                     STATUS_REJECTED);
    assert_non_null(strstr(err.message, "code"));
    add(world, 0, 0, &(struct given){0, 0, AT, .error = "internal"});
    world->batch->predictions[0].analysis.error_code = "";
    GOOD(append(world, world->predictions, 0, -1, 1));
    walk(world);
    assert_int_equal(seen.count, 0);
    walk_with(world, (struct archive_filter){.errors = true});
    assert_int_equal(seen.count, 1);
    close_world(world);
}

static void test_names_and_times(void **state)
{
    (void)state;
    struct world *world = open_world();
    const struct archive_origin late = {world->predictions, 0, 0, AT - DAY};
    const struct archive_origin imported = {world->predictions, ARCHIVE_IMPORTED, -1, AT - DAY};
    const struct given given = {1, 7, AT, .site = "a clinic\nwith a line"};
    write_prediction(&given, &world->text);
    GOOD(archive_batch_add_prediction(world->batch, buffer_bytes(&world->text), &late, &err));
    assert_int_equal(archive_batch_add_prediction(world->batch, buffer_bytes(&world->text), &imported, &err),
                     STATUS_REJECTED);
    GOOD(append(world, world->predictions, 0, -1, 1));
    walk(world);
    assert_int_equal(seen.rows[0].at, AT - DAY); // the topic's clock, as the worker's is a day ahead
    assert_string_equal(seen.site[0], ANALYSIS_OTHER);
    close_world(world);
}

static void expect_wrong_order(struct world *world, int64_t at, int64_t received_at)
{
    const struct archive_origin origin = {world->predictions, 0, 0, received_at};
    write_prediction(&(struct given){1, 7, at, .class = LESION_MEL}, &world->text);
    assert_int_equal(archive_batch_add_prediction(world->batch, buffer_bytes(&world->text), &origin, &err),
                     STATUS_REJECTED);
    assert_non_null(strstr(err.message, "wrong time order"));
}

// Clocks that were never set, and stages that went backwards by more than a clock is set by.
static void test_wrong_time_order(void **state)
{
    (void)state;
    struct world *world = open_world();
    const struct archive_origin origin = {world->feedback, 0, 0, AT};
    const int64_t first = 1262304000000; // date -u -d 2010-01-01 +%s
    char text[256];
    expect_wrong_order(world, 100, AT);
    expect_wrong_order(world, first - 1, AT);
    expect_wrong_order(world, first - 1, -1);
    expect_wrong_order(world, AT, 100); // a day in 1970 by the topic's clock, which is believed
    add(world, 0, 0, &(struct given){1, 7, first, .class = LESION_MEL});
    expect_refused(world, "\"consumed\":1795420799910", "\"consumed\":1795421100001", "wrong time order");
    expect_refused(world, "\"consumed\":1795420799910", "\"consumed\":1795421100000", NULL);
    snprintf(text, sizeof text,
             "{\"schema\":\"skinsight.feedback.v1\",\"feedback_id\":\"%s\",\"request_id\":\"%s\","
             "\"label\":\"MEL\",\"certainty\":\"clinician\",\"reviewed_at\":631151999999}",
             uuid(1), uuid(1)); // a millisecond before 1990
    assert_int_equal(archive_batch_add_feedback(world->batch, (struct bytes){(uint8_t *)text, strlen(text)},
                                                &origin, &err),
                     STATUS_REJECTED);
    assert_non_null(strstr(err.message, "wrong time order"));
    assert_int_equal(archive_batch_count(world->batch), 2);
    close_world(world);
}

// Whose an error is: the model that it was asked of, where the worker knew that.
static void test_model_of_an_error(void **state)
{
    (void)state;
    struct world *world = open_world();
    const struct archive_origin origin = {world->predictions, 0, 0, AT};
    write_prediction(&(struct given){1, 7, AT, .error = "internal"}, &world->text);
    char *text = memory_format("%.*s", (int)world->text.size, (const char *)world->text.data);
    char *named = memory_format("%.*s{\"model_version\":\"vit-1\",%s",
                                (int)(strstr(text, "\"provenance\":{") - text + 13), text,
                                strstr(text, "\"provenance\":{") + 14);
    GOOD(archive_batch_add_prediction(world->batch, (struct bytes){(uint8_t *)named, strlen(named)}, &origin,
                                      &err));
    add(world, 0, 1, &(struct given){2, 7, AT, .error = "internal"});
    GOOD(append(world, world->predictions, 0, -1, 2));
    walk_with(world, (struct archive_filter){.errors = true, .model_version = "vit-1"});
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.rows[0].request_id, uuid(1));
    free(named);
    free(text);
    close_world(world);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(test_labels_in_any_order), CASE(test_one_picture_with_many_labels),
        CASE(test_impossible_records),  CASE(test_error_without_code),
        CASE(test_names_and_times),     CASE(test_wrong_time_order),
        CASE(test_model_of_an_error)};
    RUN_ON_BOTH(cases);
}
