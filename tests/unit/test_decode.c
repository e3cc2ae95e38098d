// test_decode.c: pictures are decoded together as far as intake_limit_bytes has room for what they take; a
// larger one alone, and small ones don't overtake it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "worker/stages/stages.h"

enum { LIMIT = 1000, THREADS = 4, ROUNDS = 2000 };

struct fixture {
    struct worker worker;
    struct job *job;
    size_t size;
    atomic_bool admitted;
    atomic_llong largest; // sum of all pictures at any moment
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    fixture->worker.intake_limit_bytes = LIMIT;
    pthread_mutex_init(&fixture->worker.picture_turn, NULL);
    flights_init(&fixture->worker.served.flights);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(atomic_load(&fixture->worker.picture_bytes), 0);
    flights_release(&fixture->worker.served.flights);
    pthread_mutex_destroy(&fixture->worker.picture_turn);
    free(fixture);
    return 0;
}

static struct job *admit(struct worker *worker, size_t size)
{
    struct job *job = job_new(1, 1);
    job->served = &worker->served;
    worker_admit_picture(worker, job, size);
    return job;
}

static void end(struct worker *worker, struct job *job)
{
    job->picture_size = 0;
    worker_count_bytes(worker, job);
    worker_end_job(worker, job);
}

static void *run_admission(void *context)
{
    struct fixture *fixture = context;
    fixture->job = admit(&fixture->worker, fixture->size);
    atomic_store(&fixture->admitted, true);
    return NULL;
}

// A thread that asks for room; returns once it holds the turn, or is through.
static pthread_t begin_admission(struct fixture *fixture, size_t size)
{
    pthread_t thread;
    fixture->size = size;
    assert_int_equal(pthread_create(&thread, NULL, run_admission, fixture), 0);
    while (!atomic_load(&fixture->admitted) && pthread_mutex_trylock(&fixture->worker.picture_turn) == 0) {
        pthread_mutex_unlock(&fixture->worker.picture_turn);
        sched_yield();
    }
    return thread;
}

static void test_a_picture_larger_than_the_limit_goes_alone(void **state)
{
    struct fixture *fixture = *state;
    struct worker *worker = &fixture->worker;
    atomic_store(&worker->record_bytes, LIMIT);
    end(worker, admit(worker, 100 * LIMIT)); // nobody is waited for
    struct job *small = admit(worker, 1);
    pthread_t thread = begin_admission(fixture, 100 * LIMIT);
    assert_false(atomic_load(&fixture->admitted));
    end(worker, small);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&worker->picture_bytes), 100 * LIMIT);
    end(worker, fixture->job);
    atomic_store(&worker->record_bytes, 0);
}

static void test_records_and_images_take_room_from_pictures(void **state)
{
    struct fixture *fixture = *state;
    struct worker *worker = &fixture->worker;
    atomic_store(&worker->record_bytes, 300);
    atomic_store(&worker->image_bytes, 300);
    struct job *first = admit(worker, 200), *second = admit(worker, 200);
    pthread_t thread = begin_admission(fixture, 1);
    assert_false(atomic_load(&fixture->admitted));
    end(worker, first);
    pthread_join(thread, NULL);
    end(worker, second);
    end(worker, fixture->job);
    atomic_store(&worker->record_bytes, 0);
    atomic_store(&worker->image_bytes, 0);
}

static void *decode_many(void *context)
{
    struct fixture *fixture = context;
    struct worker *worker = &fixture->worker;
    for (int i = 0; i < ROUNDS; i++) {
        struct job *job = admit(worker, LIMIT / 3);
        long long sum = atomic_load(&worker->picture_bytes), largest = atomic_load(&fixture->largest);
        while (sum > largest && !atomic_compare_exchange_weak(&fixture->largest, &largest, sum))
            ;
        end(worker, job);
    }
    return NULL;
}

static void test_threads_together_keep_the_limit(void **state)
{
    struct fixture *fixture = *state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, decode_many, fixture), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(atomic_load(&fixture->largest), LIMIT / 3, LIMIT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_picture_larger_than_the_limit_goes_alone),
        TEST(test_records_and_images_take_room_from_pictures),
        TEST(test_threads_together_keep_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
