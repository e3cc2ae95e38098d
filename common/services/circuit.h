// circuit.h: a service that keeps failing is left alone for a while. Closed while all is well; after several
// failures in a row it opens, and calls are refused at once until a pause has passed; then one call tries
// whether the service is back. The pause doubles from failure to failure. (M. Nygard, "Release It!", 2007:
// circuit breaker.) Any thread.
#ifndef SKINSIGHT_COMMON_SERVICES_CIRCUIT_H
#define SKINSIGHT_COMMON_SERVICES_CIRCUIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

// Who is told when a circuit opens and closes: under its lock, so briefly.
struct circuit_watch {
    void (*changed)(void *context, bool open);
    void *context;
};

struct circuit {
    struct circuit_watch watch;
    pthread_mutex_t lock;
    int failures; // in a row
    int64_t pause_ms;
    int64_t open_until_ms; // 0: closed
    bool probing;
};

enum circuit_pass { CIRCUIT_REFUSED, CIRCUIT_PASS, CIRCUIT_PROBE };

void circuit_init(struct circuit *circuit);
void circuit_release(struct circuit *circuit);
void circuit_set_watch(struct circuit *circuit, const struct circuit_watch *watch); // before the first call

// Before a call; REFUSED: don't make it. Every other pass is given back to circuit_leave with how it went.
enum circuit_pass circuit_enter(struct circuit *circuit);
void circuit_leave(struct circuit *circuit, enum circuit_pass pass, bool good);
bool circuit_is_open(struct circuit *circuit);
int circuit_failures(struct circuit *circuit); // in a row, for the sentence that says why a call is refused

#endif
