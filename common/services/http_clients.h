// http_clients.h: whose connection stays. A client has one of three turns, and a time when it ends; a list
// for each turn is in the order in which times end, as all of one turn have equally long. Server's thread.
//
// A client that sends a byte now and then is never idle, and could keep its connection for ever. So each turn
// has an absolute limit, and a newcomer is let in: where there are too many, the one that has waited longest
// goes. A client that sends its request at once is answered before its turn to go comes.
#ifndef SKINSIGHT_COMMON_SERVICES_HTTP_CLIENTS_H
#define SKINSIGHT_COMMON_SERVICES_HTTP_CLIENTS_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

enum http_turn {
    HTTP_TURN_IDLE,    // nothing of a request is here
    HTTP_TURN_ASKING,  // its request or our answer is on the way
    HTTP_TURN_WAITING, // for the answer to a deferred request
    HTTP_TURN_COUNT,
};

struct http_request;
struct http_neighbours; // the clients of one address

struct http_client {
    struct MHD_Connection *connection;
    struct http_request *request; // NULL: none
    enum http_turn turn;
    bool leaving; // told to go: in no list, and still libmicrohttpd's
    int64_t until_ms;
    TAILQ_ENTRY(http_client) of_turn;
    LIST_ENTRY(http_client) of_address;
    struct http_neighbours *neighbours;
};

struct http_clients {
    TAILQ_HEAD(, http_client) turns[HTTP_TURN_COUNT];
    int64_t limits_ms[HTTP_TURN_COUNT];
    int count, limit, limit_per_address;
    LIST_HEAD(http_bucket, http_neighbours) * buckets; // addresses by their hash
};

void http_clients_init(struct http_clients *clients, int limit, int limit_per_address);
void http_clients_release(struct http_clients *clients); // all have been forgotten
// Makes room; where nobody can go, the newcomer is told to. The client is freed by http_client_forget, which
// libmicrohttpd's end of the connection calls.
struct http_client *http_clients_admit(struct http_clients *clients, struct MHD_Connection *connection);
void http_client_forget(struct http_clients *clients, struct http_client *client);
void http_client_turn(struct http_clients *clients, struct http_client *client, enum http_turn turn);
// libmicrohttpd finds the connection closed and ends it; a waiting one once it is resumed.
void http_client_send_away(struct http_clients *clients, struct http_client *client);
// One whose time is up; NULL: none is, and the next one's is in *left_ms (INT32_MAX: never).
struct http_client *http_clients_due(struct http_clients *clients, int64_t *left_ms);

#endif
