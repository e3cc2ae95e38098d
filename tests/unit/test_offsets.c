// test_offsets.c: the window of answered offsets against a plain array, and its text form.
#include "worker/group/offsets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_in_order(void **state)
{
    (void)state;
    struct offsets offsets;
    offsets_init(&offsets, 100, 64);
    assert_int_equal(offsets_take(&offsets, 100), OFFSETS_NEW);
    assert_int_equal(offsets_take(&offsets, 101), OFFSETS_NEW);
    offsets_finish(&offsets, 101);
    assert_int_equal(offsets.first, 100);
    assert_true(offsets_is_finished(&offsets, 101));
    assert_false(offsets_is_finished(&offsets, 100));
    offsets_finish(&offsets, 100);
    assert_int_equal(offsets.first, 102);
}

static void test_gaps_are_finished(void **state)
{
    (void)state;
    struct offsets offsets;
    offsets_init(&offsets, 0, 64);
    assert_int_equal(offsets_take(&offsets, 5), OFFSETS_NEW); // 0..4 were markers
    assert_int_equal(offsets.first, 5);
    assert_int_equal(offsets_take(&offsets, 8), OFFSETS_NEW);
    offsets_finish(&offsets, 5);
    assert_int_equal(offsets.first, 8);
    offsets_finish(&offsets, 8);
    assert_int_equal(offsets_take(&offsets, 1000000), OFFSETS_NEW); // nothing open: any gap is fine
    assert_int_equal(offsets.first, 1000000);
}

static void test_window_is_a_limit(void **state)
{
    (void)state;
    struct offsets offsets;
    offsets_init(&offsets, 0, 64);
    for (int i = 0; i < 64; i++)
        assert_int_equal(offsets_take(&offsets, i), OFFSETS_NEW);
    assert_int_equal(offsets_take(&offsets, 64), OFFSETS_NO_ROOM);
    offsets_finish(&offsets, 1);
    assert_int_equal(offsets_take(&offsets, 64), OFFSETS_NO_ROOM); // 0 still holds the window
    offsets_finish(&offsets, 0);
    assert_int_equal(offsets_take(&offsets, 64), OFFSETS_NEW);
}

static void test_known_text(void **state)
{
    (void)state;
    struct offsets offsets;
    struct error err;
    char text[OFFSETS_TEXT_SIZE];
    offsets_init(&offsets, 10, 64);
    offsets.owner = 1;
    for (int i = 10; i < 20; i++)
        assert_int_equal(offsets_take(&offsets, i), OFFSETS_NEW);
    offsets_finish(&offsets, 11);
    offsets_finish(&offsets, 18);
    offsets_encode(&offsets, false, text);
    assert_string_equal(text, "ss2 00000001 0 0 0 0 AgE -"); // bits 1 and 8: bytes 02 01
    offsets_note(&offsets, 18, 0xfedcba9876543210);
    offsets_note(&offsets, 11, 1); // the newest one stays
    offsets_note(&offsets, 19, 0); // an unreadable one has none
    offsets_encode(&offsets, true, text);
    assert_string_equal(text, "ss1 00000001 0 0 0 0 AgE");
    offsets_encode(&offsets, false, text);
    assert_string_equal(text, "ss2 00000001 0 0 0 0 AgE 18:fedcba9876543210");
    assert_int_equal(offsets_decode(&offsets, 10, 64, text, &err), STATUS_OK);
    assert_int_equal(offsets.owner, 1);
    assert_int_equal(offsets.witness, 18);
    assert_true(offsets.witness_digest == 0xfedcba9876543210);
    assert_int_equal(offsets_take(&offsets, 10), OFFSETS_NEW);
    assert_int_equal(offsets_take(&offsets, 11), OFFSETS_ANSWERED);
    assert_int_equal(offsets_take(&offsets, 12), OFFSETS_NEW);
    assert_int_equal(offsets_take(&offsets, 18), OFFSETS_ANSWERED);
    assert_int_equal(offsets_take(&offsets, 19), OFFSETS_NEW);
}

static void test_the_longest_text_fits(void **state)
{
    (void)state;
    struct offsets offsets, again;
    struct error err;
    char text[OFFSETS_TEXT_SIZE];
    offsets_init(&offsets, 999999999999990000, OFFSETS_MAX_WINDOW);
    for (int i = 0; i < OFFSETS_MAX_WINDOW; i++)
        assert_int_equal(offsets_take(&offsets, offsets.first + i), OFFSETS_NEW);
    offsets_finish(&offsets, offsets.seen - 1);
    offsets.owner = UINT32_MAX;
    offsets.deaths = offsets.alone_deaths = 999999;
    offsets.forgiven_at = offsets.first;
    offsets_note(&offsets, offsets.seen - 1, UINT64_MAX);
    offsets_encode(&offsets, false, text);
    assert_int_equal(offsets_decode(&again, offsets.first, OFFSETS_MAX_WINDOW, text, &err), STATUS_OK);
    assert_int_equal(again.witness, offsets.seen - 1);
    assert_true(offsets_is_finished(&again, offsets.seen - 1));
}

static void test_foreign_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"x",
                                      "ss3 00000001 0 0 0 0 - -",
                                      "ss1 00000001 0 0 0 0 - -",
                                      "ss2 00000001 0 0 0 0 -",
                                      "ss2 00000001 0 0 0 0  -",
                                      "ss2 00000001 0 0 0 0 - 6",
                                      "ss2 00000001 0 0 0 0 - -6:0123456789abcdef",
                                      "ss2 00000001 0 0 0 0 - 6:123456789abcdef",
                                      "ss2 00000001 0 0 0 0 - 6:0123456789abcdef0",
                                      "ss2 00000001 0 0 0 0 - 7:0123456789abcdef" /* not answered */,
                                      "ss1 00000001 0 0 0 0",
                                      "ss1 00000001 0 0 0 0 !!!!",
                                      "ss1 00000001 -1 0 0 0 -",
                                      "ss1 00000001 2 0 0 7 -",
                                      "ss1 00000001 0 0 0 0 AQ" /* first itself finished */};
    struct offsets offsets;
    struct error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(offsets_decode(&offsets, 7, 64, bad[i], &err), STATUS_REJECTED);
        assert_int_equal(offsets.first, 7);
        assert_int_equal(offsets.next, 7);
    }
}

// Nothing but zeros, so that only the length can be wrong: three bytes are four digits, one more is two.
static void test_a_bitmap_is_no_longer_than_the_window(void **state)
{
    (void)state;
    enum { DIGITS = OFFSETS_MAX_WINDOW / 8 / 3 * 4 + 2 };
    _Static_assert(OFFSETS_MAX_WINDOW / 8 % 3 == 1, "one byte behind the last three");
    struct offsets offsets;
    struct error err;
    char text[OFFSETS_TEXT_SIZE] = "ss1 00000001 0 0 0 0 ";
    char *bitmap = text + strlen(text);
    memset(bitmap, 'A', DIGITS);
    assert_int_equal(offsets_decode(&offsets, 7, OFFSETS_MAX_WINDOW, text, &err), STATUS_OK);
    bitmap[DIGITS] = 'A';
    assert_int_equal(offsets_decode(&offsets, 7, OFFSETS_MAX_WINDOW, text, &err), STATUS_REJECTED);
    memset(bitmap, 'A', OFFSETS_TEXT_SIZE - 1 - strlen("ss1 00000001 0 0 0 0 "));
    assert_int_equal(offsets_decode(&offsets, 7, OFFSETS_MAX_WINDOW, text, &err), STATUS_REJECTED);
}

static void test_a_record_is_taken_once(void **state)
{
    (void)state;
    struct offsets offsets;
    struct error err;
    offsets_init(&offsets, 0, 64);
    assert_int_equal(offsets_take(&offsets, 0), OFFSETS_NEW);
    assert_int_equal(offsets_take(&offsets, 1), OFFSETS_NEW);
    assert_int_equal(offsets_take(&offsets, 1), OFFSETS_ANSWERED); // delivered again: still in flight here
    assert_int_equal(offsets_take(&offsets, 0), OFFSETS_ANSWERED);
    // After a restart with first 0 and 2 answered, 1 turned out to be a marker: nothing is open once 0 is
    // done.
    assert_int_equal(offsets_decode(&offsets, 0, 64, "ss1 00000001 0 0 0 0 BA", &err), STATUS_OK);
    assert_int_equal(offsets_take(&offsets, 0), OFFSETS_NEW);
    assert_int_equal(offsets_take(&offsets, 2), OFFSETS_ANSWERED);
    offsets_finish(&offsets, 0);
    assert_int_equal(offsets.first, 3);
    // A bitmap far behind a retention gap is left behind whole.
    assert_int_equal(offsets_decode(&offsets, 0, 64, "ss1 00000001 0 0 0 0 BA", &err), STATUS_OK);
    assert_int_equal(offsets_take(&offsets, 5000), OFFSETS_NEW);
    assert_int_equal(offsets.first, 5000);
    for (int i = 5001; i < 5064; i++)
        assert_int_equal(offsets_take(&offsets, i), OFFSETS_NEW);
    assert_int_equal(offsets.first, 5000);
}

static uint32_t next_owner = 1;

static struct offsets reread(const struct offsets *offsets)
{
    struct offsets read;
    struct error err;
    char text[OFFSETS_TEXT_SIZE];
    offsets_encode(offsets, false, text);
    assert_int_equal(offsets_decode(&read, offsets->first, offsets->window, text, &err), STATUS_OK);
    return read;
}

// Owners die one after another; what they knew travels only through the text.
static void test_deaths_lead_to_conviction(void **state)
{
    (void)state;
    struct offsets offsets;
    offsets_init(&offsets, 40, 64);
    offsets_new_owner(&offsets, next_owner++);
    assert_int_equal(offsets_caution(&offsets), CAUTION_NONE);
    offsets = reread(&offsets);
    offsets_new_owner(&offsets, next_owner++);
    assert_int_equal(offsets_caution(&offsets), CAUTION_WARY);
    offsets = reread(&offsets);
    offsets_new_owner(&offsets, next_owner++);
    assert_int_equal(offsets_caution(&offsets), CAUTION_CAREFUL);
    for (int i = 0; i < OFFSETS_CONVICTION; i++) {
        assert_false(offsets_is_convicted(&offsets));
        offsets.alone = true;
        offsets = reread(&offsets);
        offsets_new_owner(&offsets, next_owner++);
    }
    assert_true(offsets_is_convicted(&offsets));
    assert_int_equal(offsets_take(&offsets, 40), OFFSETS_NEW);
    offsets_finish(&offsets, 40); // answered as killer: the next record starts innocent
    assert_false(offsets_is_convicted(&offsets));
    assert_int_equal(offsets_caution(&offsets), CAUTION_CAREFUL);
    for (int i = 41; i < 40 + OFFSETS_WARY_JOBS; i++) {
        assert_int_equal(offsets_take(&offsets, i), OFFSETS_NEW);
        offsets_finish(&offsets, i);
        offsets = reread(&offsets);
    }
    assert_int_equal(offsets_caution(&offsets), CAUTION_NONE);
}

// The partition went on between two deaths: it is the second that the records after it count from.
static void test_a_later_death_counts_anew(void **state)
{
    (void)state;
    struct offsets offsets;
    offsets_init(&offsets, 40, 64);
    offsets_new_owner(&offsets, next_owner++);
    offsets = reread(&offsets);
    offsets_new_owner(&offsets, next_owner++);
    for (int i = 40; i < 45; i++) {
        assert_int_equal(offsets_take(&offsets, i), OFFSETS_NEW);
        offsets_finish(&offsets, i);
    }
    offsets = reread(&offsets);
    offsets_new_owner(&offsets, next_owner++);
    for (int i = 45; i < 45 + OFFSETS_WARY_JOBS; i++) {
        assert_int_equal(offsets_caution(&offsets), CAUTION_CAREFUL);
        assert_int_equal(offsets_take(&offsets, i), OFFSETS_NEW);
        offsets_finish(&offsets, i);
    }
    assert_int_equal(offsets_caution(&offsets), CAUTION_NONE);
}

// A broker outage takes the partitions away and gives them back to the same, living process.
static void test_the_same_owner_again_is_no_death(void **state)
{
    (void)state;
    struct offsets offsets;
    offsets_init(&offsets, 0, 64);
    offsets_new_owner(&offsets, 77);
    offsets = reread(&offsets);
    offsets_new_owner(&offsets, 77);
    assert_int_equal(offsets_caution(&offsets), CAUTION_NONE);
    offsets = reread(&offsets);
    offsets_new_owner(&offsets, 78);
    assert_int_equal(offsets_caution(&offsets), CAUTION_WARY);
}

static void test_many_deaths_stop_the_worker_once(void **state)
{
    (void)state;
    struct offsets offsets;
    offsets_init(&offsets, 0, 64);
    offsets_new_owner(&offsets, next_owner++);
    for (int i = 0; i < OFFSETS_DEATHS_LIMIT; i++) {
        assert_false(offsets_is_hopeless(&offsets));
        offsets.alone = true;
        offsets = reread(&offsets);
        offsets_new_owner(&offsets, next_owner++);
    }
    assert_true(offsets_is_hopeless(&offsets));
    offsets.owner = 0; // it stopped in good order
    offsets = reread(&offsets);
    offsets_new_owner(&offsets, next_owner++);
    assert_false(offsets_is_hopeless(&offsets));
    assert_int_equal(offsets_caution(&offsets), CAUTION_CAREFUL);
}

static void test_deaths_beside_a_careful_partition_are_not_its_own(void **state)
{
    (void)state;
    struct offsets offsets;
    offsets_init(&offsets, 0, 64);
    for (int i = 0; i < 2 * OFFSETS_DEATHS_LIMIT; i++) {
        offsets_new_owner(&offsets, next_owner++);
        offsets = reread(&offsets);
    }
    assert_false(offsets_is_hopeless(&offsets));
    assert_int_equal(offsets.deaths, CAUTION_CAREFUL);
    offsets.alone = true;
    offsets = reread(&offsets);
    offsets_new_owner(&offsets, next_owner++);
    assert_int_equal(offsets.deaths, CAUTION_CAREFUL + 1);
    assert_int_equal(offsets.alone_deaths, 1);
}

// The killer is among those that were open at the death; a slow first one may have many answered ones behind
// it.
static void test_answered_records_forgive_nothing(void **state)
{
    (void)state;
    enum { SLOW = 40, ANSWERED = 50, KILLER = SLOW + ANSWERED + 1 };
    struct offsets offsets;
    offsets_init(&offsets, SLOW, 256);
    offsets_new_owner(&offsets, next_owner++);
    for (int i = SLOW; i <= KILLER; i++)
        assert_int_equal(offsets_take(&offsets, i), OFFSETS_NEW);
    for (int i = SLOW + 1; i < KILLER; i++)
        offsets_finish(&offsets, i);
    for (int i = 0; i < 2; i++) {
        offsets = reread(&offsets);
        offsets_new_owner(&offsets, next_owner++);
    }
    assert_int_equal(offsets_take(&offsets, SLOW), OFFSETS_NEW);
    offsets_finish(&offsets, SLOW);
    offsets = reread(&offsets);
    for (int i = SLOW + 1; i < KILLER; i++)
        assert_int_equal(offsets_take(&offsets, i), OFFSETS_ANSWERED);
    assert_int_equal(offsets.first, KILLER);
    assert_int_equal(offsets_caution(&offsets), CAUTION_CAREFUL);
    offsets = reread(&offsets); // handed over in good order
    for (int i = KILLER; i < KILLER + OFFSETS_WARY_JOBS - 1; i++) {
        assert_int_equal(offsets_caution(&offsets), CAUTION_CAREFUL);
        assert_int_equal(offsets_take(&offsets, i), OFFSETS_NEW);
        offsets_finish(&offsets, i);
    }
    assert_int_equal(offsets_caution(&offsets), CAUTION_NONE);
}

// A record that kills while it is read: the ninth owner convicts it, and reads the next one marked as well.
static void test_deaths_before_any_mark_lead_to_conviction(void **state)
{
    (void)state;
    struct offsets offsets;
    int lives = 1;
    offsets_init(&offsets, 40, 64);
    offsets_new_owner(&offsets, next_owner++);
    for (; !offsets_is_convicted(&offsets); lives++) {
        offsets.reading = offsets_marks_reading(&offsets);
        offsets = reread(&offsets);
        offsets_new_owner(&offsets, next_owner++);
    }
    assert_int_equal(lives, 9);
    assert_true(offsets_marks_reading(&offsets));
    assert_false(offsets_is_hopeless(&offsets));
    assert_int_equal(offsets_take(&offsets, 40), OFFSETS_NEW);
    offsets_finish(&offsets, 40);
    offsets = reread(&offsets);
    assert_false(offsets_is_convicted(&offsets));
    assert_true(offsets_marks_reading(&offsets));
    assert_false(offsets_reach_end(&offsets) && offsets_marks_reading(&offsets)); // nothing else was there
}

// Deaths of others, between which the partition goes on: no record of it is ever suspected.
static void test_unmarked_deaths_count_at_one_place_only(void **state)
{
    (void)state;
    struct offsets offsets;
    offsets_init(&offsets, 0, 64);
    for (int i = 0; i < 2 + OFFSETS_UNMARKED; i++) {
        offsets_new_owner(&offsets, next_owner++);
        offsets = reread(&offsets);
    }
    assert_int_equal(offsets.unmarked, OFFSETS_UNMARKED - 1);
    assert_int_equal(offsets_take(&offsets, 0), OFFSETS_NEW);
    offsets_finish(&offsets, 0);
    offsets = reread(&offsets);
    offsets_new_owner(&offsets, next_owner++);
    assert_int_equal(offsets.unmarked, 1);
    assert_false(offsets_marks_reading(&offsets));
}

static void test_an_idle_partition_is_acquitted(void **state)
{
    (void)state;
    struct offsets offsets;
    offsets_init(&offsets, 10, 64);
    for (int i = 0; i < 3; i++) {
        offsets_new_owner(&offsets, next_owner++);
        offsets = reread(&offsets);
    }
    assert_int_equal(offsets_take(&offsets, 10), OFFSETS_NEW);
    assert_false(offsets_reach_end(&offsets)); // 10 is open: it may be the killer
    assert_int_equal(offsets_caution(&offsets), CAUTION_CAREFUL);
    offsets_finish(&offsets, 10); // it was not, and nothing else is there
    assert_int_equal(offsets_caution(&offsets), CAUTION_NONE);
    offsets_new_owner(&offsets, next_owner++);
    assert_true(offsets_reach_end(&offsets));
    assert_int_equal(offsets_caution(&offsets), CAUTION_NONE);
}

static void test_an_orderly_end_is_no_death(void **state)
{
    (void)state;
    struct offsets offsets;
    offsets_init(&offsets, 0, 64);
    offsets_new_owner(&offsets, next_owner++);
    offsets.owner = 0;
    offsets = reread(&offsets);
    offsets_new_owner(&offsets, next_owner++);
    assert_int_equal(offsets_caution(&offsets), CAUTION_NONE);
}

// Takes and finishes at random over many windows; a restart from the text forgets nothing and invents
// nothing.
static void test_against_plain_array(void **state)
{
    (void)state;
    enum { TOTAL = 20000, WINDOW = 300 };
    static char finished[TOTAL], taken[TOTAL];
    struct offsets offsets;
    struct error err;
    char text[OFFSETS_TEXT_SIZE];
    srand(1);
    offsets_init(&offsets, 0, WINDOW);
    int64_t next = 0;
    while (next < TOTAL) {
        if (rand() % 2) {
            enum offsets_take take = offsets_take(&offsets, next);
            if (take == OFFSETS_NEW)
                taken[next] = 1;
            next += take != OFFSETS_NO_ROOM;
        }
        int64_t low = next > WINDOW ? next - WINDOW : 0;
        int64_t pick = next > low ? low + rand() % (next - low) : 0;
        if (pick < next && taken[pick]) {
            offsets_finish(&offsets, pick);
            finished[pick] = 1;
        }
        if (rand() % 500 == 0) {
            offsets_encode(&offsets, false, text);
            assert_int_equal(offsets_decode(&offsets, offsets.first, WINDOW, text, &err), STATUS_OK);
            for (int64_t i = offsets.first; i < next; i++)
                assert_int_equal(offsets_take(&offsets, i), finished[i] ? OFFSETS_ANSWERED : OFFSETS_NEW);
        }
        for (int64_t i = low; i < next; i++)
            assert_int_equal(offsets_is_finished(&offsets, i), finished[i]);
        if (offsets.seen - offsets.first == WINDOW) {
            finished[offsets.first] = 1;
            offsets_finish(&offsets, offsets.first);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_gaps_are_finished),
        cmocka_unit_test(test_window_is_a_limit),
        cmocka_unit_test(test_known_text),
        cmocka_unit_test(test_the_longest_text_fits),
        cmocka_unit_test(test_foreign_text_is_refused),
        cmocka_unit_test(test_a_bitmap_is_no_longer_than_the_window),
        cmocka_unit_test(test_against_plain_array),
        cmocka_unit_test(test_a_record_is_taken_once),
        cmocka_unit_test(test_deaths_lead_to_conviction),
        cmocka_unit_test(test_a_later_death_counts_anew),
        cmocka_unit_test(test_answered_records_forgive_nothing),
        cmocka_unit_test(test_deaths_before_any_mark_lead_to_conviction),
        cmocka_unit_test(test_unmarked_deaths_count_at_one_place_only),
        cmocka_unit_test(test_an_idle_partition_is_acquitted),
        cmocka_unit_test(test_an_orderly_end_is_no_death),
        cmocka_unit_test(test_the_same_owner_again_is_no_death),
        cmocka_unit_test(test_many_deaths_stop_the_worker_once),
        cmocka_unit_test(test_deaths_beside_a_careful_partition_are_not_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
