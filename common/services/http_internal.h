// http_internal.h: what the files of the HTTP server share: a request on its way, and how its answer is made.
// Nobody else includes this.
#ifndef SKINSIGHT_COMMON_SERVICES_HTTP_INTERNAL_H
#define SKINSIGHT_COMMON_SERVICES_HTTP_INTERNAL_H

#include <microhttpd.h>

#include "common/services/http_clients.h"
#include "common/services/http_server.h"

enum { HTTP_PART_SIZE = 256 };

struct http_mailbox;

// From its first line until libmicrohttpd has done with it. Server's thread.
struct http_request {
    const struct http_server_options *options;
    struct http_mailbox *mailbox;
    struct http_client *client;
    struct MHD_Connection *connection;
    const struct http_route *route; // NULL: there is none, or its head is not looked at yet
    char part[HTTP_PART_SIZE];      // what stood for <name> in the route's path
    bool begun;                     // its head was looked at
    size_t body_size;               // of what has arrived
    int64_t begun_us;
    void *state;
    void (*release)(void *state);
    bool closes;                   // what follows on the connection can't be trusted
    unsigned code;                 // 0: not answered yet
    struct MHD_Response *response; // NULL: not answered, or there was no memory
    struct http_later *later;      // deferred, and not answered yet
};

// http_route.c
// What a request's head says: its route, or the refusal, which is then its answer.
void http_route_choose(struct http_request *request, const char *method, const char *path,
                       const char *version);
// By its Content-Length; the largest number where it is larger, 0 where there is none.
unsigned long long http_declared_length(const struct http_request *request);

// http_reply.c
// NULL: no memory. Any thread.
struct MHD_Response *http_response_make(const struct http_reply *reply, bool tls);
struct MHD_Response *http_response_problem(const struct http_problem *problem, bool tls);
// The server's own answers, as problem or as a line. allow: NULL, or the methods. Closes the connection where
// what follows on it can't be trusted.
struct http_refusal {
    struct http_problem problem;
    const char *allow;
    bool closes;
};
void http_refuse(struct http_request *request, const struct http_refusal *refusal);

// http_later.c: what other threads leave for the server's.
struct http_mailbox *http_mailbox_open(bool tls);        // NULL: no file descriptor is left
int http_mailbox_fd(const struct http_mailbox *mailbox); // readable: wake up
void http_mailbox_wake(struct http_mailbox *mailbox);    // any thread
void http_mailbox_clear_wake(struct http_mailbox *mailbox);
// A suspended request with the answer that came for it; NULL: no more. Server's thread.
struct http_request *http_mailbox_take(struct http_mailbox *mailbox);
void http_mailbox_close(struct http_mailbox *mailbox); // answers do nothing from now on
void http_later_orphan(struct http_later *later);      // its request ends without it

// http_address.c
// RETRY, REJECTED: as http_server_open.
enum status http_listen(const char *address, int *listener, struct error *err) MUST_CHECK;
uint16_t http_listener_port(int listener);

#endif
