// test_shares.c: what one account may hold, alone and beside others.
#include "producer/gateway/serve.h"
#include "producer/gateway/shares.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { LIMIT = 4000 };

static struct shares shares;

static int start(void **state)
{
    (void)state;
    shares_init(&shares, LIMIT);
    return 0;
}

// One more for each account in turn, until none gets one. Returns how many the first one has.
static int take_all(int accounts)
{
    int held = 0;
    for (bool any = true; any;) {
        any = false;
        for (int i = 0; i < accounts; i++) {
            char account[16];
            snprintf(account, sizeof account, "key:%d", i);
            bool granted = shares_add(&shares, account, 1);
            if (!granted)
                shares_add(&shares, account, -1);
            any |= granted;
            held += granted && i == 0;
        }
    }
    return held;
}

// With n accounts, x of each, what is left is LIMIT - n x, and x is three times that: x = 3 LIMIT / (3 n +
// 1).
static void test_each_has_its_share(void **state)
{
    for (int accounts = 1; accounts <= 5; accounts++) {
        start(state);
        int share = 3 * LIMIT / (3 * accounts + 1);
        assert_in_range(take_all(accounts), share - 1, share + 1);
        assert_true(shares_add(&shares, "a newcomer", share / 5));
    }
}

static void test_what_is_given_back(void **state)
{
    (void)state;
    int share = take_all(1);
    assert_false(shares_add(&shares, "key:0", 1)); // is counted
    assert_false(shares_add(&shares, "key:0", 0));
    assert_true(shares_add(&shares, "key:0", -1));
    shares_add(&shares, "key:0", -share);
    assert_int_equal(shares_held(&shares), 0);
    assert_int_equal(take_all(1), share);
}

static void test_more_than_there_is(void **state)
{
    (void)state;
    assert_false(shares_add(&shares, "key:0", INT64_C(1) << 40));
    assert_int_equal(shares_held(&shares), INT64_C(1) << 40);
    assert_false(shares_add(&shares, "key:1", 1));
}

// Else every large image would be refused, whoever waits for how long.
static void test_the_largest_image_fits(void **state)
{
    (void)state;
    struct error err;
    static const struct {
        const char *bodies, *image;
        enum status status;
    } cases[] = {
        {"bodies_limit_bytes=536870912", "max_image_bytes=20971520", STATUS_OK},
        {"bodies_limit_bytes=1048576", "max_image_bytes=524288", STATUS_OK}, // 512 and 64 KiB of 768
        {"bodies_limit_bytes=1048576", "max_image_bytes=524289", STATUS_REJECTED},
        {"bodies_limit_bytes=44739242", "max_image_bytes=20971520",
         STATUS_REJECTED}, // 32 MiB, and the fields
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const settings[] = {cases[i].bodies, cases[i].image, "store=sqlite:///s.db"};
        struct config *config = config_new_for_test(PROGRAM_PRODUCER, settings, 3);
        assert_int_equal(serve_check(config, &err), cases[i].status);
        config_free(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_has_its_share, start),
        cmocka_unit_test_setup(test_what_is_given_back, start),
        cmocka_unit_test_setup(test_more_than_there_is, start),
        cmocka_unit_test(test_the_largest_image_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
