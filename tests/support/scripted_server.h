// scripted_server.h: a TCP server that answers every first message of a connection with the same bytes, for
// answers that no real server gives on demand. One thread serves one connection after the other.
#ifndef SKINSIGHT_TESTS_SUPPORT_SCRIPTED_SERVER_H
#define SKINSIGHT_TESTS_SUPPORT_SCRIPTED_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/support/process.h"

enum { SCRIPTED_REQUEST_SIZE = 8192 };

struct scripted_server {
    const char *answer; // sent after the first bytes of each connection
    size_t answer_size;
    bool hold;   // keep the connection open after the answer, until the client ends it
    bool repeat; // send the answer again and again until the client ends the connection
    uint16_t port;
    atomic_int connections;
    char request[SCRIPTED_REQUEST_SIZE]; // the first bytes of the latest connection; read after stopping
    int listener;
    pthread_t thread;
};

TEST_HELPER void scripted_serve_one(struct scripted_server *server, int connection)
{
    ssize_t got = recv(connection, server->request, sizeof server->request - 1, 0);
    server->request[got > 0 ? got : 0] = '\0';
    if (got <= 0)
        return;
    ssize_t sent;
    do
        sent = send(connection, server->answer, server->answer_size, MSG_NOSIGNAL);
    while (server->repeat && sent > 0);
    char rest[4096];
    if (!server->hold)
        shutdown(connection, SHUT_WR);
    while (recv(connection, rest, sizeof rest, 0) > 0) {
    }
}

TEST_HELPER void *scripted_run(void *context)
{
    struct scripted_server *server = context;
    for (;;) {
        int connection = accept(server->listener, NULL, NULL);
        if (connection < 0)
            return NULL;
        atomic_fetch_add(&server->connections, 1);
        scripted_serve_one(server, connection);
        close(connection);
    }
}

// The caller has set answer, answer_size, hold and repeat.
TEST_HELPER void scripted_start(struct scripted_server *server)
{
    server->listener = process_listen(&server->port);
    atomic_init(&server->connections, 0);
    if (pthread_create(&server->thread, NULL, scripted_run, server) != 0)
        abort();
}

// Every client has to have closed its connection.
TEST_HELPER void scripted_stop(struct scripted_server *server)
{
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
}

#endif
