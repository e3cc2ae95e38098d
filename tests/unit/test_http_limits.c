// test_http_limits.c: who is let in, who has to go, what it costs to let many stay, and what those who never
// finish a request do to those who do. Clients come from addresses of loopback's own.
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/services/http_server.h"
#include "tests/support/http_raw.h"
#include "tests/support/skip.h"

enum { REQUEST_MS = 5000 };

static struct {
    struct http_later *later;
    atomic_bool deferred;
} seen;

static void answer_now(void *context, struct http_request *request)
{
    (void)context;
    http_answer(request, 200, "text/plain", (struct bytes){(const uint8_t *)"now", 3});
}

static void defer(void *context, struct http_request *request)
{
    (void)context;
    seen.later = http_defer(request);
    atomic_store(&seen.deferred, true);
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/now", .handle = answer_now},
    {.method = "GET", .path = "/later", .handle = defer},
};

static struct http_server *open_server(int connections, int connections_per_address)
{
    struct http_server *server;
    struct error err;
    const struct http_server_options options = {
        .address = ":0",
        .routes = routes,
        .route_count = sizeof routes / sizeof *routes,
        .request_ms = REQUEST_MS,
        .answer_ms = 4 * REQUEST_MS,
        .connections = connections,
        .connections_per_address = connections_per_address,
    };
    atomic_store(&seen.deferred, false);
    if (http_server_open(&server, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return server;
}

static struct raw_answer answer;

static void send_text(int client, const char *text)
{
    assert_true(raw_send(client, text, strlen(text)));
}

static bool gets_answer(int client)
{
    static const char request[] = "GET /now HTTP/1.1\r\nHost: a\r\n\r\n";
    if (!raw_send(client, request, sizeof request - 1))
        return false;
    raw_receive(client, true, &answer);
    return answer.code == 200;
}

static int connect_and_ask(const struct http_server *server, const char *from)
{
    int client = raw_connect(http_server_port(server), from);
    assert_true(gets_answer(client));
    return client;
}

static int connect_and_wait(const struct http_server *server, const char *from)
{
    int client = raw_connect(http_server_port(server), from);
    int64_t until_ms = clock_monotonic_ms() + RAW_TIMEOUT_S * 1000;
    send_text(client, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    while (!atomic_load(&seen.deferred) && clock_monotonic_ms() < until_ms)
        clock_sleep_ms(1);
    assert_true(atomic_load(&seen.deferred));
    return client;
}

static void answer_waiting(int client)
{
    http_later_answer(seen.later, &(struct http_reply){.code = 202});
    raw_receive(client, true, &answer);
    assert_int_equal(answer.code, 202);
}

// Four have room: one waits, one sends its request, two are idle. The idle ones go, the oldest first, then
// the one that sends.
static void test_who_goes_when_all_places_are_taken(void **state)
{
    struct http_server *server = open_server(4, 4);
    (void)state;
    int waiting = connect_and_wait(server, "127.0.0.2");
    int first_idle = connect_and_ask(server, "127.0.0.3"), second_idle = connect_and_ask(server, "127.0.0.4");
    int sending = connect_and_ask(server, "127.0.0.5");
    send_text(sending, "GET /now HTTP/1.1\r\nHost: a\r\n");
    assert_true(gets_answer(second_idle)); // and the sender's first line was read before
    int newcomers[3] = {connect_and_ask(server, "127.0.0.6")};
    assert_true(raw_is_closed(first_idle));
    newcomers[1] = raw_connect(http_server_port(server), "127.0.0.7");
    send_text(newcomers[1], "GET /now HTTP/1.1\r\n");
    assert_true(raw_is_closed(second_idle));
    newcomers[2] = connect_and_ask(server, "127.0.0.8");
    assert_true(raw_is_closed(newcomers[0]));
    send_text(sending, "\r\n");
    raw_receive(sending, true, &answer);
    assert_int_equal(answer.code, 200); // it was never the first to go
    answer_waiting(waiting);
    for (int i = 0; i < 3; i++)
        close(newcomers[i]);
    close(waiting), close(first_idle), close(second_idle), close(sending);
    http_server_close(server);
}

static void test_an_address_pushes_out_its_own(void **state)
{
    struct http_server *server = open_server(100, 2);
    (void)state;
    int other = connect_and_ask(server, "127.0.0.3");
    int waiting = connect_and_wait(server, "127.0.0.2"), idle = connect_and_ask(server, "127.0.0.2");
    int newcomer = connect_and_ask(server, "127.0.0.2");
    assert_true(raw_is_closed(idle));
    assert_true(gets_answer(other));
    answer_waiting(waiting);
    close(waiting), close(idle), close(newcomer), close(other);
    http_server_close(server);
}

static void test_a_newcomer_goes_where_all_others_wait(void **state)
{
    struct http_server *server = open_server(1, 1);
    (void)state;
    int waiting = connect_and_wait(server, "127.0.0.2");
    int newcomer = raw_connect(http_server_port(server), "127.0.0.3");
    assert_true(raw_is_closed(newcomer));
    answer_waiting(waiting);
    close(newcomer), close(waiting);
    http_server_close(server);
}

static void allow_files(rlim_t count)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < count)
        SKIP("this process may open %llu files, it would need %llu", (unsigned long long)limit.rlim_max,
             (unsigned long long)count);
    limit.rlim_cur = limit.rlim_cur < count ? count : limit.rlim_cur;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static size_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void address_of_crowd(int i, int crowd_size, char address[16])
{
    snprintf(address, 16, "127.0.1.%d", 1 + i / crowd_size);
}

static void test_memory_of_idle_connections(void **state)
{
    enum { IDLE = 2000, OF_ADDRESS = 100, LIMIT_BYTES = 60 * 1000 * 1000 };
    static int clients[IDLE];
    char from[16];
    (void)state;
    allow_files(2 * IDLE + 512);
    struct http_server *server = open_server(IDLE, OF_ADDRESS);
    close(connect_and_ask(server, "127.0.0.1"));
    size_t before = resident_bytes();
    for (int i = 0; i < IDLE; i++) {
        address_of_crowd(i, OF_ADDRESS, from);
        clients[i] = connect_and_ask(server, from);
    }
    size_t more = resident_bytes() - before;
    print_message("%d idle connections take %zu bytes\n", IDLE, more);
#ifndef __SANITIZE_ADDRESS__
#ifndef __SANITIZE_THREAD__
    assert_true(more <= LIMIT_BYTES);
#endif
#endif
    for (int i = 0; i < IDLE; i++)
        close(clients[i]);
    http_server_close(server);
}

// 500 clients send a header that never ends, each a byte at a time. Whoever is closed comes back.
enum { TRICKLERS = 500, TRICKLERS_OF_ADDRESS = 50, HONEST = 50, HONEST_REQUESTS = 4, HONEST_LIMIT_MS = 2000 };
static atomic_bool trickle_begun, trickle_ends;

static void begin_trickle(int *client, int i, const struct http_server *server)
{
    char from[16];
    address_of_crowd(i, TRICKLERS_OF_ADDRESS, from);
    *client = raw_connect(http_server_port(server), from);
    raw_send(*client, "GET /now HTTP/1.1\r\nX: ", 22);
}

static void *trickle(void *server)
{
    static int clients[TRICKLERS];
    for (int i = 0; i < TRICKLERS; i++)
        begin_trickle(&clients[i], i, server);
    atomic_store(&trickle_begun, true);
    for (int i = 0; !atomic_load(&trickle_ends); i = (i + 1) % TRICKLERS) {
        if (send(clients[i], "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 1) {
            close(clients[i]);
            begin_trickle(&clients[i], i, server);
        }
        if (i % 8 == 0)
            clock_sleep_ms(1);
    }
    for (int i = 0; i < TRICKLERS; i++)
        close(clients[i]);
    return NULL;
}

// Between two requests a connection is idle, and goes first when a slow client comes back. RFC 9112, section
// 9.3.1, has clients open another one then and ask again; the time for that counts.
static int64_t ask_as_http_clients_do(const struct http_server *server, int *closed)
{
    int64_t begun_ms = clock_monotonic_ms();
    int client = raw_connect(http_server_port(server), "127.0.0.1");
    for (int answered = 0; answered < HONEST_REQUESTS;) {
        if (gets_answer(client)) {
            answered++;
            continue;
        }
        assert_true(clock_monotonic_ms() - begun_ms <= HONEST_LIMIT_MS);
        close(client);
        client = raw_connect(http_server_port(server), "127.0.0.1");
        ++*closed;
    }
    close(client);
    return clock_monotonic_ms() - begun_ms;
}

static void test_slow_clients_do_not_delay_honest_ones(void **state)
{
    int64_t longest_ms = 0;
    int closed = 0;
    pthread_t thread;
    (void)state;
    allow_files(2 * TRICKLERS + 512);
    struct http_server *server = open_server(TRICKLERS, TRICKLERS_OF_ADDRESS);
    atomic_store(&trickle_ends, false);
    assert_int_equal(pthread_create(&thread, NULL, trickle, server), 0);
    while (!atomic_load(&trickle_begun))
        clock_sleep_ms(1);
    for (int i = 0; i < HONEST; i++) {
        int64_t took_ms = ask_as_http_clients_do(server, &closed);
        longest_ms = took_ms > longest_ms ? took_ms : longest_ms;
    }
    atomic_store(&trickle_ends, true);
    pthread_join(thread, NULL);
    http_server_close(server);
    print_message(
        "%d requests beside %d slow clients: the longest %d took %lld ms, %d connections were closed\n",
        HONEST * HONEST_REQUESTS, TRICKLERS, HONEST_REQUESTS, (long long)longest_ms, closed);
    assert_true(longest_ms <= HONEST_LIMIT_MS);
}

static void test_too_few_files(void **state)
{
    struct rlimit before, limit;
    struct http_server *server;
    struct error err;
    const struct http_server_options options = {
        .address = ":0", .request_ms = REQUEST_MS, .connections = 1 << 30};
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(http_server_open(&server, &options, &err), STATUS_REJECTED);
    assert_int_equal(
        strncmp(err.message, "1073741824 connections need a limit of 1073741888 open files, ", 62), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(limit.rlim_cur, before.rlim_cur);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_goes_when_all_places_are_taken),
        cmocka_unit_test(test_an_address_pushes_out_its_own),
        cmocka_unit_test(test_a_newcomer_goes_where_all_others_wait),
        cmocka_unit_test(test_slow_clients_do_not_delay_honest_ones),
        cmocka_unit_test(test_memory_of_idle_connections),
        cmocka_unit_test(test_too_few_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
