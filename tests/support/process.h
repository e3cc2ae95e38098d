// process.h: servers, ports and folders for tests. A spawned server dies with the test that started it.
#ifndef SKINSIGHT_TESTS_SUPPORT_PROCESS_H
#define SKINSIGHT_TESTS_SUPPORT_PROCESS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"

#define TEST_HELPER __attribute__((unused)) static

enum { SCRATCH_SIZE = 256 };

// A listening socket on a free loopback port.
TEST_HELPER int process_listen(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 64) != 0 || getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        abort();
    *port = ntohs(address.sin_port);
    return listener;
}

TEST_HELPER uint16_t process_free_port(void)
{
    uint16_t port;
    close(process_listen(&port));
    return port;
}

// Starts argv with the further environment (NULL-terminated "NAME=value", or NULL); its output goes to log.
TEST_HELPER pid_t process_spawn(const char *const argv[], const char *const environment[], const char *log)
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    int file = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0 || dup2(file, 1) < 0 || dup2(file, 2) < 0)
        _exit(127);
    for (; environment && *environment; environment++)
        putenv((char *)(uintptr_t)*environment);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

// Whether something accepts connections on the port before the deadline and while pid lives.
TEST_HELPER bool process_wait_port(pid_t pid, uint16_t port, int64_t timeout_ms)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int64_t deadline = clock_monotonic_ms() + timeout_ms; clock_monotonic_ms() < deadline;) {
        int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool connected = connect(probe, (struct sockaddr *)&address, sizeof address) == 0;
        close(probe);
        if (connected)
            return true;
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return false;
        poll(NULL, 0, 10);
    }
    return false;
}

// Returns once none of its threads runs any more: kill alone returns before that.
TEST_HELPER void process_stop(pid_t pid)
{
    int state = 0;
    kill(pid, SIGSTOP);
    while (waitpid(pid, &state, WUNTRACED) < 0 && errno == EINTR) {
    }
    if (!WIFSTOPPED(state))
        abort();
}

TEST_HELPER void process_kill(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

TEST_HELPER void scratch_make(char path[SCRATCH_SIZE])
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, SCRATCH_SIZE, "%s/skinsight-test-XXXXXX", folder && folder[0] ? folder : P_tmpdir);
    if (!mkdtemp(path))
        abort();
}

TEST_HELPER int scratch_remove_one(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    (void)about;
    (void)kind;
    (void)walk;
    return remove(path);
}

TEST_HELPER void scratch_remove(const char *path)
{
    nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

#endif
