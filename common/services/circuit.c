// circuit.c: counts failures and decides who may try.
#include "common/services/circuit.h"

#include "common/base/clock.h"

enum { FAILURES_TO_OPEN = 5, PAUSE_FIRST_MS = 1000, PAUSE_MOST_MS = 5000 };

void circuit_init(struct circuit *circuit)
{
    *circuit = (struct circuit){0};
    pthread_mutex_init(&circuit->lock, NULL);
}

void circuit_release(struct circuit *circuit)
{
    pthread_mutex_destroy(&circuit->lock);
}

void circuit_set_watch(struct circuit *circuit, const struct circuit_watch *watch)
{
    circuit->watch = *watch;
}

static void tell(struct circuit *circuit, bool open)
{
    if (circuit->watch.changed)
        circuit->watch.changed(circuit->watch.context, open);
}

enum circuit_pass circuit_enter(struct circuit *circuit)
{
    enum circuit_pass pass = CIRCUIT_PASS;
    pthread_mutex_lock(&circuit->lock);
    if (circuit->open_until_ms != 0) {
        bool waiting = circuit->probing || clock_monotonic_ms() < circuit->open_until_ms;
        pass = waiting ? CIRCUIT_REFUSED : CIRCUIT_PROBE;
        circuit->probing |= pass == CIRCUIT_PROBE;
    }
    pthread_mutex_unlock(&circuit->lock);
    return pass;
}

static void count_failure(struct circuit *circuit)
{
    if (++circuit->failures < FAILURES_TO_OPEN)
        return;
    if (circuit->open_until_ms == 0)
        tell(circuit, true);
    int64_t next = 2 * circuit->pause_ms;
    circuit->pause_ms = next == 0 ? PAUSE_FIRST_MS : next > PAUSE_MOST_MS ? PAUSE_MOST_MS : next;
    circuit->open_until_ms = clock_monotonic_ms() + circuit->pause_ms;
}

void circuit_leave(struct circuit *circuit, enum circuit_pass pass, bool good)
{
    pthread_mutex_lock(&circuit->lock);
    if (pass == CIRCUIT_PROBE)
        circuit->probing = false;
    if (good) {
        if (circuit->open_until_ms != 0)
            tell(circuit, false);
        circuit->failures = 0;
        circuit->pause_ms = circuit->open_until_ms = 0;
    } else if (pass == CIRCUIT_PROBE || circuit->open_until_ms == 0) {
        count_failure(circuit); // a call that began before the circuit opened says nothing new
    }
    pthread_mutex_unlock(&circuit->lock);
}

bool circuit_is_open(struct circuit *circuit)
{
    pthread_mutex_lock(&circuit->lock);
    bool open = circuit->open_until_ms != 0;
    pthread_mutex_unlock(&circuit->lock);
    return open;
}

int circuit_failures(struct circuit *circuit)
{
    pthread_mutex_lock(&circuit->lock);
    int failures = circuit->failures;
    pthread_mutex_unlock(&circuit->lock);
    return failures;
}
