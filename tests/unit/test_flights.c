// test_flights.c: who leads, who rides, and that nobody is forgotten.
#include "worker/cache/flights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct job *job_of(const char *image)
{
    struct job *job = job_new(1024, 1024);
    job->image_sha256 = digest_of(image, 1);
    return job;
}

static void test_equal_images_ride(void **state)
{
    (void)state;
    struct flights flights;
    flights_init(&flights);
    struct job *a = job_of("a"), *b = job_of("b"), *a2 = job_of("a"), *a3 = job_of("a");
    assert_false(flights_board(&flights, a));
    assert_false(flights_board(&flights, b));
    assert_true(flights_board(&flights, a2));
    assert_true(flights_board(&flights, a3));
    assert_null(flights_land(&flights, b));
    struct job *riders = flights_land(&flights, a);
    assert_true((riders == a3 && riders->next_rider == a2) || (riders == a2 && riders->next_rider == a3));
    assert_null(flights_land(&flights, a)); // it has landed
    struct job *late = job_of("a");
    assert_false(flights_board(&flights, late)); // so the next equal one leads again
    assert_null(flights_land(&flights, late));
    for (int i = 0; i < FLIGHTS_LISTS; i++)
        assert_null(flights.leaders[i]);
    job_free(a), job_free(b), job_free(a2), job_free(a3), job_free(late);
    flights_release(&flights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_equal_images_ride)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
