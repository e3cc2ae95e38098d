// test_exchange.c: what processes agree about by sums: one's failure is everybody's, differing digests are
// seen, shares are even and leave nothing out. The processes are threads here.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/exchange.h"

enum { PROCESSES = 3, MOST = 1024 };

static pthread_barrier_t barrier;
static double values_of[PROCESSES][MOST];
static int lost_after; // sums until one is refused; negative: never

static enum status sum_doubles(struct exchange *exchange, double *values, size_t count, struct error *err)
{
    assert_true(count <= MOST);
    memcpy(values_of[exchange->rank], values, count * sizeof *values);
    pthread_barrier_wait(&barrier);
    memset(values, 0, count * sizeof *values);
    for (int rank = 0; rank < PROCESSES; rank++)
        for (size_t i = 0; i < count; i++)
            values[i] += values_of[rank][i];
    bool lost = lost_after == 0;
    if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
        lost_after--;
    pthread_barrier_wait(&barrier);
    return lost ? error_set(err, STATUS_FATAL, "process lost") : STATUS_OK;
}

static const struct exchange_ops ops = {.sum_doubles = sum_doubles};

struct process {
    struct exchange exchange;
    enum status brings;
    struct digest digest;
    struct error err;
    enum status status;
    bool same;
};

static void *agree(void *context)
{
    struct process *process = context;
    process->status = exchange_agree(&process->exchange, process->brings, &process->err);
    return NULL;
}

static void *compare(void *context)
{
    struct process *process = context;
    process->status = exchange_compare(&process->exchange, &process->digest, &process->same, &process->err);
    return NULL;
}

static void together(void *(*run)(void *), struct process processes[PROCESSES])
{
    pthread_t threads[PROCESSES];
    pthread_barrier_init(&barrier, NULL, PROCESSES);
    for (int i = 0; i < PROCESSES; i++) {
        processes[i].exchange = (struct exchange){&ops, i, PROCESSES};
        assert_int_equal(pthread_create(&threads[i], NULL, run, &processes[i]), 0);
    }
    for (int i = 0; i < PROCESSES; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
}

static void one_failure_is_everybodys(void **state)
{
    (void)state;
    lost_after = -1;
    struct process processes[PROCESSES] = {
        {.brings = STATUS_OK, .err = {"never said"}},
        {.brings = STATUS_REJECTED, .err = {"i07.jpg: no picture, größer"}},
        {.brings = STATUS_FATAL, .err = {"no memory, and much to say about it"}}};
    together(agree, processes);
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(processes[i].status, STATUS_REJECTED);
        assert_string_equal(processes[i].err.message, "i07.jpg: no picture, größer");
    }
}

static void all_is_well(void **state)
{
    (void)state;
    lost_after = -1;
    struct process processes[PROCESSES] = {0};
    together(agree, processes);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(processes[i].status, STATUS_OK);
    struct error err = {"said alone"};
    assert_int_equal(exchange_agree(NULL, STATUS_RETRY, &err), STATUS_RETRY);
    assert_string_equal(err.message, "said alone");
}

static void a_process_that_is_lost(void **state)
{
    (void)state;
    for (int after = 0; after < 2; after++) {
        lost_after = after;
        struct process processes[PROCESSES] = {{.brings = STATUS_REJECTED, .err = {"bad"}}};
        together(agree, processes);
        for (int i = 0; i < PROCESSES; i++) {
            assert_int_equal(processes[i].status, STATUS_FATAL);
            assert_string_equal(processes[i].err.message, "process lost");
        }
    }
}

static void differing_digests(void **state)
{
    (void)state;
    lost_after = -1;
    struct process processes[PROCESSES] = {0};
    for (int i = 0; i < PROCESSES; i++)
        processes[i].digest = digest_of("the same", 8);
    together(compare, processes);
    for (int i = 0; i < PROCESSES; i++)
        assert_true(processes[i].same);
    processes[0].digest.value[31]++;
    processes[1].digest.value[31]--; // the mean is the third one's
    together(compare, processes);
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(processes[i].status, STATUS_OK);
        assert_false(processes[i].same);
    }
    bool same;
    struct error err;
    assert_int_equal(exchange_compare(NULL, &processes[0].digest, &same, &err), STATUS_OK);
    assert_true(same);
}

static void shares(void **state)
{
    (void)state;
    for (int size = 1; size <= 9; size++)
        for (int count = 0; count <= 20; count++) {
            int next = 0;
            for (int rank = 0; rank < size; rank++) {
                int begin, end;
                exchange_share(rank, size, count, &begin, &end);
                assert_int_equal(begin, next);
                assert_true(end - begin == count / size || end - begin == count / size + 1);
                next = end;
            }
            assert_int_equal(next, count);
        }
    assert_int_equal(exchange_rank(NULL), 0);
    assert_int_equal(exchange_size(NULL), 1);
}

// One process cuts where the first of two ends; two don't cut.
static void a_middle(void **state)
{
    (void)state;
    const struct exchange one = {.size = 1}, two = {.size = 2};
    assert_int_equal(exchange_middle(NULL, 7), 3);
    assert_int_equal(exchange_middle(&one, 8), 4);
    assert_int_equal(exchange_middle(&one, 1), 1);
    assert_int_equal(exchange_middle(&one, 0), 0);
    assert_int_equal(exchange_middle(&two, 8), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_failure_is_everybodys),
        cmocka_unit_test(all_is_well),
        cmocka_unit_test(a_process_that_is_lost),
        cmocka_unit_test(differing_digests),
        cmocka_unit_test(shares),
        cmocka_unit_test(a_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
