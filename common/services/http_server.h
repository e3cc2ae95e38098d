// http_server.h: a small HTTP server: a table of routes, each answered by its handler on the server's one
// thread, which must not block. Every request has an absolute time limit, however slowly its bytes come. It
// answers GET and HEAD, drops bodies and speaks no TLS: it is for operators. Bodies, TLS and answers that
// come later belong here when a program needs them.
#ifndef SKINSIGHT_COMMON_SERVICES_HTTP_SERVER_H
#define SKINSIGHT_COMMON_SERVICES_HTTP_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

struct http_server;
struct http_request;

struct http_route {
    const char *path; // the whole of it
    // Answers the request, by one call of http_answer or http_answer_line.
    void (*handle)(void *context, struct http_request *request);
};

struct http_server_options {
    const char
        *address; // "host:port" or ":port" (loopback); port 0 takes a free one, which http_server_port tells
    const struct http_route *routes; // outlive the server, as does context
    size_t route_count;
    void *context;      // of the handlers
    int64_t request_ms; // longest time for one request, and between two of a connection
};

// Copies body. code: 200, 503, ...
void http_answer(struct http_request *request, unsigned code, const char *type, struct bytes body);
void http_answer_line(struct http_request *request, unsigned code,
                      const char *line); // one sentence, cut if need be

// REJECTED: not "host:port" or ":port".
enum status http_address_check(const char *address, struct error *err) MUST_CHECK;
// RETRY: the address is in use. REJECTED: it is none, or not of this machine.
enum status http_server_open(struct http_server **server, const struct http_server_options *options,
                             struct error *err) MUST_CHECK;
uint16_t http_server_port(const struct http_server *server);
void http_server_close(struct http_server *server); // NULL is allowed

#endif
