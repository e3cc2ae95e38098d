// http_raw.h: HTTP as bytes on a socket, for what no client library would send. Include after cmocka.h.
#ifndef SKINSIGHT_TESTS_SUPPORT_HTTP_RAW_H
#define SKINSIGHT_TESTS_SUPPORT_HTTP_RAW_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RAW_TIMEOUT_S = 10, RAW_SIZE = 64 * 1024 };

// from: one of loopback's addresses.
static inline int raw_connect(uint16_t port, const char *from)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in own = {.sin_family = AF_INET};
    struct timeval limit = {RAW_TIMEOUT_S, 0};
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(client >= 0);
    assert_int_equal(inet_pton(AF_INET, from, &own.sin_addr), 1);
    assert_int_equal(bind(client, (struct sockaddr *)&own, sizeof own), 0);
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit); // of connect as well
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
    return client;
}

// False: the server has closed the connection.
static inline bool raw_send(int client, const char *text, size_t size)
{
    while (size) {
        ssize_t sent = send(client, text, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        text += sent;
        size -= (size_t)sent;
    }
    return true;
}

struct raw_answer {
    unsigned code; // 0: the connection was closed before a whole answer
    char head[RAW_SIZE];
    char body[RAW_SIZE];
    size_t body_size;
};

// Reads one answer and no byte of the next; has_body is false after HEAD.
static inline void raw_receive(int client, bool has_body, struct raw_answer *answer)
{
    size_t used = 0;
    memset(answer, 0, sizeof *answer);
    while (!strstr(answer->head, "\r\n\r\n")) {
        if (used == sizeof answer->head - 1 || recv(client, answer->head + used, 1, 0) != 1)
            return;
        used++;
    }
    const char *length = strcasestr(answer->head, "\r\nContent-Length: ");
    answer->body_size = length && has_body ? strtoul(length + 18, NULL, 10) : 0;
    assert_true(answer->body_size < sizeof answer->body);
    for (used = 0; used < answer->body_size;) {
        ssize_t got = recv(client, answer->body + used, answer->body_size - used, 0);
        if (got <= 0)
            return;
        used += (size_t)got;
    }
    sscanf(answer->head, "HTTP/1.1 %u", &answer->code);
}

// Everything until the server closes the connection, cut to size; false: it did not.
static inline bool raw_receive_all(int client, char *text, size_t size)
{
    size_t used = 0;
    char byte;
    ssize_t got;
    while ((got = recv(client, &byte, 1, 0)) == 1)
        if (used + 1 < size)
            text[used++] = byte;
    text[used] = '\0';
    return got == 0 || errno == ECONNRESET;
}

static inline bool raw_is_closed(int client)
{
    char nothing[2];
    return raw_receive_all(client, nothing, sizeof nothing) && !*nothing;
}

#endif
