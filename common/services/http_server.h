// http_server.h: an HTTP/1.1 server on one thread: a table of routes, a limit on everything that a client
// sends or holds, and answers that may come later, from another thread. Plain or TLS 1.2 and later.
//
// A request goes through its route in this order, all of it on the server's thread, which must not block:
//
//     begin    its headers are here; may keep a state for the request, or refuse it before its body comes
//     body     each part of the body, in order, as it arrives
//     handle   all of it is here: answers, or calls http_defer, and another thread answers with what that
//     gave
//
// What the server answers itself, in the order it looks: a malformed request (400), an unknown path (404), a
// method that a path lacks (405 with Allow), a body over the route's limit (413), one of another type (415),
// a deferred request whose time is up (504). Only what libmicrohttpd can't parse gets libmicrohttpd's own
// page. Every answer forbids to cache, sniff and frame it, or to run anything; with TLS it also has HSTS.
//
// Too many clients: a newcomer is let in and another one goes, the one longest without a request before the
// one that is longest at sending its request. One whose request waits for its answer never goes, the newcomer
// then.
#ifndef SKINSIGHT_COMMON_SERVICES_HTTP_SERVER_H
#define SKINSIGHT_COMMON_SERVICES_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

struct http_server;
struct http_request; // the server's; valid until it is answered or deferred
struct http_later;   // a deferred request; the caller's until it is answered

struct http_route {
    const char *method; // "GET" answers HEAD as well
    const char *path;   // the whole of it; one <name> stands for some text without '/': "/maps/<id>.png"
    // Answers the request, by one call of http_answer..., or defers it.
    void (*handle)(void *context, struct http_request *request);
    // Of a route that takes a body. Elsewhere bodies are dropped as they come.
    size_t body_limit;
    const char *body_type; // "application/json", parameters aside; NULL: any
    void (*begin)(void *context, struct http_request *request);                   // NULL: nothing to do
    void (*body)(void *context, struct http_request *request, struct bytes part); // not after an answer
};

// For metrics: a request has been answered, or its client has left (code 0). route: NULL where there was
// none.
struct http_outcome {
    const struct http_route *route;
    unsigned code;
    int64_t took_us; // from its first line to the last byte of its answer
};

struct http_server_options {
    const char
        *address; // "host:port" or ":port" (loopback); port 0 takes a free one, which http_server_port tells
    const struct http_route *routes; // outlive the server, as does context
    size_t route_count;
    void *context;      // of the handlers
    int64_t request_ms; // longest time without a request, for sending one, and for taking its answer
    // 0 or NULL is what a program's operators need.
    int64_t answer_ms;           // longest time from http_defer to the answer; 0: request_ms
    int connections;             // 0: 24
    int connections_per_address; // an IPv6 network of 64 bits is one address; 0: 12
    size_t header_limit;         // of one request, in bytes; 0: 16 KiB
    bool problems;               // the server's own answers are problem documents, else lines of text
    const char *tls_certificate; // PEM, the chain with the server's own first; NULL: no TLS
    const char *tls_key;         // PEM, not encrypted
    void (*finished)(void *context, const struct http_outcome *outcome); // NULL: nobody asks
};

struct http_header {
    const char *name, *value;
};

// What to answer. The server copies all of it.
struct http_reply {
    unsigned code;
    const char *type; // NULL: no body
    struct bytes body;
    const struct http_header *headers; // one that every answer has is replaced by its namesake here
    size_t header_count;
};

// A refusal as RFC 9457 has it: an object with type, title, status, detail and code.
struct http_problem {
    unsigned status;
    const char *code;   // for programs
    const char *detail; // one sentence for people, without patients' data
    int retry_after_s;  // 0: no such header
};

// Of a request, on the server's thread.
const char *http_request_part(const struct http_request *request); // what stood for <name>, decoded
// NULL: absent. Of a name that stands twice the first; Authorization, Content-Type, Content-Length and Host
// don't.
const char *http_request_header(const struct http_request *request, const char *name);
enum http_field { HTTP_FIELD_ABSENT, HTTP_FIELD_PRESENT, HTTP_FIELD_BAD };
// The decoded value of a query's parameter. BAD: twice there, not decodable, or size is not enough.
enum http_field http_request_query(const struct http_request *request, const char *name, char *value,
                                   size_t size);
enum { HTTP_PEER_SIZE = 64 };
void http_request_peer(const struct http_request *request, char peer[HTTP_PEER_SIZE]); // address, no port
int64_t http_request_begun_us(const struct http_request *request); // monotonic clock, at its first line

// The request's state: release is called with it once begin, body or handle has answered, or the request
// ends, unless it was taken before. Keeping another one releases the first.
void http_request_keep(struct http_request *request, void *state, void (*release)(void *state));
void *http_request_state(const struct http_request *request); // NULL: none
void *http_request_take(struct http_request *request);        // is the caller's now

// The answer, in begin, body or handle; the first one counts. Copies body. code: 200, 503, ...
void http_answer(struct http_request *request, unsigned code, const char *type, struct bytes body);
void http_answer_line(struct http_request *request, unsigned code,
                      const char *line); // one sentence, cut if need be
void http_answer_with(struct http_request *request, const struct http_reply *reply);
void http_answer_problem(struct http_request *request, const struct http_problem *problem);

// In handle only. The caller answers once, from any thread, whenever it likes: after the client has left,
// after answer_ms (the server has then answered 504 itself) and after http_server_close an answer does
// nothing. That a client has left is not seen while its request waits.
struct http_later *http_defer(struct http_request *request);
// Ends the handle.
void http_later_answer(struct http_later *later, const struct http_reply *reply);
void http_later_problem(struct http_later *later, const struct http_problem *problem);

// REJECTED: not "host:port" or ":port".
enum status http_address_check(const char *address, struct error *err) MUST_CHECK;
// RETRY: the address is in use. REJECTED: it is none, or not of this machine; certificate and key can't be
// read or are no pair; the process may not open as many files as connections need.
enum status http_server_open(struct http_server **server, const struct http_server_options *options,
                             struct error *err) MUST_CHECK;
uint16_t http_server_port(const struct http_server *server);
// Reads certificate and key again, for connections to come. Any thread. REJECTED: as http_server_open; those
// in use stay.
enum status http_server_reload_tls(struct http_server *server, struct error *err) MUST_CHECK;
void http_server_close(struct http_server *server); // NULL is allowed

#endif
