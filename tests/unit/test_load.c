// test_load.c: an image from the object store counts from its loading to its decoding, waits for room while
// others hold more than intake_limit_bytes, and is not loaded any more once the partition has gone.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "tests/support/process.h"
#include "worker/stages/stages.h"

enum { LIMIT = 1000, IMAGE = 400 };

struct fixture {
    char scratch[SCRATCH_SIZE];
    struct worker worker;
    struct job *job;
    atomic_bool begun;
    enum stage_id next; // of the job
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    struct worker *worker = &fixture->worker;
    struct offsets offsets;
    struct error err;
    char root[SCRATCH_SIZE + 8];
    scratch_make(fixture->scratch);
    snprintf(root, sizeof root, "file://%s", fixture->scratch);
    assert_int_equal(object_store_open(&worker->objects, &(struct object_store_options){.root = root}, &err),
                     STATUS_OK);
    worker->max_image_bytes = LIMIT;
    worker->intake_limit_bytes = LIMIT;
    assignment_init(&worker->assignment);
    offsets_init(&offsets, 0, 100);
    assignment_add(&worker->assignment, TOPIC_ROUTINE, 0, &offsets);
    flights_init(&worker->served.flights);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    flights_release(&fixture->worker.served.flights);
    assignment_release(&fixture->worker.assignment);
    object_store_close(fixture->worker.objects);
    scratch_remove(fixture->scratch);
    free(fixture);
    return 0;
}

static void put_image(struct fixture *fixture)
{
    static const uint8_t bytes[IMAGE] = {0xff, 0xd8};
    struct error err;
    struct bytes image = {bytes, sizeof bytes};
    assert_int_equal(object_store_put(fixture->worker.objects, "images/a.jpg", image, "image/jpeg", &err),
                     STATUS_OK);
}

static struct job *take_job(struct worker *worker, int64_t offset)
{
    struct job *job = job_new(10, 10);
    job->served = &worker->served;
    job->offset = offset;
    object_store_uri(worker->objects, "images/a.jpg", job->record.image_uri);
    job->epoch = assignment_epoch(&worker->assignment, job->topic, job->partition);
    assert_int_equal(assignment_take(&worker->assignment, job), TAKE_NEW);
    return job;
}

// A job with an image of its own, of so many bytes.
static struct job *hold(struct worker *worker, int64_t offset, size_t size)
{
    struct job *job = take_job(worker, offset);
    job->inline_image = memory_alloc(size);
    job->image = (struct bytes){job->inline_image, size};
    worker_count_bytes(worker, job);
    return job;
}

static void *load(void *context)
{
    struct fixture *fixture = context;
    atomic_store(&fixture->begun, true);
    fixture->next = load_step(&fixture->worker, fixture->job);
    return NULL;
}

static pthread_t begin_loading(struct fixture *fixture, struct job *job)
{
    pthread_t thread;
    fixture->job = job;
    assert_int_equal(pthread_create(&thread, NULL, load, fixture), 0);
    while (!atomic_load(&fixture->begun))
        sched_yield();
    return thread;
}

static void test_an_image_counts_until_it_is_decoded(void **state)
{
    struct fixture *fixture = *state;
    struct worker *worker = &fixture->worker;
    struct job *other = hold(worker, 0, LIMIT - IMAGE + 1);
    struct job *job = take_job(worker, 1);
    put_image(fixture);
    assert_int_equal(load_step(worker, job), STAGE_DECODE);
    assert_int_equal(atomic_load(&worker->image_bytes), LIMIT + 1);
    assert_false(worker_has_bytes(worker));
    assert_int_equal(decode_step(worker, job), STAGE_POSTPROCESS); // it is no JPEG
    assert_int_equal(atomic_load(&worker->image_bytes), LIMIT - IMAGE + 1);
    assert_true(worker_has_bytes(worker));
    worker_end_job(worker, other);
    worker_end_job(worker, job);
    assert_int_equal(atomic_load(&worker->image_bytes), 0);
}

static void test_an_image_waits_for_room(void **state)
{
    struct fixture *fixture = *state;
    struct worker *worker = &fixture->worker;
    struct job *other = hold(worker, 0, LIMIT + 1), *job = take_job(worker, 1);
    pthread_t thread = begin_loading(fixture, job);
    put_image(fixture); // now only: who had not waited would not have found it
    worker_end_job(worker, other);
    pthread_join(thread, NULL);
    assert_int_equal(fixture->next, STAGE_DECODE);
    assert_int_equal(atomic_load(&worker->image_bytes), IMAGE);
    worker_end_job(worker, job);
}

// Where nobody holds an image nobody would make room: what fills the limit are records that wait themselves.
static void test_records_alone_hold_nothing_up(void **state)
{
    struct fixture *fixture = *state;
    struct worker *worker = &fixture->worker;
    struct job *job = take_job(worker, 0);
    atomic_store(&worker->record_bytes, LIMIT + 1);
    put_image(fixture);
    assert_int_equal(load_step(worker, job), STAGE_DECODE);
    worker_end_job(worker, job);
}

static void test_a_lost_partition_ends_the_wait(void **state)
{
    struct fixture *fixture = *state;
    struct worker *worker = &fixture->worker;
    struct job *other = hold(worker, 0, LIMIT + 1), *job = take_job(worker, 1);
    put_image(fixture);
    pthread_t thread = begin_loading(fixture, job);
    assignment_clear(&worker->assignment);
    pthread_join(thread, NULL);
    assert_int_equal(fixture->next, STAGE_NONE);
    worker_end_job(worker, job);
    worker_end_job(worker, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_image_counts_until_it_is_decoded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_image_waits_for_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_records_alone_hold_nothing_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_lost_partition_ends_the_wait, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
