// test_monitor_addresses.c: who is asked, who counts, and who is gone.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdio.h>

#include "monitor/service/addresses.h"

static void expect_count(const struct addresses *addresses, int64_t now_ms, bool others_have_all,
                         struct addresses_count wanted)
{
    const struct addresses_count count = addresses_count(addresses, now_ms, others_have_all);
    assert_int_equal(count.asked, wanted.asked);
    assert_int_equal(count.unknown, wanted.unknown);
    assert_int_equal(count.gone, wanted.gone);
}

static void an_address_is_asked_once(void **state)
{
    (void)state;
    struct addresses *addresses = calloc(1, sizeof *addresses);
    assert_non_null(addresses);
    for (int scrape = 0; scrape < 3; scrape++) {
        addresses_begin(addresses);
        struct address *address = addresses_next(addresses, "10.0.0.1:9100");
        assert_non_null(address);
        address_tell(address, scrape != 1, scrape);
        assert_null(addresses_next(addresses, "10.0.0.1:9100"));
        assert_non_null(addresses_next(addresses, "10.0.0.1:9101"));
        expect_count(addresses, scrape, true, (struct addresses_count){.asked = 2});
    }
    free(addresses);
}

static void who_stays_silent_is_gone(void **state)
{
    (void)state;
    struct addresses *addresses = calloc(1, sizeof *addresses);
    assert_non_null(addresses);
    for (int second = 0; second <= 400; second += 5) {
        int64_t now_ms = (int64_t)second * 1000;
        bool answers = second < 100 || second >= 350;
        addresses_begin(addresses);
        address_tell(addresses_next(addresses, "a"), true, now_ms);
        address_tell(addresses_next(addresses, "b"), answers, now_ms);
        bool is_gone = second >= 100 + 120 && !answers;
        expect_count(addresses, now_ms, true, (struct addresses_count){is_gone ? 1 : 2, 0, is_gone});
        expect_count(addresses, now_ms, false, (struct addresses_count){2, 0, 0}); // it may have a partition
    }
    free(addresses);
}

// It may have had partitions since before anybody told of them; once it has answered, it may be gone.
static void who_never_answered_is_not_known(void **state)
{
    (void)state;
    struct addresses *addresses = calloc(1, sizeof *addresses);
    assert_non_null(addresses);
    for (int second = 0; second <= 1400; second += 5) {
        int64_t now_ms = (int64_t)second * 1000;
        addresses_begin(addresses);
        address_tell(addresses_next(addresses, "a"), true, now_ms);
        address_tell(addresses_next(addresses, "b"), second == 1200, now_ms);
        bool is_gone = second >= 1205 + 120;
        expect_count(addresses, now_ms, true,
                     (struct addresses_count){is_gone ? 1 : 2, second < 1200, is_gone});
    }
    free(addresses);
}

// An address that was not asked for a while begins anew, and addresses that come and go do not fill the list.
static void who_is_left_out_is_forgotten(void **state)
{
    (void)state;
    struct addresses *addresses = calloc(1, sizeof *addresses);
    assert_non_null(addresses);
    for (int scrape = 0; scrape < 5 * ADDRESSES_MOST; scrape++) {
        char name[32];
        snprintf(name, sizeof name, "pod-%d", scrape);
        addresses_begin(addresses);
        if (scrape == 0 || scrape == 100)
            address_tell(addresses_next(addresses, "silent"), false, scrape * INT64_C(5000));
        struct address *address = addresses_next(addresses, name);
        assert_non_null(address);
        address_tell(address, true, scrape * INT64_C(5000));
        assert_int_equal(addresses_count(addresses, scrape * INT64_C(5000), true).gone, 0);
    }
    addresses_begin(addresses);
    for (int i = 0; i < ADDRESSES_MOST - 1; i++) { // the last scrape's keeps its room
        char name[32];
        snprintf(name, sizeof name, "crowd-%d", i);
        assert_non_null(addresses_next(addresses, name));
    }
    assert_null(addresses_next(addresses, "one too many"));
    assert_int_equal(addresses_count(addresses, 0, true).asked, ADDRESSES_MOST - 1);
    free(addresses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_asked_once), cmocka_unit_test(who_stays_silent_is_gone),
        cmocka_unit_test(who_never_answered_is_not_known), cmocka_unit_test(who_is_left_out_is_forgotten)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
