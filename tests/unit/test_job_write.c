// test_job_write.c: job records are written so that reading gives the same record back, for random records.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/parsed_job.h"

enum { IMAGE_MOST = 10000 };

static uint64_t random_state = 20261123;

static uint32_t random_below(uint32_t bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % bound;
}

static void random_text(char *text, const char *alphabet, size_t least, size_t most)
{
    size_t length = least + random_below((uint32_t)(most - least + 1));
    for (size_t i = 0; i < length; i++)
        text[i] = alphabet[random_below((uint32_t)strlen(alphabet))];
    text[length] = '\0';
}

static void random_record(struct job_record *record, uint8_t image[IMAGE_MOST])
{
    static const char token[] = "ABCXYZabcxyz0189_.-";
    static const char hex[] = "0123456789abcdef";
    *record = (struct job_record){.submitted_at = -1, .deadline_at = -1};
    job_metadata_init(&record->metadata);
    job_request_id_new(record->request_id);
    random_text(record->model_version, token, 0, 64);
    random_text(record->site, token, 0, random_below(2) * 64);
    if (random_below(2))
        random_text(record->subject, hex, 64, 64);
    for (size_t i = 0; i < DIGEST_SIZE; i++)
        record->image_sha256.value[i] = (uint8_t)random_below(256);
    record->has_image_sha256 = true;
    if (random_below(2)) {
        random_text(record->image_uri, "abcXYZ019:/._-~%?#&=+'()", 1, JOB_URI_SIZE - 1);
    } else {
        record->has_image_sha256 = random_below(2);
        record->image = (struct bytes){image, 1 + random_below(IMAGE_MOST)};
        for (size_t i = 0; i < record->image.size; i++)
            image[i] = (uint8_t)random_below(256);
    }
    if (!record->has_image_sha256)
        memset(&record->image_sha256, 0, sizeof record->image_sha256);
    record->metadata.patient_age = (int)random_below(132) - 1;
    record->metadata.fitzpatrick_type = random_below(2) ? -1 : 1 + (int)random_below(6);
    record->metadata.dermatoscope_attached = (int)random_below(3) - 1;
    random_text(record->metadata.lesion_location, token, 0, random_below(2) * 64);
    random_text(record->metadata.capture_device, token, 0, random_below(2) * 64);
    record->submitted_at = random_below(2) ? -1 : (int64_t)random_below(1u << 31) * (1 << 21) + 12345;
    record->deadline_at = random_below(3) ? INT64_C(9007199254740991) : 0;
    if (random_below(2)) {
        char trace[33];
        char parent[17];
        random_text(trace, hex, 32, 32);
        random_text(parent, hex, 16, 16);
        snprintf(record->traceparent, sizeof record->traceparent, "00-%s-%s-0%u", trace, parent,
                 random_below(2));
    }
}

static void assert_same(const struct job_record *a, const struct job_record *b)
{
    assert_true(bytes_equal(a->image, b->image));
    struct job_record left = *a;
    struct job_record right = *b;
    left.image = right.image = (struct bytes){0};
    assert_string_equal(left.request_id, right.request_id);
    assert_string_equal(left.model_version, right.model_version);
    assert_string_equal(left.site, right.site);
    assert_string_equal(left.subject, right.subject);
    assert_string_equal(left.image_uri, right.image_uri);
    assert_int_equal(left.has_image_sha256, right.has_image_sha256);
    assert_memory_equal(&left.image_sha256, &right.image_sha256, sizeof left.image_sha256);
    assert_int_equal(left.metadata.patient_age, right.metadata.patient_age);
    assert_int_equal(left.metadata.fitzpatrick_type, right.metadata.fitzpatrick_type);
    assert_int_equal(left.metadata.dermatoscope_attached, right.metadata.dermatoscope_attached);
    assert_string_equal(left.metadata.lesion_location, right.metadata.lesion_location);
    assert_string_equal(left.metadata.capture_device, right.metadata.capture_device);
    assert_true(left.submitted_at == right.submitted_at && left.deadline_at == right.deadline_at);
    assert_string_equal(left.traceparent, right.traceparent);
}

static void test_reading_undoes_writing(void **state)
{
    (void)state;
    uint8_t image[IMAGE_MOST];
    struct buffer out;
    struct error err;
    buffer_init(&out, 1 << 20);
    for (int i = 0; i < 2000; i++) {
        struct job_record record;
        struct parsed parsed;
        random_record(&record, image);
        buffer_clear(&out);
        if (job_record_write(&record, &out, &err) != STATUS_OK)
            fail_msg("record %d: %s", i, err.message);
        parse_bytes(&parsed, IMAGE_MOST, out.data, out.size);
        if (parsed.code != JOB_OK)
            fail_msg("record %d: %s\n%.*s", i, parsed.err.message, (int)out.size, (const char *)out.data);
        assert_same(&record, &parsed.record);
        free(parsed.image);
    }
    buffer_release(&out);
}

static void test_no_byte_changed_or_missing_breaks_the_reader(void **state)
{
    (void)state;
    uint8_t image[IMAGE_MOST];
    struct job_record record;
    struct buffer out;
    struct error err;
    struct parsed parsed;
    random_record(&record, image);
    buffer_init(&out, 1 << 20);
    assert_int_equal(job_record_write(&record, &out, &err), STATUS_OK);
    size_t most = out.size < 1500 ? out.size : 1500;
    for (size_t i = 0; i < most; i++) {
        parse_bytes(&parsed, IMAGE_MOST, out.data, i);
        assert_int_equal(parsed.code, JOB_INVALID_JSON);
        free(parsed.image);
        uint8_t before = out.data[i];
        out.data[i] = (uint8_t)random_below(256);
        parse_bytes(&parsed, IMAGE_MOST, out.data, out.size);
        free(parsed.image);
        out.data[i] = before;
    }
    buffer_release(&out);
}

static void test_writer_refuses_what_the_reader_would(void **state)
{
    (void)state;
    uint8_t image[IMAGE_MOST];
    struct job_record good;
    struct buffer out;
    struct error err;
    buffer_init(&out, 1 << 20);
    do
        random_record(&good, image);
    while (good.image_uri[0]);
    enum { BAD = 10 };
    struct job_record bad[BAD];
    for (size_t i = 0; i < BAD; i++)
        bad[i] = good;
    strcpy(bad[0].request_id, "no uuid");
    strcpy(bad[1].model_version, "a\"b");
    bad[2].image.size = 0;
    strcpy(bad[3].image_uri, "file:///a"); // and an inline image
    bad[4].metadata.patient_age = 131;
    strcpy(bad[5].metadata.capture_device, "a b");
    bad[6].deadline_at = -2;
    strcpy(bad[7].traceparent, "00");
    strcpy(bad[8].site, "St. Anna");
    strcpy(bad[9].subject, "patient-17");
    for (size_t i = 0; i < BAD; i++) {
        assert_int_equal(job_record_write(&bad[i], &out, &err), STATUS_REJECTED);
        assert_int_equal(out.size, 0);
    }
    out.limit = 100; // no half record stays behind
    assert_int_equal(job_record_write(&good, &out, &err), STATUS_REJECTED);
    assert_int_equal(out.size, 0);
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading_undoes_writing),
        cmocka_unit_test(test_no_byte_changed_or_missing_breaks_the_reader),
        cmocka_unit_test(test_writer_refuses_what_the_reader_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
