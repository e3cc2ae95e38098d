// weights_cut.c: a weights file that is cut short while it is mapped. A thread that reads a page that is
// gone gets SIGBUS. A program that asked for it names the file then and ends with exit code 1.
#include "kernels/model/weights_private.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { WATCHED_MAX = 4 }; // a program maps one file, and another while it saves one

static _Atomic(struct weights *) watched[WATCHED_MAX];

static void swap(struct weights *from, struct weights *to)
{
    for (int i = 0; i < WATCHED_MAX; i++) {
        struct weights *expected = from;
        if (atomic_compare_exchange_strong(&watched[i], &expected, to))
            return; // where all places are taken, SIGBUS stays what it was
    }
}

void weights_watch(struct weights *weights)
{
    swap(NULL, weights);
}

void weights_unwatch(struct weights *weights)
{
    swap(weights, NULL);
}

static void say(const char *text)
{
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written; // there is nobody else to tell
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)context;
    uintptr_t at = (uintptr_t)info->si_addr;
    for (int i = 0; i < WATCHED_MAX; i++) {
        const struct weights *weights = atomic_load(&watched[i]);
        if (!weights || at < (uintptr_t)weights->map || at - (uintptr_t)weights->map >= weights->map_size)
            continue;
        say(weights->path);
        say(": the file was cut short while it was read\n");
        _exit(1);
    }
    signal(number, SIG_DFL); // not ours: the instruction faults again
}

void weights_explain_sigbus(void)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
}
