// http_server.c: one thread runs libmicrohttpd and the clocks of its clients. The server owns itself and its
// socket.
//
// A client that sends a byte now and then is never idle, and could keep its connection for ever. So each
// request has an absolute limit, and a new client is always let in: where there are too many, the one that
// has waited longest with its request unfinished goes. A probe, which sends its request at once, is answered
// before its turn to go comes.
#include "common/services/http_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/memory.h"

enum {
    CLIENTS_MAX = 24,
    CLIENTS_CLOSING = 8,      // told to go, and still libmicrohttpd's
    CLIENTS_PER_ADDRESS = 12, // so that one address can't push out the others
    BACKLOG = 256,
    LINE_SIZE = 512,
    HOST_SIZE = 256,
};

struct client {
    struct MHD_Connection *connection;
    int64_t until_ms; // its request is to be answered then, or the next one to have come
};

struct http_server {
    struct http_server_options options;
    struct MHD_Daemon *daemon;
    uint16_t port;
    pthread_t thread;
    int stop_fd; // readable: the thread is to end
    // In the order in which they go: those that were answered, then the others, the oldest first. Only the
    // thread touches them.
    struct client clients[CLIENTS_MAX];
    int client_count;
};

static void forget_client(struct http_server *server, int index)
{
    server->client_count--;
    memmove(&server->clients[index], &server->clients[index + 1],
            (size_t)(server->client_count - index) * sizeof *server->clients);
}

// libmicrohttpd finds the connection closed, and ends it.
static void send_away(struct http_server *server, int index)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(server->clients[index].connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    shutdown(info->connect_fd, SHUT_RDWR);
    forget_client(server, index);
}

static bool same_address(struct MHD_Connection *left, struct MHD_Connection *right)
{
    const struct sockaddr *a = MHD_get_connection_info(left, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    const struct sockaddr *b =
        MHD_get_connection_info(right, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    if (a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET6)
        return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                      &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
    return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
           ((const struct sockaddr_in *)b)->sin_addr.s_addr;
}

// At most CLIENTS_MAX - 1 are left, and less than CLIENTS_PER_ADDRESS of the newcomer's address.
static void make_room(struct http_server *server, struct MHD_Connection *newcomer)
{
    int first = -1, of_address = 0;
    for (int i = server->client_count - 1; i >= 0; i--) {
        if (!same_address(server->clients[i].connection, newcomer))
            continue;
        first = i;
        of_address++;
    }
    if (of_address >= CLIENTS_PER_ADDRESS)
        send_away(server, first);
    else if (server->client_count == CLIENTS_MAX)
        send_away(server, 0);
}

static struct client begin_client(const struct http_server *server, struct MHD_Connection *connection)
{
    return (struct client){connection, clock_monotonic_ms() + server->options.request_ms};
}

static int find_client(const struct http_server *server, const struct MHD_Connection *connection)
{
    for (int i = 0; i < server->client_count; i++)
        if (server->clients[i].connection == connection)
            return i;
    return -1; // it was sent away
}

static void on_connection(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = context;
    (void)state;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        make_room(server, connection);
        server->clients[server->client_count++] = begin_client(server, connection);
        return;
    }
    int index = find_client(server, connection);
    if (index >= 0)
        forget_client(server, index);
}

// Nothing is owed to it any more: it is the first that can go. The time of its next request begins.
static void on_answered(void *context, struct MHD_Connection *connection, void **state,
                        enum MHD_RequestTerminationCode code)
{
    struct http_server *server = context;
    (void)state, (void)code;
    int index = find_client(server, connection);
    if (index < 0)
        return;
    forget_client(server, index);
    memmove(&server->clients[1], &server->clients[0], (size_t)server->client_count * sizeof *server->clients);
    server->client_count++;
    server->clients[0] = begin_client(server, connection);
}

struct http_request {
    struct MHD_Connection *connection;
    enum MHD_Result result; // of the answer; MHD_NO closes the connection
};

void http_answer(struct http_request *request, unsigned code, const char *type, struct bytes body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.size, (void *)(uintptr_t)body.data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    request->result = MHD_queue_response(request->connection, code, response);
    MHD_destroy_response(response);
}

void http_answer_line(struct http_request *request, unsigned code, const char *line)
{
    char text[LINE_SIZE + 1];
    int length = snprintf(text, sizeof text, "%.*s\n", LINE_SIZE - 1, line);
    http_answer(request, code, "text/plain; charset=utf-8",
                (struct bytes){(const uint8_t *)text, (size_t)length});
}

static void answer_not_found(const struct http_server *server, struct http_request *request)
{
    char line[LINE_SIZE] = "here are";
    size_t count = server->options.route_count;
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(line);
        snprintf(line + used, sizeof line - used, "%s %s",
                 i == 0           ? ""
                 : i + 1 == count ? " and"
                                  : ",",
                 server->options.routes[i].path);
    }
    http_answer_line(request, MHD_HTTP_NOT_FOUND, line);
}

static void answer(const struct http_server *server, const char *path, struct http_request *request)
{
    for (size_t i = 0; i < server->options.route_count; i++) {
        const struct http_route *route = &server->options.routes[i];
        if (strcmp(route->path, path) != 0)
            continue;
        route->handle(server->options.context, request);
        return;
    }
    answer_not_found(server, request);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_size, void **state)
{
    static char headers_seen;
    struct http_request request = {connection, MHD_NO};
    (void)version, (void)body;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        http_answer_line(&request, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
        return request.result;
    }
    // The first call brings headers only; an answer there would close the connection after each request.
    // A body is of no use here and dropped as it comes.
    if (!*state || *body_size) {
        *state = &headers_seen;
        *body_size = 0;
        return MHD_YES;
    }
    answer(context, path, &request);
    return request.result;
}

struct address {
    char host[HOST_SIZE]; // without brackets
    char port[6];
};

// The first length characters of text are the host: a name, IPv4, [IPv6], or nothing for loopback.
static enum status parse_host(const char *text, size_t length, struct address *address, struct error *err)
{
    if (!length) {
        strcpy(address->host, "127.0.0.1");
        return STATUS_OK;
    }
    bool bracketed = length > 2 && text[0] == '[' && text[length - 1] == ']';
    if (bracketed) {
        text++;
        length -= 2;
    }
    if (length >= HOST_SIZE)
        return error_set(err, STATUS_REJECTED, "the host of an address has at most %d characters",
                         HOST_SIZE - 1);
    memcpy(address->host, text, length);
    address->host[length] = '\0';
    if (strpbrk(address->host, bracketed ? "[]" : "[]:"))
        return error_set(err, STATUS_REJECTED, "'%s' is no host; an IPv6 address stands in brackets",
                         address->host);
    return STATUS_OK;
}

static enum status parse_address(const char *text, struct address *address, struct error *err)
{
    const char *colon = strrchr(text, ':');
    const char *port = colon ? colon + 1 : "";
    size_t digits = strspn(port, "0123456789");
    if (!digits || port[digits] || digits > 5 || atoi(port) > UINT16_MAX)
        return error_set(err, STATUS_REJECTED, "'%s' is not host:port or :port with a port up to 65535",
                         text);
    snprintf(address->port, sizeof address->port, "%s", port);
    return parse_host(text, (size_t)(colon - text), address, err);
}

enum status http_address_check(const char *address, struct error *err)
{
    struct address parsed;
    return parse_address(address, &parsed, err);
}

static int listen_on(const struct addrinfo *found)
{
    int on = 1;
    int listener = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0)
        return -1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (found->ai_family == AF_INET6) // exactly the address given, not IPv4's as well
        setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(listener, found->ai_addr, found->ai_addrlen) == 0 && listen(listener, BACKLOG) == 0)
        return listener;
    int reason = errno;
    close(listener);
    errno = reason;
    return -1;
}

static enum status open_listener(const char *text, int *listener, struct error *err)
{
    struct address address;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *found = NULL;
    enum status status = parse_address(text, &address, err);
    if (status != STATUS_OK)
        return status;
    int failure = getaddrinfo(address.host, address.port, &hints, &found);
    if (failure)
        return error_set(err, failure == EAI_AGAIN ? STATUS_RETRY : STATUS_REJECTED,
                         "the host of '%s' is unknown: %s", text, gai_strerror(failure));
    *listener = listen_on(found);
    freeaddrinfo(found);
    if (*listener < 0)
        return error_set(err, errno == EADDRINUSE ? STATUS_RETRY : STATUS_REJECTED, "can't listen on %s: %s",
                         text, strerror(errno));
    return STATUS_OK;
}

static uint16_t port_of(int listener)
{
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;
    getsockname(listener, (struct sockaddr *)&bound, &size);
    if (bound.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&bound)->sin6_port);
    return ntohs(((const struct sockaddr_in *)&bound)->sin_port);
}

// Sends away those whose time is up; how long until the next one's is, or libmicrohttpd wants to run.
static int64_t next_ms(struct http_server *server)
{
    unsigned long long wanted_ms;
    int64_t now_ms = clock_monotonic_ms(), next_ms = INT32_MAX;
    for (int i = server->client_count - 1; i >= 0; i--) {
        int64_t left_ms = server->clients[i].until_ms - now_ms;
        if (left_ms <= 0)
            send_away(server, i);
        else if (left_ms < next_ms)
            next_ms = left_ms;
    }
    if (MHD_get_timeout(server->daemon, &wanted_ms) == MHD_YES && wanted_ms < (uint64_t)next_ms)
        next_ms = (int64_t)wanted_ms;
    return next_ms;
}

static void *serve(void *context)
{
    struct http_server *server = context;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd ready[] = {{.fd = info->epoll_fd, .events = POLLIN},
                             {.fd = server->stop_fd, .events = POLLIN}};
    pthread_setname_np(pthread_self(), "http");
    while (!ready[1].revents) {
        MHD_run(server->daemon);
        poll(ready, 2, (int)next_ms(server));
    }
    return NULL;
}

static void release(struct http_server *server)
{
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    if (server->stop_fd >= 0)
        close(server->stop_fd);
    free(server);
}

enum status http_server_open(struct http_server **server, const struct http_server_options *options,
                             struct error *err)
{
    int listener;
    *server = NULL;
    enum status status = open_listener(options->address, &listener, err);
    if (status != STATUS_OK)
        return status;
    struct http_server *made = memory_alloc(sizeof *made);
    made->options = *options;
    made->port = port_of(listener);
    made->stop_fd = eventfd(0, EFD_CLOEXEC);
    // The socket is libmicrohttpd's from this call on.
    made->daemon = MHD_start_daemon(
        MHD_USE_EPOLL, made->port, NULL, NULL, on_request, made, MHD_OPTION_LISTEN_SOCKET, listener,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, made, MHD_OPTION_NOTIFY_COMPLETED, on_answered, made,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)(CLIENTS_MAX + CLIENTS_CLOSING), MHD_OPTION_END);
    if (!made->daemon || made->stop_fd < 0 || pthread_create(&made->thread, NULL, serve, made) != 0) {
        release(made);
        return error_set(err, STATUS_FATAL, "the HTTP listener can't be started");
    }
    *server = made;
    return STATUS_OK;
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

void http_server_close(struct http_server *server)
{
    if (!server)
        return;
    eventfd_write(server->stop_fd, 1);
    pthread_join(server->thread, NULL);
    release(server);
}
