// shutdown.c: a pipe that becomes readable for ever once a stop is asked for.
#include "common/base/shutdown.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_int requests;
static int stop_pipe[2] = {-1, -1};

void shutdown_request(void)
{
    if (atomic_fetch_add(&requests, 1) == 0) {
        ssize_t written = write(stop_pipe[1], "x", 1);
        (void)written; // the pipe is empty: one byte always fits
    }
}

static void on_signal(int number)
{
    (void)number;
    if (atomic_load(&requests) > 0)
        _exit(1);
    shutdown_request();
}

void shutdown_install(void)
{
    if (pipe2(stop_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        abort();
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool shutdown_requested(void)
{
    return atomic_load(&requests) > 0;
}

bool shutdown_wait_ms(int64_t timeout_ms)
{
    struct pollfd readable = {.fd = stop_pipe[0], .events = POLLIN};
    if (!shutdown_requested())
        poll(&readable, 1, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);
    return shutdown_requested();
}
