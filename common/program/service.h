// service.h: what every program that runs for long does in the same way: /metrics, /healthz and /readyz for
// operators and orchestrators, nothing for patients' data, and a limit for its orderly stop. The order:
//
//     shutdown_install (shutdown.h), service_open, work until shutdown_requested, service_begin_drain, finish
//     the work, service_close
#ifndef SKINSIGHT_COMMON_PROGRAM_SERVICE_H
#define SKINSIGHT_COMMON_PROGRAM_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

struct service;

struct service_options {
    const char *address;      // option http_address; empty: nobody listens
    int64_t drain_timeout_ms; // option drain_timeout_ms
    // Whether the program is ready, and one sentence on it. Listener's thread; must not block.
    bool (*ready)(void *context, char *reason, size_t size);
    // Sets the gauges, before each scrape. Listener's thread; must not block.
    void (*measure)(void *context);
    // What a drain that is given up leaves undone, for the log. Any thread.
    int (*unfinished)(void *context);
    void *context; // outlives the service
};

// Errors as http_server_open's.
enum status service_open(struct service **service, const struct service_options *options,
                         struct error *err) MUST_CHECK;
uint16_t service_port(const struct service *service); // the listener's; 0: none
// From now on the program has drain_timeout_ms until service_close; then the process ends with exit code 1.
void service_begin_drain(struct service *service);
void service_close(struct service *service); // NULL is allowed

#endif
