// http.h: a small HTTP listener for operators: GET /metrics, /healthz, /readyz. Its threads are
// libmicrohttpd's.
#ifndef SKINSIGHT_COMMON_PROGRAM_HTTP_H
#define SKINSIGHT_COMMON_PROGRAM_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

struct http_server;

// Fills reason with one sentence and says whether the program is alive or ready. Any thread.
struct http_probes {
    bool (*healthy)(void *context, char *reason, size_t size);
    bool (*ready)(void *context, char *reason, size_t size);
    void *context;
};

// REJECTED: not "host:port" or ":port".
enum status http_address_check(const char *address, struct error *err) MUST_CHECK;
// address is "host:port" or ":port" (loopback); port 0 takes a free one, which http_server_port tells.
enum status http_server_open(struct http_server **server, const char *address,
                             const struct http_probes *probes, struct error *err) MUST_CHECK;
uint16_t http_server_port(const struct http_server *server);
void http_server_close(struct http_server *server); // NULL is allowed

#endif
