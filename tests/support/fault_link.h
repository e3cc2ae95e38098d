// fault_link.h: one connection through the fault proxy: a client's socket, the server's socket, and two
// threads that carry bytes between them and do what the rules say.
//
// The proxy (fault_proxy.c) owns struct fault_proxy; its lock guards the rules, what is held, and the log. A
// link belongs to its two threads; the last one to end frees it.
#ifndef SKINSIGHT_TESTS_SUPPORT_FAULT_LINK_H
#define SKINSIGHT_TESTS_SUPPORT_FAULT_LINK_H

#include <pthread.h>
#include <stdio.h>

#include "tests/support/fault_rules.h"

struct fault_proxy {
    pthread_mutex_t lock;
    pthread_cond_t changed;   // of releases and held
    struct fault_rules rules; // guarded by lock, as all below
    unsigned rules_version;   // one more for each line taken
    unsigned releases;        // one more for each release
    int held;                 // requests held, or let go and not yet answered
    FILE *log;                // JSON lines, one per thing done
    bool of_bytes;            // plain bytes, not Kafka
    bool every_request;       // log those that simply pass, too
};

// Takes both sockets, makes the threads.
void fault_link_start(struct fault_proxy *proxy, int client, int server);
// Lets go whatever is held now and waits until it is answered, 2 s at most. Any thread, without the lock.
void fault_proxy_release(struct fault_proxy *proxy);
// Milliseconds of the monotonic clock and of Unix time, as the log has them.
int64_t fault_proxy_now_ms(void);

#endif
