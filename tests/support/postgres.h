// postgres.h: a real PostgreSQL server for a test: a cluster of its own in a scratch folder, on a free port
// of the loopback address, with a password. It does not run as root, so root becomes the user postgres for
// it.
#ifndef SKINSIGHT_TESTS_SUPPORT_POSTGRES_H
#define SKINSIGHT_TESTS_SUPPORT_POSTGRES_H

#include <glob.h>
#include <pwd.h>

#include "tests/support/process.h"

struct postgres {
    char programs[256]; // folder of initdb and postgres; "": not installed
    char folder[SCRATCH_SIZE];
    uint16_t port;
    pid_t pid;
    char url[SCRATCH_SIZE];
};

enum { POSTGRES_START_MS = 60000 };

// Runs a program of PostgreSQL's as a user that it accepts; its output goes to the folder's log.
TEST_HELPER pid_t postgres_spawn(const struct postgres *postgres, const char *const argv[])
{
    char log[SCRATCH_SIZE + 8];
    pid_t parent = getpid();
    snprintf(log, sizeof log, "%s/log", postgres->folder);
    pid_t child = fork();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const struct passwd *user = getuid() == 0 ? getpwnam("postgres") : NULL;
    int file = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0 || dup2(file, 1) < 0 || dup2(file, 2) < 0 || chdir(postgres->folder) != 0)
        _exit(127);
    if (user && (setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
        _exit(127);
    prctl(PR_SET_PDEATHSIG, SIGKILL); // setuid undoes it
    if (getppid() != parent)
        _exit(127);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

TEST_HELPER bool postgres_ended_well(pid_t child)
{
    int state;
    return waitpid(child, &state, 0) == child && WIFEXITED(state) && WEXITSTATUS(state) == 0;
}

// Whether it takes connections before the deadline and while it lives.
TEST_HELPER bool postgres_wait(struct postgres *postgres)
{
    char program[320], port[16];
    snprintf(program, sizeof program, "%s/pg_isready", postgres->programs);
    snprintf(port, sizeof port, "%u", postgres->port);
    const char *const argv[] = {program, "-q", "-h", "127.0.0.1", "-p", port, NULL};
    for (int64_t deadline = clock_monotonic_ms() + POSTGRES_START_MS; clock_monotonic_ms() < deadline;) {
        if (postgres_ended_well(postgres_spawn(postgres, argv)))
            return true;
        if (waitpid(postgres->pid, NULL, WNOHANG) != 0)
            return false;
        poll(NULL, 0, 20);
    }
    return false;
}

// On the cluster that is there. False: it did not come up.
TEST_HELPER bool postgres_run(struct postgres *postgres)
{
    char program[320], data[SCRATCH_SIZE + 8], port[16], socket[SCRATCH_SIZE + 32];
    snprintf(program, sizeof program, "%s/postgres", postgres->programs);
    snprintf(data, sizeof data, "%s/data", postgres->folder);
    snprintf(port, sizeof port, "%u", postgres->port);
    snprintf(socket, sizeof socket, "unix_socket_directories=%s", postgres->folder);
    const char *const argv[] = {program, "-D",   data, "-p", port, "-c", "listen_addresses=127.0.0.1",
                                "-c",    socket, NULL};
    postgres->pid = postgres_spawn(postgres, argv);
    return postgres_wait(postgres);
}

// After process_kill: the processes that it left behind may hold its memory for a moment.
TEST_HELPER bool postgres_run_again(struct postgres *postgres)
{
    int64_t deadline = clock_monotonic_ms() + POSTGRES_START_MS;
    while (!postgres_run(postgres))
        if (clock_monotonic_ms() >= deadline)
            return false;
    return true;
}

TEST_HELPER bool postgres_make(const struct postgres *postgres)
{
    char program[320], data[SCRATCH_SIZE + 8], secret[SCRATCH_SIZE + 16];
    snprintf(program, sizeof program, "%s/initdb", postgres->programs);
    snprintf(data, sizeof data, "%s/data", postgres->folder);
    snprintf(secret, sizeof secret, "--pwfile=%s/secret", postgres->folder);
    FILE *file = fopen(secret + strlen("--pwfile="), "w");
    fputs("s3cret", file);
    fclose(file);
    const struct passwd *user = getuid() == 0 ? getpwnam("postgres") : NULL;
    if (user && (chown(postgres->folder, user->pw_uid, user->pw_gid) != 0 ||
                 chown(secret + strlen("--pwfile="), user->pw_uid, user->pw_gid) != 0))
        return false;
    // Texts are ordered as people order them, not by bytes: what relies on bytes is to say so.
    const char *const argv[] = {program,
                                "-D",
                                data,
                                "-A",
                                "scram-sha-256",
                                "-U",
                                "skinsight",
                                "-E",
                                "UTF8",
                                "--locale=C.UTF-8",
                                "--locale-provider=icu",
                                "--icu-locale=en",
                                "--no-sync",
                                secret,
                                NULL};
    return postgres_ended_well(postgres_spawn(postgres, argv));
}

// False: PostgreSQL is not installed here, or did not start; programs says which.
TEST_HELPER bool postgres_start(struct postgres *postgres)
{
    glob_t found;
    *postgres = (struct postgres){.pid = 0};
    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0) {
        const char *path = found.gl_pathv[found.gl_pathc - 1];
        snprintf(postgres->programs, sizeof postgres->programs, "%.*s", (int)(strrchr(path, '/') - path),
                 path);
        globfree(&found);
    }
    if (!postgres->programs[0])
        return false;
    scratch_make(postgres->folder);
    postgres->port = process_free_port();
    snprintf(postgres->url, sizeof postgres->url, "postgresql://skinsight:s3cret@127.0.0.1:%u/postgres",
             postgres->port);
    return postgres_make(postgres) && postgres_run(postgres);
}

TEST_HELPER void postgres_stop(struct postgres *postgres)
{
    if (postgres->pid > 0 && kill(postgres->pid, SIGQUIT) == 0) // at once, but it gives its memory back
        (void)waitpid(postgres->pid, NULL, 0);
    if (postgres->folder[0])
        scratch_remove(postgres->folder);
}

#endif
