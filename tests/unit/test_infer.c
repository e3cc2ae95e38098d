// test_infer.c: what the infer stage does on a device that errs: which answers go on, which jobs end, and
// what the worker says of the device. The device is the test's: its answer is the first byte of the view.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/program/config.h"
#include "worker/stages/batch.h"
#include "worker/stages/stages.h"

enum { VIEW = 4, IMAGES = KNOWN_ANSWERS_DEFAULT, NEVER = 1000 };

// Counts what is run, known images and batches alike, from 0.
static struct device {
    int runs;
    int error_at;    // this run fails
    int other_from;  // from this run on the answers differ
    int nan_from;    // from this run on they are no numbers
    int faults_from; // from this question on the device reports a fault
    int asked;
} device;

static enum status run(struct plan *plan, const uint8_t *const *views, int count,
                       const struct inference *result, struct error *err)
{
    (void)plan;
    int number = device.runs++;
    if (number == device.error_at)
        return error_set(err, STATUS_FATAL, "the test's device failed");
    for (int i = 0; i < count * LESION_CLASSES; i++)
        result->logits[i] = number >= device.nan_from ? NAN : views[i / LESION_CLASSES][0];
    if (number >= device.other_from)
        result->logits[0] += 1;
    return STATUS_OK;
}

static enum status ask(struct backend *backend, struct error *err)
{
    (void)backend;
    return device.asked++ < device.faults_from ? STATUS_OK : error_set(err, STATUS_FATAL, "a fault");
}

static void no_figures(struct backend *backend, struct device_figures *figures)
{
    (void)backend;
    *figures = (struct device_figures){-1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
}

static const struct plan_ops plan_ops = {.run = run};
static const struct backend_ops backend_ops = {.health = ask, .figures = no_figures};

struct fixture {
    struct worker worker;
    struct config *config;
    struct model model;
    struct backend backend;
    struct plan plan;
};

static int set_up(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    struct worker *worker = &fixture->worker;
    struct offsets offsets;
    device = (struct device){.error_at = NEVER, .other_from = NEVER, .nan_from = NEVER, .faults_from = NEVER};
    fixture->backend = (struct backend){.ops = &backend_ops, .name = "test", .device = "test"};
    fixture->plan =
        (struct plan){.ops = &plan_ops, .max_batch = 4, .classes = LESION_CLASSES, .view_size = VIEW};
    worker->config = fixture->config =
        config_new_for_test(PROGRAM_WORKER, (const char *[]){"known_answer_batches=3"}, 1);
    worker->batch_max = 4;
    worker->served.engine =
        (struct engine){.model = &fixture->model, .backend = &fixture->backend, .plan = &fixture->plan};
    known_images_init(&worker->served.known_images, &worker->served.engine);
    flights_init(&worker->served.flights);
    unproven_init(&worker->unproven);
    assignment_init(&worker->assignment);
    offsets_init(&offsets, 0, 100);
    assignment_add(&worker->assignment, TOPIC_ROUTINE, 0, &offsets);
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        queue_init(&worker->inboxes[stage], 8, 80);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    struct worker *worker = &fixture->worker;
    assert_int_equal(atomic_load(&worker->unfinished), 0);
    assert_int_equal(atomic_load(&worker->device_batches), 0);
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        queue_release(&worker->inboxes[stage]);
    assignment_release(&worker->assignment);
    unproven_release(&worker->unproven);
    flights_release(&worker->served.flights);
    known_images_release(&worker->served.known_images);
    config_free(fixture->config);
    free(fixture);
    return 0;
}

// Runs the stage on so many batches of one job each; gives how many jobs go on, the last of them in *last.
static int run_batches(struct fixture *fixture, int count, struct job *last)
{
    struct worker *worker = &fixture->worker;
    for (int i = 0; i < count; i++) {
        struct batch *batch = memory_alloc(sizeof *batch);
        struct job *job = job_new(0, 0);
        job->served = &worker->served;
        job->offset = i;
        job->epoch = assignment_epoch(&worker->assignment, job->topic, job->partition);
        assert_int_equal(assignment_take(&worker->assignment, job), TAKE_NEW);
        job->view = memory_alloc(VIEW);
        job->view[0] = (uint8_t)(10 + i);
        batch->jobs[batch->count++] = job;
        atomic_fetch_add(&worker->unfinished, 1);
        atomic_fetch_add(&worker->device_batches, 1);
        assert_int_equal(queue_push(&worker->inboxes[STAGE_INFER], QUEUE_ROUTINE, batch), QUEUE_OK);
    }
    queue_close(&worker->inboxes[STAGE_INFER]);
    infer_loop(worker);
    void *item;
    int passed = 0;
    for (; queue_pop(&worker->inboxes[STAGE_POSTPROCESS], &item, 0) == QUEUE_OK; passed++) {
        *last = *(struct job *)item;
        worker_end_job(worker, item);
    }
    return passed;
}

static void test_a_good_device(void **state)
{
    struct fixture *fixture = *state;
    struct job last;
    assert_int_equal(run_batches(fixture, 4, &last), 4);
    assert_int_equal(last.code, JOB_OK);
    assert_true(last.logits[0] == 13 && last.logits[LESION_CLASSES - 1] == 13);
    assert_int_equal(fixture->worker.device, DEVICE_GOOD);
    assert_int_equal(device.runs, IMAGES + 3 + IMAGES + 1); // checked at the start and after three batches
    assert_false(fixture->worker.failed);
}

static void test_an_error_is_tried_again_after_a_check(void **state)
{
    struct fixture *fixture = *state;
    struct job last;
    device.error_at = IMAGES;
    assert_int_equal(run_batches(fixture, 1, &last), 1);
    assert_true(last.logits[0] == 10);
    assert_int_equal(device.runs, IMAGES + 1 + IMAGES + 1);
    assert_int_equal(fixture->worker.device, DEVICE_GOOD);
}

static void test_a_device_that_fails_its_first_check_runs_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct job last;
    device.error_at = IMAGES - 1;
    assert_int_equal(run_batches(fixture, 2, &last), 0);
    assert_int_equal(device.runs, IMAGES);
    assert_int_equal(fixture->worker.device, DEVICE_LOST);
    assert_true(fixture->worker.failed);
}

// The batch whose check fails is not answered any more, nor is what comes after it.
static void test_other_answers_than_before(void **state)
{
    struct fixture *fixture = *state;
    struct job last;
    device.other_from = IMAGES + 1;
    assert_int_equal(run_batches(fixture, 4, &last), 2);
    assert_int_equal(fixture->worker.device, DEVICE_WRONG);
    assert_true(worker_suspects(&fixture->worker, &last)); // and the publish stage keeps it back
    assert_string_equal(fixture->worker.failure.message,
                        "device 'test' fails known image 1: it was computed before with other bits");
}

static void test_a_fault_after_a_batch(void **state)
{
    struct fixture *fixture = *state;
    struct job last;
    device.faults_from = 2; // the check asks first, then the first batch
    assert_int_equal(run_batches(fixture, 3, &last), 1);
    assert_int_equal(fixture->worker.device, DEVICE_LOST);
    assert_false(worker_suspects(&fixture->worker, &last)); // its answers were right
    assert_string_equal(fixture->worker.failure.message, "a fault");
}

// The input is bytes, so the device is asked; it computes its known images right.
static void test_no_number_twice_is_the_networks_fault(void **state)
{
    struct fixture *fixture = *state;
    struct job last;
    known_images_release(&fixture->worker.served.known_images);
    fixture->worker.served.known_images.known.count = 0;
    device.nan_from = 0;
    assert_int_equal(run_batches(fixture, 1, &last), 1);
    assert_int_equal(last.code, JOB_INTERNAL);
    assert_int_equal(device.runs, 2);
    assert_int_equal(fixture->worker.device, DEVICE_GOOD);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_good_device),
        TEST(test_an_error_is_tried_again_after_a_check),
        TEST(test_a_device_that_fails_its_first_check_runs_nothing),
        TEST(test_other_answers_than_before),
        TEST(test_a_fault_after_a_batch),
        TEST(test_no_number_twice_is_the_networks_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
