// test_content.c: digests of what a request is. The expected ones come from Python's hashlib and hmac over
// the canonical text written by hand.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "producer/gateway/content.h"

static void expect(const struct digest *digest, const char *text)
{
    char found[DIGEST_TEXT_SIZE];
    digest_text(digest, found);
    assert_string_equal(found, text);
}

static void test_same_content(void **state)
{
    (void)state;
    struct digest image = digest_of("abc", 3);
    struct job_metadata metadata;
    job_metadata_init(&metadata);
    struct digest digest = content_digest(&image, &metadata, "", false);
    expect(&digest, "c8a77d5e73221fe110b8f41197c45e4600484a27dc1821af8309f11935b7a489");
    metadata = (struct job_metadata){.patient_age = 54, .fitzpatrick_type = 3, .dermatoscope_attached = 1};
    strcpy(metadata.lesion_location, "upper_back");
    strcpy(metadata.capture_device, "iphone_15_pro");
    digest = content_digest(&image, &metadata, "vit-base-v2.1.0", true);
    expect(&digest, "e48dea02e6725041b0158b24add6d999cb5850ef9f372a0b8b13f14c181195a2");
}

static void test_every_part_counts(void **state)
{
    (void)state;
    struct digest image = digest_of("abc", 3), other = digest_of("abd", 3);
    struct job_metadata plain, changed;
    job_metadata_init(&plain);
    struct digest digests[8];
    size_t count = 0;
    digests[count++] = content_digest(&image, &plain, "", false);
    digests[count++] = content_digest(&other, &plain, "", false);
    digests[count++] = content_digest(&image, &plain, "a", false);
    digests[count++] = content_digest(&image, &plain, "", true);
    changed = plain;
    changed.patient_age = 0;
    digests[count++] = content_digest(&image, &changed, "", false);
    changed = plain;
    changed.dermatoscope_attached = 0;
    digests[count++] = content_digest(&image, &changed, "", false);
    changed = plain;
    strcpy(changed.lesion_location, "a");
    digests[count++] = content_digest(&image, &changed, "", false);
    changed = plain;
    strcpy(changed.capture_device, "a");
    digests[count++] = content_digest(&image, &changed, "", false);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_false(digest_equal(&digests[i], &digests[j]));
}

static void test_subject(void **state)
{
    (void)state;
    struct bytes key = {(const uint8_t *)"0123456789abcdef", 16};
    char subject[JOB_SUBJECT_SIZE];
    content_subject(key, "clinic-7", "A 17", subject);
    assert_string_equal(subject, "90b1fda050b9aa2309578d2c74a29fe2bcca609c0c823ec3ec7fa1686bc49e9f");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_content),
        cmocka_unit_test(test_every_part_counts),
        cmocka_unit_test(test_subject),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
