// test_cache.c: values of the cache: what is stored comes back whole; what differs in a bit, is about
// something else, or holds what no computation gives is refused, also with a right seal.
#include "worker/cache/cache_value.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct cache_terms terms = {.scope = "model=m backend=cpu",
                                         .map_suffix = "-m-s.png",
                                         .secret = "sixteen bytes...",
                                         .secret_size = 16};

static struct job *job_of(const char *image)
{
    struct job *job = job_new(1024, 1024);
    job->image_sha256 = digest_of(image, 1);
    return job;
}

// The answer to a grey image.
static struct cache_value stored(void)
{
    struct cache_value value;
    struct job *job = job_of("a");
    for (int i = 0; i < LESION_CLASSES; i++)
        job->logits[i] = (float)i - 3.5f;
    job->features = (struct features){.brightness = 0.5f, .entropy_nats = 1.5f};
    job->features.histogram_r[8] = job->features.histogram_g[8] = 1;
    for (int i = 0; i < FEATURES_BINS; i++)
        job->features.histogram_b[i] = 1.0f / FEATURES_BINS;
    cache_map_key(&terms, &job->image_sha256, job->attention_key);
    job->attention_sha256 = digest_of("map", 3);
    cache_value_fill(&value, &terms, job);
    job_free(job);
    return value;
}

static enum cache_refusal read_value(const void *value, size_t size, const struct cache_terms *reader,
                                     const char *image)
{
    struct job *job = job_of(image);
    uint8_t *exact = malloc(size); // so that a sanitizer sees a read behind its end
    assert_non_null(exact);
    memcpy(exact, value, size);
    enum cache_refusal refusal = cache_value_read((struct bytes){exact, size}, reader, job);
    assert_true(refusal == CACHE_BELIEVED || !job->attention_key[0]); // nothing is taken of what is refused
    free(exact);
    job_free(job);
    return refusal;
}

static void test_what_is_stored_comes_back(void **state)
{
    (void)state;
    struct cache_value value = stored();
    struct job *job = job_of("a");
    char map[OBJECT_KEY_SIZE];
    assert_int_equal(cache_value_read((struct bytes){(const uint8_t *)&value, sizeof value}, &terms, job),
                     CACHE_BELIEVED);
    for (int i = 0; i < LESION_CLASSES; i++)
        assert_true(job->logits[i] == (float)i - 3.5f);
    assert_true(job->features.brightness == 0.5f && job->features.histogram_b[15] == 0.0625f);
    cache_map_key(&terms, &job->image_sha256, map);
    assert_string_equal(job->attention_key, map);
    struct digest digest = digest_of("map", 3);
    assert_true(digest_equal(&job->attention_sha256, &digest));
    job_free(job);
}

// SHA-256 of "a", FIPS 180's algorithm by another program (sha256sum).
static void test_the_key_of_a_map(void **state)
{
    (void)state;
    struct digest image = digest_of("a", 1);
    char map[OBJECT_KEY_SIZE];
    cache_map_key(&terms, &image, map);
    assert_string_equal(map,
                        "attention/ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb-m-s.png");
}

static void test_another_size_image_or_scope(void **state)
{
    (void)state;
    struct {
        struct cache_value value;
        uint8_t more;
    } larger = {stored(), 0};
    struct cache_terms other = terms;
    assert_int_equal(read_value(&larger, sizeof larger.value, &terms, "a"), CACHE_BELIEVED);
    assert_int_equal(read_value(&larger, sizeof larger.value - 1, &terms, "a"), CACHE_REFUSED_FORM);
    assert_int_equal(read_value(&larger, sizeof larger.value + 1, &terms, "a"), CACHE_REFUSED_FORM);
    assert_int_equal(read_value(&larger, sizeof larger.value, &terms, "b"), CACHE_REFUSED_OTHER_KEY);
    strcpy(other.scope, "model=m backend=cpux");
    assert_int_equal(read_value(&larger, sizeof larger.value, &other, "a"), CACHE_REFUSED_OTHER_KEY);
    strcpy(other.scope, "model=m");
    assert_int_equal(read_value(&larger, sizeof larger.value, &other, "a"), CACHE_REFUSED_OTHER_KEY);
}

static void test_another_secret(void **state)
{
    (void)state;
    struct cache_value value = stored();
    struct cache_terms other = terms;
    other.secret[15] ^= 1;
    assert_int_equal(read_value(&value, sizeof value, &other, "a"), CACHE_REFUSED_SEAL);
    other.secret_size = 0;
    assert_int_equal(read_value(&value, sizeof value, &other, "a"), CACHE_REFUSED_SEAL);
    cache_value_seal(&value, &other);
    assert_int_equal(read_value(&value, sizeof value, &terms, "a"), CACHE_REFUSED_SEAL);
    value.seal = digest_of(&value, offsetof(struct cache_value, seal)); // SSCACHE1's checksum
    assert_int_equal(read_value(&value, sizeof value, &terms, "a"), CACHE_REFUSED_SEAL);
}

static void test_a_bit_that_differs(void **state)
{
    (void)state;
    struct cache_value value = stored();
    for (size_t i = 0; i < sizeof value; i++) {
        ((uint8_t *)&value)[i] ^= 1;
        if (read_value(&value, sizeof value, &terms, "a") == CACHE_BELIEVED)
            fail_msg("byte %zu may be anything", i);
        ((uint8_t *)&value)[i] ^= 1;
    }
}

static void expect_refused(struct cache_value *value, enum cache_refusal wanted)
{
    cache_value_seal(value, &terms);
    assert_int_equal(read_value(value, sizeof *value, &terms, "a"), wanted);
    *value = stored();
}

// A worker with the secret may be out of its mind.
static void test_numbers_that_no_image_has(void **state)
{
    (void)state;
    struct cache_value value = stored();
    float *const fields[] = {&value.logits[0],
                             &value.logits[LESION_CLASSES - 1],
                             &value.features.brightness,
                             &value.features.contrast,
                             &value.features.sharpness,
                             &value.features.entropy_nats,
                             &value.features.histogram_r[0],
                             &value.features.histogram_g[8],
                             &value.features.histogram_b[15]};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        static const float never[] = {NAN, INFINITY, -INFINITY};
        for (int k = 0; k < 3; k++) {
            *fields[i] = never[k];
            expect_refused(&value, CACHE_REFUSED_CONTENT);
        }
        *fields[i] = -1e-3f;
        expect_refused(&value, i < 2 ? CACHE_BELIEVED : CACHE_REFUSED_CONTENT);
    }
    value.features.brightness = 1.001f;
    expect_refused(&value, CACHE_REFUSED_CONTENT);
    value.features.contrast = 0.501f;
    expect_refused(&value, CACHE_REFUSED_CONTENT);
    value.features.sharpness = 16.1f;
    expect_refused(&value, CACHE_REFUSED_CONTENT);
    value.features.histogram_b[15] = 0.0f; // a sum of 15/16
    expect_refused(&value, CACHE_REFUSED_CONTENT);
    value.distance = 1; // without a reference
    expect_refused(&value, CACHE_REFUSED_CONTENT);
    value.quantile = 0.5f;
    expect_refused(&value, CACHE_REFUSED_CONTENT);
}

// Of a model with a reference each answer has its place, of one without none.
static void test_the_place_among_what_the_model_has_learnt(void **state)
{
    (void)state;
    struct cache_terms with = terms;
    struct cache_value value = stored();
    struct job *job = job_of("a");
    with.has_reference = true;
    assert_int_equal(read_value(&value, sizeof value, &with, "a"), CACHE_REFUSED_CONTENT);
    job->ood = (struct ood_values){.distance = 7.25f, .quantile = 0.875f};
    value.distance = job->ood.distance;
    value.quantile = job->ood.quantile;
    cache_value_seal(&value, &with);
    assert_int_equal(read_value(&value, sizeof value, &terms, "a"), CACHE_REFUSED_CONTENT);
    job->ood = (struct ood_values){0};
    assert_int_equal(cache_value_read((struct bytes){(const uint8_t *)&value, sizeof value}, &with, job),
                     CACHE_BELIEVED);
    assert_true(job->ood.distance == 7.25f && job->ood.quantile == 0.875f);
    static const float places[][2] = {{-1, 0.5f},  {INFINITY, 0.5f}, {NAN, 0.5f},
                                      {1, -0.01f}, {1, 1.01f},       {1, NAN}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        value.distance = places[i][0];
        value.quantile = places[i][1];
        cache_value_seal(&value, &with);
        assert_int_equal(read_value(&value, sizeof value, &with, "a"), CACHE_REFUSED_CONTENT);
    }
    job_free(job);
}

static void test_another_map_or_version(void **state)
{
    (void)state;
    struct cache_value value = stored();
    value.magic[7] = '1';
    expect_refused(&value, CACHE_REFUSED_FORM);
    struct digest other = digest_of("b", 1);
    cache_map_key(&terms, &other, value.attention_key);
    expect_refused(&value, CACHE_REFUSED_OTHER_KEY);
    strcpy(value.attention_key, "images/of/a/patient.jpg");
    expect_refused(&value, CACHE_REFUSED_OTHER_KEY);
    value.attention_key[0] = '\0';
    expect_refused(&value, CACHE_REFUSED_OTHER_KEY);
    memset(value.attention_key, 'a', sizeof value.attention_key); // without an end
    expect_refused(&value, CACHE_REFUSED_OTHER_KEY);
    value.attention_key[sizeof value.attention_key - 1] = 'x'; // behind its end
    expect_refused(&value, CACHE_REFUSED_OTHER_KEY);
}

static bool may_run(const char *cache, const char *secret)
{
    char url[100], file[100];
    const char *const settings[] = {url, file};
    struct error err;
    snprintf(url, sizeof url, "cache=%s", cache);
    snprintf(file, sizeof file, "cache_secret=%s", secret);
    struct config *config = config_new_for_test(PROGRAM_WORKER, settings, 2);
    enum status status = cache_check(config, &err);
    config_free(config);
    return status == STATUS_OK;
}

static void test_a_redis_elsewhere_needs_a_secret(void **state)
{
    (void)state;
    static const char *const near[] = {"none", "redis://127.0.0.1", "redis://127.255.0.1:7/3",
                                       "redis://u:p@localhost:6379", "redis://[::1]:6379"};
    static const char *const far[] = {
        "redis://redis", "redis://10.0.0.1",     "redis://128.0.0.1",          "redis://0.0.0.0",
        "redis://[::]",  "redis://[::2]:6379",   "redis://localhost.evil.org", "redis://127.0.0.1.x",
        "redis://127.1", "redis://127.0.0.1:x@h"};
    for (size_t i = 0; i < sizeof near / sizeof *near; i++)
        assert_true(may_run(near[i], ""));
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        if (may_run(far[i], ""))
            fail_msg("%s", far[i]);
        assert_true(may_run(far[i], "/a/file"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_stored_comes_back),
        cmocka_unit_test(test_the_key_of_a_map),
        cmocka_unit_test(test_another_size_image_or_scope),
        cmocka_unit_test(test_another_secret),
        cmocka_unit_test(test_a_bit_that_differs),
        cmocka_unit_test(test_numbers_that_no_image_has),
        cmocka_unit_test(test_the_place_among_what_the_model_has_learnt),
        cmocka_unit_test(test_another_map_or_version),
        cmocka_unit_test(test_a_redis_elsewhere_needs_a_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
