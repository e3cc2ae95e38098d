// test_queue.c: order, limit, lanes, closing and waking of the bounded queue. Where a test must know that a
// thread waits, it asks the kernel for the thread's state until a deadline, rather than sleeping and hoping.
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/queue.h"

enum { DEADLINE_MS = 20000, PRODUCERS = 4, CONSUMERS = 4, ITEMS = 5000, CAPACITY = 7, SHARE = 80 };

static int numbers[64];
static int routine_number;
static void *const routine_item = &routine_number;

static void fill(struct queue *queue, enum queue_lane lane, int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(queue_try_push(queue, lane, &numbers[i]), QUEUE_OK);
}

static void test_order_and_limit(void **state)
{
    (void)state;
    struct queue queue;
    void *item;
    queue_init(&queue, 3, SHARE);
    assert_int_equal(queue_pop(&queue, &item, 0), QUEUE_TIMEOUT);
    for (int round = 0; round < 5; round++) { // the ring wraps at a different place each time
        fill(&queue, QUEUE_ROUTINE, 3);
        assert_int_equal(queue_try_push(&queue, QUEUE_ROUTINE, &numbers[3]), QUEUE_FULL);
        assert_int_equal(queue_count(&queue), 3);
        assert_int_equal(queue_pop(&queue, &item, 0), QUEUE_OK);
        assert_ptr_equal(item, &numbers[0]);
        assert_int_equal(queue_push(&queue, QUEUE_ROUTINE, &numbers[9]), QUEUE_OK);
        static const int expected[] = {1, 2, 9};
        for (int i = 0; i < 3; i++) {
            assert_int_equal(queue_pop(&queue, &item, QUEUE_WAIT_FOREVER), QUEUE_OK);
            assert_ptr_equal(item, &numbers[expected[i]]);
        }
        fill(&queue, QUEUE_ROUTINE, 1);
        assert_int_equal(queue_pop(&queue, &item, 0), QUEUE_OK);
    }
    queue_release(&queue);
    queue_release(&queue); // twice is harmless
}

// Pops count items, each replaced at once by one of its lane, and says how many were routine.
static int count_routine(struct queue *queue, int count)
{
    int routine = 0;
    for (int i = 0; i < count; i++) {
        void *item;
        assert_int_equal(queue_pop(queue, &item, 0), QUEUE_OK);
        if (item == routine_item) {
            routine++;
            assert_int_equal(queue_try_push(queue, QUEUE_ROUTINE, routine_item), QUEUE_OK);
        } else {
            assert_int_equal(queue_try_push(queue, QUEUE_URGENT, &numbers[0]), QUEUE_OK);
        }
    }
    return routine;
}

// While both lanes are kept filled, each gets exactly its share, evenly over time.
static void test_shares_of_the_lanes(void **state)
{
    (void)state;
    static const unsigned shares[] = {50, 80, 99, 1};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        struct queue queue;
        queue_init(&queue, 2, shares[i]);
        fill(&queue, QUEUE_URGENT, 2);
        assert_int_equal(queue_push(&queue, QUEUE_ROUTINE, routine_item), QUEUE_OK);
        for (int round = 0; round < 3; round++)
            assert_int_equal(count_routine(&queue, 100), 100 - shares[i]);
        queue_release(&queue);
    }
}

static void test_a_lane_alone_gets_every_turn(void **state)
{
    (void)state;
    struct queue queue;
    void *item;
    queue_init(&queue, 8, 100);
    for (int lane = 0; lane < QUEUE_LANES; lane++) {
        fill(&queue, (enum queue_lane)lane, 8);
        for (int i = 0; i < 8; i++) {
            assert_int_equal(queue_pop(&queue, &item, 0), QUEUE_OK);
            assert_ptr_equal(item, &numbers[i]);
        }
    }
    queue_release(&queue);
}

// A full lane neither takes room from the other nor lets it wait.
static void test_lanes_have_a_capacity_each(void **state)
{
    (void)state;
    struct queue queue;
    void *item;
    queue_init(&queue, 2, SHARE);
    fill(&queue, QUEUE_ROUTINE, 2);
    assert_int_equal(queue_try_push(&queue, QUEUE_ROUTINE, &numbers[2]), QUEUE_FULL);
    assert_int_equal(queue_push(&queue, QUEUE_URGENT, &numbers[10]), QUEUE_OK);
    assert_int_equal(queue_push(&queue, QUEUE_URGENT, &numbers[11]), QUEUE_OK);
    assert_int_equal(queue_try_push(&queue, QUEUE_URGENT, &numbers[12]), QUEUE_FULL);
    assert_int_equal(queue_count(&queue), 4);
    static const int expected[] = {10, 11, 0, 1};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(queue_pop(&queue, &item, 0), QUEUE_OK);
        assert_ptr_equal(item, &numbers[expected[i]]);
    }
    queue_release(&queue);
}

static void test_close_hands_out_what_is_left(void **state)
{
    (void)state;
    struct queue queue;
    void *item;
    queue_init(&queue, 4, SHARE);
    fill(&queue, QUEUE_ROUTINE, 2);
    queue_close(&queue);
    queue_close(&queue);
    assert_int_equal(queue_push(&queue, QUEUE_ROUTINE, &numbers[5]), QUEUE_CLOSED);
    assert_int_equal(queue_try_push(&queue, QUEUE_ROUTINE, &numbers[5]), QUEUE_CLOSED);
    assert_int_equal(queue_pop(&queue, &item, QUEUE_WAIT_FOREVER), QUEUE_OK);
    assert_ptr_equal(item, &numbers[0]);
    assert_int_equal(queue_pop(&queue, &item, 0), QUEUE_OK);
    assert_ptr_equal(item, &numbers[1]);
    assert_int_equal(queue_pop(&queue, &item, QUEUE_WAIT_FOREVER), QUEUE_CLOSED);
    assert_int_equal(queue_pop(&queue, &item, 0), QUEUE_CLOSED);
    queue_release(&queue);
}

static void test_timeout_is_kept(void **state)
{
    (void)state;
    struct queue queue;
    void *item;
    queue_init(&queue, 1, SHARE);
    int64_t before = clock_monotonic_us();
    assert_int_equal(queue_pop(&queue, &item, 30), QUEUE_TIMEOUT);
    int64_t waited_us = clock_monotonic_us() - before;
    assert_true(waited_us >= 30000 && waited_us < DEADLINE_MS * 1000LL);
    queue_release(&queue);
}

// A thread that makes one call and keeps its result.
struct caller {
    struct queue *queue;
    bool push; // else pop
    enum queue_lane lane;
    pthread_t thread;
    atomic_int id; // of the kernel; 0 until it runs
    enum queue_result result;
    void *item;
};

static void *call(void *context)
{
    struct caller *caller = context;
    atomic_store(&caller->id, gettid());
    caller->result = caller->push ? queue_push(caller->queue, caller->lane, &numbers[42])
                                  : queue_pop(caller->queue, &caller->item, QUEUE_WAIT_FOREVER);
    return NULL;
}

// True when the kernel has the thread asleep: with nothing else to wait for, it waits for the queue.
static bool is_asleep(int id)
{
    char path[64], text[512], *state;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", id);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    state = strrchr(text, ')');
    return state && state[1] && state[2] == 'S';
}

static void start_and_see_it_wait(struct caller *caller)
{
    assert_int_equal(pthread_create(&caller->thread, NULL, call, caller), 0);
    int64_t until = clock_monotonic_ms() + DEADLINE_MS;
    while (!atomic_load(&caller->id) || !is_asleep(atomic_load(&caller->id))) {
        assert_true(clock_monotonic_ms() < until);
        sched_yield();
    }
}

static void finish(struct caller *caller)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_MS / 1000;
    assert_int_equal(pthread_timedjoin_np(caller->thread, NULL, &until), 0);
}

static void test_waiting_pop_is_woken_by_push(void **state)
{
    (void)state;
    struct queue queue;
    queue_init(&queue, 1, SHARE);
    struct caller caller = {.queue = &queue};
    start_and_see_it_wait(&caller);
    assert_int_equal(queue_push(&queue, QUEUE_ROUTINE, &numbers[7]), QUEUE_OK);
    finish(&caller);
    assert_int_equal(caller.result, QUEUE_OK);
    assert_ptr_equal(caller.item, &numbers[7]);
    queue_release(&queue);
}

static void test_waiting_push_is_woken_by_pop(void **state)
{
    (void)state;
    struct queue queue;
    void *item;
    queue_init(&queue, 1, SHARE);
    fill(&queue, QUEUE_ROUTINE, 1);
    struct caller caller = {.queue = &queue, .push = true};
    start_and_see_it_wait(&caller);
    assert_int_equal(queue_pop(&queue, &item, 0), QUEUE_OK);
    assert_ptr_equal(item, &numbers[0]);
    finish(&caller);
    assert_int_equal(caller.result, QUEUE_OK);
    assert_int_equal(queue_pop(&queue, &item, 0), QUEUE_OK);
    assert_ptr_equal(item, &numbers[42]);
    queue_release(&queue);
}

// Two pushers wait, one for each lane; the pop that makes room in one lane must wake the one that fits.
static void test_pop_wakes_the_pusher_of_its_lane(void **state)
{
    (void)state;
    struct queue queue;
    void *item;
    queue_init(&queue, 1, 100);
    fill(&queue, QUEUE_ROUTINE, 1);
    fill(&queue, QUEUE_URGENT, 1);
    struct caller routine = {.queue = &queue, .push = true, .lane = QUEUE_ROUTINE};
    struct caller urgent = {.queue = &queue, .push = true, .lane = QUEUE_URGENT};
    start_and_see_it_wait(&routine);
    start_and_see_it_wait(&urgent);
    assert_int_equal(queue_pop(&queue, &item, 0), QUEUE_OK); // the urgent one: share 100
    finish(&urgent);
    assert_int_equal(urgent.result, QUEUE_OK);
    queue_close(&queue);
    finish(&routine);
    assert_int_equal(routine.result, QUEUE_CLOSED);
    queue_release(&queue);
}

static void test_close_wakes_everyone(void **state)
{
    (void)state;
    struct queue empty, full;
    queue_init(&empty, 1, SHARE);
    queue_init(&full, 1, SHARE);
    fill(&full, QUEUE_ROUTINE, 1);
    struct caller callers[6];
    memset(callers, 0, sizeof callers);
    for (int i = 0; i < 6; i++) {
        callers[i].push = i % 2;
        callers[i].queue = i % 2 ? &full : &empty;
        start_and_see_it_wait(&callers[i]);
    }
    queue_close(&empty);
    queue_close(&full);
    for (int i = 0; i < 6; i++) {
        finish(&callers[i]);
        assert_int_equal(callers[i].result, QUEUE_CLOSED);
    }
    queue_release(&empty);
    queue_release(&full);
}

// Many producers and consumers, a lane for every second producer: each item arrives once, and each consumer
// gets those of one producer in order.
static struct queue shared;
static atomic_int arrived[PRODUCERS][ITEMS];
static atomic_bool out_of_order;

static void *produce(void *context)
{
    uintptr_t producer = (uintptr_t)context;
    for (uintptr_t i = 0; i < ITEMS; i++)
        if (queue_push(&shared, producer % 2 ? QUEUE_URGENT : QUEUE_ROUTINE,
                       (void *)(producer * ITEMS + i)) != QUEUE_OK)
            break;
    return NULL;
}

static void *consume(void *context)
{
    void *item;
    int last[PRODUCERS];
    memset(last, -1, sizeof last);
    while (queue_pop(&shared, &item, QUEUE_WAIT_FOREVER) == QUEUE_OK) {
        int producer = (int)((uintptr_t)item / ITEMS), index = (int)((uintptr_t)item % ITEMS);
        atomic_fetch_add(&arrived[producer][index], 1);
        if (index <= last[producer])
            atomic_store(&out_of_order, true);
        last[producer] = index;
    }
    return context;
}

static void test_many_threads(void **state)
{
    (void)state;
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    queue_init(&shared, CAPACITY, SHARE);
    for (uintptr_t i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_create(&producers[i], NULL, produce, (void *)i), 0);
    for (int i = 0; i < CONSUMERS; i++)
        assert_int_equal(pthread_create(&consumers[i], NULL, consume, NULL), 0);
    for (int i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_join(producers[i], NULL), 0);
    queue_close(&shared);
    for (int i = 0; i < CONSUMERS; i++)
        assert_int_equal(pthread_join(consumers[i], NULL), 0);
    for (int i = 0; i < PRODUCERS; i++)
        for (int j = 0; j < ITEMS; j++)
            assert_int_equal(atomic_load(&arrived[i][j]), 1);
    assert_false(atomic_load(&out_of_order));
    assert_int_equal(queue_count(&shared), 0);
    queue_release(&shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_limit),
        cmocka_unit_test(test_shares_of_the_lanes),
        cmocka_unit_test(test_a_lane_alone_gets_every_turn),
        cmocka_unit_test(test_lanes_have_a_capacity_each),
        cmocka_unit_test(test_close_hands_out_what_is_left),
        cmocka_unit_test(test_timeout_is_kept),
        cmocka_unit_test(test_waiting_pop_is_woken_by_push),
        cmocka_unit_test(test_waiting_push_is_woken_by_pop),
        cmocka_unit_test(test_pop_wakes_the_pusher_of_its_lane),
        cmocka_unit_test(test_close_wakes_everyone),
        cmocka_unit_test(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
