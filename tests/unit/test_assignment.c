// test_assignment.c: what is remembered of committed offsets, and what is not believed any more; which jobs
// are suspected, and that a job of an assignment that is over changes nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/group/assignment.h"

enum { WINDOW = 64 };

// Offsets before first are answered, and so are those named.
static struct committed committed(int32_t partition, int64_t first, const int64_t *answered, size_t count)
{
    struct committed made = {.topic = TOPIC_ROUTINE, .partition = partition};
    offsets_init(&made.offsets, first, WINDOW);
    for (int64_t at = first; count > 0 && at <= answered[count - 1]; at++)
        assert_int_equal(offsets_take(&made.offsets, at), OFFSETS_NEW);
    for (size_t i = 0; i < count; i++)
        offsets_finish(&made.offsets, answered[i]);
    return made;
}

static void test_nothing_is_known_at_first(void **state)
{
    (void)state;
    struct assignment assignment;
    assignment_init(&assignment);
    struct committed read = committed(3, 0, NULL, 0);
    assert_false(assignment_went_back(&assignment, &read));
    assignment_release(&assignment);
}

static void test_offsets_behind_what_is_known(void **state)
{
    (void)state;
    struct assignment assignment;
    assignment_init(&assignment);
    struct committed known = committed(3, 10, (const int64_t[]){12, 15}, 2);
    assignment_remember(&assignment, &known);
    assignment_clear(&assignment); // another worker holds it now
    struct committed same = committed(3, 10, (const int64_t[]){12, 15}, 2);
    struct committed further = committed(3, 13, (const int64_t[]){15}, 1);
    struct committed past = committed(3, 40, NULL, 0);
    assert_false(assignment_went_back(&assignment, &same));
    assert_false(assignment_went_back(&assignment, &further));
    assert_false(assignment_went_back(&assignment, &past));
    struct committed behind = committed(3, 9, (const int64_t[]){10, 11, 12, 15}, 4);
    struct committed forgetful = committed(3, 10, (const int64_t[]){12}, 1);
    struct committed empty = committed(3, 0, NULL, 0);
    assert_true(assignment_went_back(&assignment, &behind));
    assert_true(assignment_went_back(&assignment, &forgetful));
    assert_true(assignment_went_back(&assignment, &empty));
    struct committed other = committed(4, 0, NULL, 0);
    assert_false(assignment_went_back(&assignment, &other));
    other.partition = 3, other.topic = TOPIC_URGENT;
    assert_false(assignment_went_back(&assignment, &other));
    assignment_remember(&assignment, &past);
    assert_true(assignment_went_back(&assignment, &further));
    assignment_release(&assignment);
}

// Offsets 10 to 15 are taken, 11 was finished here; the commit names 10, 11 and 13.
static void test_what_a_commit_names_is_answered(void **state)
{
    (void)state;
    struct assignment assignment;
    struct assigned held;
    assignment_init(&assignment);
    struct committed taken = committed(3, 10, (const int64_t[]){11, 15}, 2);
    assignment_add(&assignment, TOPIC_ROUTINE, 4, &taken.offsets);
    assignment_add(&assignment, TOPIC_ROUTINE, 3, &taken.offsets);
    struct committed found = committed(3, 10, (const int64_t[]){10, 11, 13}, 3);
    assignment_catch_up(&assignment, &found);
    assert_true(assignment_at(&assignment, 1, &held));
    assert_int_equal(held.offsets.first, 12);
    assert_false(offsets_is_finished(&held.offsets, 12));
    assert_true(offsets_is_finished(&held.offsets, 13));
    assert_false(offsets_is_finished(&held.offsets, 14));
    assert_true(offsets_is_finished(&held.offsets, 15));
    assert_true(assignment_at(&assignment, 0, &held));
    assert_int_equal(held.offsets.first, 10); // another partition
    found.partition = 7;                      // not held any more
    assignment_catch_up(&assignment, &found);
    assignment_release(&assignment);
}

// The topic was made again: the coordinator still gives what was committed of the old one.
static void test_a_commit_of_another_log_answers_nothing(void **state)
{
    (void)state;
    struct assignment assignment;
    struct assigned held;
    struct committed begun = committed(3, 0, (const int64_t[]){2}, 1), old = committed(3, 1000, NULL, 0);
    assignment_init(&assignment);
    assignment_add(&assignment, TOPIC_ROUTINE, 3, &begun.offsets);
    offsets_note(&old.offsets, 999, 7);
    assert_false(assignment_catch_up(&assignment, &old));
    assert_true(assignment_at(&assignment, 0, &held));
    assert_int_equal(held.offsets.first, 0);
    assert_int_equal(held.offsets.witness, -1);
    struct committed own = committed(3, 1, NULL, 0);
    offsets_note(&own.offsets, 0, 9);
    assert_true(assignment_catch_up(&assignment, &own));
    assert_true(assignment_at(&assignment, 0, &held));
    assert_int_equal(held.offsets.first, 1);
    assert_int_equal(held.offsets.witness, 0);
    assignment_release(&assignment);
}

// As many records were read of the new topic as the old one had: only what was committed tells them apart.
static void test_a_log_begun_anew(void **state)
{
    (void)state;
    struct assignment assignment;
    struct committed begun = committed(3, 0, (const int64_t[]){20}, 1), old = committed(3, 10, NULL, 0);
    struct committed own = old;
    assignment_init(&assignment);
    offsets_note(&old.offsets, 9, 7);
    offsets_note(&own.offsets, 9, 8);
    assignment_saw_log(&assignment, TOPIC_ROUTINE, 3, 5000);
    assignment_add(&assignment, TOPIC_ROUTINE, 3, &begun.offsets);
    assignment_begin_anew(&assignment, &begun, &old.offsets);
    assert_true(assignment_is_anew(&assignment, TOPIC_ROUTINE, 3));
    assert_false(assignment_catch_up(&assignment, &old));
    assert_int_equal(assignment_log_seen_ms(&assignment, TOPIC_ROUTINE, 3), 5000);
    assert_true(assignment_catch_up(&assignment, &own));
    assignment_remember(&assignment, &own);
    assert_false(assignment_is_anew(&assignment, TOPIC_ROUTINE, 3));
    assert_true(assignment_log_seen_ms(&assignment, TOPIC_ROUTINE, 3) > 5000);
    assert_int_equal(assignment_log_seen_ms(&assignment, TOPIC_URGENT, 3), 0);
    assignment_release(&assignment);
}

static void test_a_refused_partition_gives_and_takes_nothing(void **state)
{
    (void)state;
    struct assignment assignment;
    struct assigned held;
    struct committed same = committed(3, 10, NULL, 0);
    struct job before = {.partition = 3, .offset = 10}, after = {.partition = 3, .offset = 11};
    assignment_init(&assignment);
    assignment_add(&assignment, TOPIC_ROUTINE, 3, &same.offsets);
    after.epoch = before.epoch = assignment_epoch(&assignment, TOPIC_ROUTINE, 3);
    assert_int_equal(assignment_take(&assignment, &before), TAKE_NEW);
    assignment_refuse(&assignment, TOPIC_ROUTINE, 3);
    assignment_refuse(&assignment, TOPIC_ROUTINE, 4); // not held
    assert_false(assignment_is_current(&assignment, &before));
    assert_int_equal(assignment_take(&assignment, &after), TAKE_NOT_OURS);
    assert_int_equal(assignment_count(&assignment), 1);
    assert_true(assignment_at(&assignment, 0, &held));
    assert_true(held.refused);
    assignment_release(&assignment);
}

// Both were the first unfinished ones of partitions whose owners died: of 3 only once, of 4 so often, alone,
// that its first record is convicted. The records behind them are innocent.
static void test_only_the_first_unfinished_record_is_suspected(void **state)
{
    (void)state;
    struct assignment assignment;
    assignment_init(&assignment);
    assert_int_equal(assignment_caution(&assignment), CAUTION_NONE);
    struct committed once = committed(3, 10, NULL, 0), often = committed(4, 20, NULL, 0);
    once.offsets.deaths = 1;
    often.offsets.deaths = 5;
    often.offsets.alone_deaths = OFFSETS_CONVICTION;
    assignment_add(&assignment, TOPIC_ROUTINE, 4, &often.offsets);
    assert_int_equal(assignment_caution(&assignment), CAUTION_CAREFUL);
    assignment_add(&assignment, TOPIC_ROUTINE, 3, &once.offsets);
    assert_int_equal(assignment_caution(&assignment), CAUTION_CAREFUL); // the strongest
    static const struct {
        int32_t partition;
        int64_t offset;
        int attempt;
        bool careful, convicted;
    } records[] = {
        {3, 10, 2, false, false}, {3, 11, 1, false, false}, {4, 20, 6, true, true}, {4, 21, 1, true, false}};
    for (int i = 0; i < 4; i++) {
        struct job job = {.partition = records[i].partition,
                          .offset = records[i].offset,
                          .epoch = assignment_epoch(&assignment, TOPIC_ROUTINE, records[i].partition)};
        assert_int_equal(assignment_take(&assignment, &job), TAKE_NEW);
        assert_int_equal(job.attempt, records[i].attempt);
        assert_int_equal(job.careful, records[i].careful);
        assert_int_equal(job.convicted, records[i].convicted);
    }
    assignment_release(&assignment);
}

static void test_a_job_of_an_assignment_that_is_over_changes_nothing(void **state)
{
    (void)state;
    struct assignment assignment;
    struct assigned held;
    struct committed same = committed(3, 10, NULL, 0);
    struct job stale = {.partition = 3, .offset = 10}, again = stale;
    assignment_init(&assignment);
    assignment_add(&assignment, TOPIC_ROUTINE, 3, &same.offsets);
    again.epoch = stale.epoch = assignment_epoch(&assignment, TOPIC_ROUTINE, 3);
    assert_int_equal(assignment_take(&assignment, &stale), TAKE_NEW);
    assert_true(assignment_is_current(&assignment, &stale));
    assignment_clear(&assignment);
    assert_false(assignment_is_current(&assignment, &stale));
    assert_int_equal(assignment_take(&assignment, &again), TAKE_NOT_OURS);
    assert_int_equal(assignment_epoch(&assignment, TOPIC_ROUTINE, 3), 0);
    assignment_add(&assignment, TOPIC_ROUTINE, 3, &same.offsets);
    assert_int_equal(assignment_take(&assignment, &again), TAKE_NOT_OURS); // it arrived before
    again.epoch = assignment_epoch(&assignment, TOPIC_ROUTINE, 3);
    assert_int_equal(assignment_take(&assignment, &again), TAKE_NEW);
    assignment_finish(&assignment, &stale);
    assignment_set_alone(&assignment, &stale);
    assert_true(assignment_at(&assignment, 0, &held));
    assert_int_equal(held.offsets.first, 10);
    assert_false(held.offsets.alone);
    assignment_set_alone(&assignment, &again);
    assert_true(assignment_at(&assignment, 0, &held));
    assert_true(held.offsets.alone);
    assignment_finish(&assignment, &again);
    assert_true(assignment_at(&assignment, 0, &held));
    assert_int_equal(held.offsets.first, 11);
    assignment_release(&assignment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_known_at_first),
        cmocka_unit_test(test_offsets_behind_what_is_known),
        cmocka_unit_test(test_what_a_commit_names_is_answered),
        cmocka_unit_test(test_a_commit_of_another_log_answers_nothing),
        cmocka_unit_test(test_a_log_begun_anew),
        cmocka_unit_test(test_a_refused_partition_gives_and_takes_nothing),
        cmocka_unit_test(test_only_the_first_unfinished_record_is_suspected),
        cmocka_unit_test(test_a_job_of_an_assignment_that_is_over_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
