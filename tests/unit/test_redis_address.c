// test_redis_address.c: which URLs name a Redis server, and which of them lie on this machine.
#include "common/services/redis_address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/services/redis.h"

static const char *const bad[] = {
    "",
    "redis://",
    "redis:///1",
    "http://host",
    "host:6379",
    "redis://host:",
    "redis://h:0",
    "redis://h:65536",
    "redis://h:6379x",
    "redis://h/x",
    "redis://h/1/2",
    "redis://u@h",
    "redis://u:@h",
    "redis://:p%4@h",
    "redis://:p%zz@h",
    "redis://:p%00@h",
    "redis://[::1",
    "redis://[::1]x",
    "redis://h h",
    "rediss://h",
    "redis://h?a=b",
    "redis://h:1:2",
    "unix://",
    "unix:///",
    "unix://run/redis.sock",
    "unix:///run/",
    "unix:///run/redis.sock?db=1",
    "unix:///run/redis sock",
    "unix://:@/run/redis.sock",
    "unix:/run/redis.sock",
};

static void test_what_is_no_url_of_redis(void **state)
{
    (void)state;
    struct redis *redis;
    struct error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (redis_open(&redis, bad[i], 1000, 1, &err) != STATUS_REJECTED)
            fail_msg("%s was accepted", bad[i]);
        assert_null(redis);
    }
    assert_int_equal(redis_open(&redis, "rediss://h", 1000, 1, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "TLS"));
}

static void test_hosts(void **state)
{
    (void)state;
    struct redis_address address;
    assert_true(redis_address_parse("redis://me:a%3ab@[::1]:7000/15", &address));
    assert_string_equal(address.host, "::1");
    assert_string_equal(address.user, "me");
    assert_string_equal(address.password, "a:b");
    assert_int_equal(address.port, 7000);
    assert_int_equal(address.database, 15);
    assert_string_equal(address.path, "");
    assert_true(redis_address_parse("redis://cache.example.org/", &address));
    assert_int_equal(address.port, 6379);
    assert_string_equal(address.password, "");
    assert_string_equal(address.name, "cache.example.org:6379");
}

static void test_sockets(void **state)
{
    (void)state;
    struct redis_address address;
    char url[16 + REDIS_PATH_SIZE] = "unix:///";
    assert_true(redis_address_parse("unix://me:a%2fb@/run/redis/c@che.sock", &address));
    assert_string_equal(address.path, "/run/redis/c@che.sock");
    assert_string_equal(address.name, "/run/redis/c@che.sock");
    assert_string_equal(address.password, "a/b");
    assert_string_equal(address.host, "");
    memset(url + strlen(url), 'p', REDIS_PATH_SIZE - 1); // with the '/' one too long
    assert_false(redis_address_parse(url, &address));
    url[strlen(url) - 1] = '\0';
    assert_true(redis_address_parse(url, &address));
}

static void test_what_lies_on_this_machine(void **state)
{
    (void)state;
    static const char *const local[] = {"redis://localhost", "redis://LOCALHOST:1", "redis://127.0.0.1",
                                        "redis://127.9.9.9", "redis://[::1]/2",     "unix:///run/redis.sock"};
    static const char *const remote[] = {"redis://128.0.0.1",
                                         "redis://localhost.example.org",
                                         "redis://[::2]",
                                         "redis://10.0.0.1",
                                         "redis://0.0.0.0",
                                         "unix://",
                                         ""};
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        assert_true(redis_url_is_local(local[i]));
    for (size_t i = 0; i < sizeof remote / sizeof *remote; i++)
        assert_false(redis_url_is_local(remote[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_url_of_redis),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_what_lies_on_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
