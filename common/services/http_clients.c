// http_clients.c: addresses are found through a hash, so that letting a client in costs no look at all
// others.
#include "common/services/http_clients.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/memory.h"

enum { BUCKETS = 1024 };

struct http_neighbours {
    uint64_t address; // IPv4, or the network of an IPv6 address
    int count;
    LIST_HEAD(, http_client) clients;
    LIST_ENTRY(http_neighbours) of_bucket;
};

void http_clients_init(struct http_clients *clients, int limit, int limit_per_address)
{
    *clients = (struct http_clients){.limit = limit, .limit_per_address = limit_per_address};
    for (int i = 0; i < HTTP_TURN_COUNT; i++)
        TAILQ_INIT(&clients->turns[i]);
    clients->buckets = memory_alloc(BUCKETS * sizeof *clients->buckets);
}

void http_clients_release(struct http_clients *clients)
{
    free(clients->buckets);
}

// Who has one IPv6 address has all of its network.
static uint64_t address_of(struct MHD_Connection *connection)
{
    const struct sockaddr *from =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    if (from->sa_family != AF_INET6)
        return ((const struct sockaddr_in *)from)->sin_addr.s_addr;
    const struct in6_addr *six = &((const struct sockaddr_in6 *)from)->sin6_addr;
    uint64_t network;
    memcpy(&network, six->s6_addr, sizeof network);
    return network;
}

static struct http_neighbours *neighbours_of(struct http_clients *clients, uint64_t address)
{
    struct http_bucket *bucket = &clients->buckets[(address * 0x9e3779b97f4a7c15ULL) >> 54];
    struct http_neighbours *neighbours;
    LIST_FOREACH(neighbours, bucket, of_bucket)
    if (neighbours->address == address)
        return neighbours;
    neighbours = memory_alloc(sizeof *neighbours);
    neighbours->address = address;
    LIST_INSERT_HEAD(bucket, neighbours, of_bucket);
    return neighbours;
}

static void leave(struct http_clients *clients, struct http_client *client)
{
    struct http_neighbours *neighbours = client->neighbours;
    TAILQ_REMOVE(&clients->turns[client->turn], client, of_turn);
    LIST_REMOVE(client, of_address);
    clients->count--;
    if (--neighbours->count == 0) {
        LIST_REMOVE(neighbours, of_bucket);
        free(neighbours);
    }
    client->leaving = true;
}

void http_client_send_away(struct http_clients *clients, struct http_client *client)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(client->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    shutdown(info->connect_fd, SHUT_RDWR);
    if (!client->leaving)
        leave(clients, client);
}

static struct http_client *first_to_go(const struct http_clients *clients)
{
    struct http_client *idle = TAILQ_FIRST(&clients->turns[HTTP_TURN_IDLE]);
    return idle ? idle : TAILQ_FIRST(&clients->turns[HTTP_TURN_ASKING]);
}

static struct http_client *first_neighbour_to_go(const struct http_neighbours *neighbours)
{
    struct http_client *client, *first = NULL;
    LIST_FOREACH(client, &neighbours->clients, of_address)
    if (client->turn != HTTP_TURN_WAITING &&
        (!first || client->turn < first->turn ||
         (client->turn == first->turn && client->until_ms <= first->until_ms)))
        first = client;
    return first;
}

struct http_client *http_clients_admit(struct http_clients *clients, struct MHD_Connection *connection)
{
    struct http_client *client = memory_alloc(sizeof *client);
    struct http_neighbours *neighbours = neighbours_of(clients, address_of(connection));
    bool address_full = neighbours->count >= clients->limit_per_address;
    bool full = address_full || clients->count >= clients->limit;
    struct http_client *goes = address_full ? first_neighbour_to_go(neighbours) : first_to_go(clients);
    client->connection = connection;
    client->neighbours = neighbours;
    neighbours->count++;
    clients->count++;
    LIST_INSERT_HEAD(&neighbours->clients, client, of_address);
    client->until_ms = clock_monotonic_ms() + clients->limits_ms[HTTP_TURN_IDLE];
    TAILQ_INSERT_TAIL(&clients->turns[HTTP_TURN_IDLE], client, of_turn);
    if (full)
        http_client_send_away(clients, goes ? goes : client);
    return client;
}

void http_client_forget(struct http_clients *clients, struct http_client *client)
{
    if (!client->leaving)
        leave(clients, client);
    free(client);
}

void http_client_turn(struct http_clients *clients, struct http_client *client, enum http_turn turn)
{
    if (client->leaving)
        return;
    TAILQ_REMOVE(&clients->turns[client->turn], client, of_turn);
    client->turn = turn;
    client->until_ms = clock_monotonic_ms() + clients->limits_ms[turn];
    TAILQ_INSERT_TAIL(&clients->turns[turn], client, of_turn);
}

struct http_client *http_clients_due(struct http_clients *clients, int64_t *left_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    *left_ms = INT32_MAX;
    for (int i = 0; i < HTTP_TURN_COUNT; i++) {
        struct http_client *first = TAILQ_FIRST(&clients->turns[i]);
        if (!first)
            continue;
        if (first->until_ms <= now_ms)
            return first;
        if (first->until_ms - now_ms < *left_ms)
            *left_ms = first->until_ms - now_ms;
    }
    return NULL;
}
