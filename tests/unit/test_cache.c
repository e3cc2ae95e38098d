// test_cache.c: values of the cache: what is stored comes back whole, and whatever differs in a bit, or is
// about something else, is a miss.
#include "worker/cache.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SCOPE "model=m backend=cpu"

static struct job *job_of(const char *image)
{
    struct job *job = job_new(1024, 1024);
    job->image_sha256 = digest_of(image, 1);
    return job;
}

static struct cache_value stored(void)
{
    struct cache_value value;
    struct job *job = job_of("a");
    for (int i = 0; i < LESION_CLASSES; i++)
        job->logits[i] = (float)i - 3.5f;
    job->features.brightness = 0.25f;
    job->features.histogram_b[15] = 0.75f;
    strcpy(job->attention_key, "attention/a.png");
    job->attention_sha256 = digest_of("map", 3);
    cache_value_fill(&value, SCOPE, job);
    job_free(job);
    return value;
}

static bool is_hit(const void *value, size_t size, const char *scope, const char *image)
{
    struct job *job = job_of(image);
    uint8_t *exact = malloc(size); // so that a sanitizer sees a read behind its end
    assert_non_null(exact);
    memcpy(exact, value, size);
    bool hit = cache_value_read((struct bytes){exact, size}, scope, job);
    assert_true(hit || !job->attention_key[0]); // of a miss nothing is taken
    free(exact);
    job_free(job);
    return hit;
}

static void test_what_is_stored_comes_back(void **state)
{
    (void)state;
    struct cache_value value = stored();
    struct job *job = job_of("a");
    assert_true(cache_value_read((struct bytes){(const uint8_t *)&value, sizeof value}, SCOPE, job));
    for (int i = 0; i < LESION_CLASSES; i++)
        assert_true(job->logits[i] == (float)i - 3.5f);
    assert_true(job->features.brightness == 0.25f && job->features.histogram_b[15] == 0.75f);
    assert_string_equal(job->attention_key, "attention/a.png");
    struct digest map = digest_of("map", 3);
    assert_true(digest_equal(&job->attention_sha256, &map));
    job_free(job);
}

static void test_another_scope_image_or_size_is_a_miss(void **state)
{
    (void)state;
    struct {
        struct cache_value value;
        uint8_t more;
    } larger = {stored(), 0};
    assert_true(is_hit(&larger, sizeof larger.value, SCOPE, "a"));
    assert_false(is_hit(&larger, sizeof larger.value - 1, SCOPE, "a"));
    assert_false(is_hit(&larger, sizeof larger.value + 1, SCOPE, "a"));
    assert_false(is_hit(&larger, sizeof larger.value, SCOPE "x", "a"));
    assert_false(is_hit(&larger, sizeof larger.value, "model=m", "a"));
    assert_false(is_hit(&larger, sizeof larger.value, SCOPE, "b"));
}

static void test_a_bit_that_differs_is_a_miss(void **state)
{
    (void)state;
    struct cache_value value = stored();
    for (size_t i = 0; i < sizeof value; i++) {
        ((uint8_t *)&value)[i] ^= 1;
        if (is_hit(&value, sizeof value, SCOPE, "a"))
            fail_msg("byte %zu may be anything", i);
        ((uint8_t *)&value)[i] ^= 1;
    }
}

// Whoever can write to Redis can compute a checksum too.
static bool is_forged_hit(struct cache_value value)
{
    value.checksum = digest_of(&value, offsetof(struct cache_value, checksum));
    return is_hit(&value, sizeof value, SCOPE, "a");
}

static void test_what_no_answer_can_hold_is_a_miss(void **state)
{
    (void)state;
    struct cache_value value = stored();
    assert_true(is_forged_hit(value));
    value.magic[7] = '2';
    assert_false(is_forged_hit(value));
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        value = stored();
        value.logits[7] = bad[i];
        assert_false(is_forged_hit(value));
    }
    value = stored();
    value.attention_key[0] = '\0';
    assert_false(is_forged_hit(value));
    memset(value.attention_key, 'a', sizeof value.attention_key); // without an end
    assert_false(is_forged_hit(value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_stored_comes_back),
        cmocka_unit_test(test_another_scope_image_or_size_is_a_miss),
        cmocka_unit_test(test_a_bit_that_differs_is_a_miss),
        cmocka_unit_test(test_what_no_answer_can_hold_is_a_miss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
