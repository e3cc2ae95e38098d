// http.c: /metrics, /healthz and /readyz for operators and orchestrators, nothing for patients' data.
// One thread of libmicrohttpd answers, so a probe must not block. The server owns itself and its socket; the
// probes' context must outlive it.
//
// A client that sends a byte now and then is never idle, and could keep its place for ever. So whoever comes
// is let in, and where there are too many the one that has waited longest with its request unfinished goes. A
// probe, which sends its request at once, is answered before its turn to go comes.
#include "common/program/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/program/metrics.h"

enum {
    CLIENTS_MAX = 24,
    CLIENTS_CLOSING = 8,      // told to go, and still libmicrohttpd's
    CLIENTS_PER_ADDRESS = 12, // so that one address can't push out the others
    REQUEST_S = 10,           // longest time for one request, and between two; looked at when somebody comes
    BACKLOG = 256,
    REASON_SIZE = 512,
    METRICS_LIMIT = 1024 * 1024,
    HOST_SIZE = 256,
};

struct client {
    struct MHD_Connection *connection;
    int64_t since_ms; // that its request may come
};

struct http_server {
    struct http_probes probes;
    struct MHD_Daemon *daemon;
    uint16_t port;
    // In the order in which they go: those that were answered, then the others, the oldest first. Only
    // libmicrohttpd's thread touches them.
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
    int64_t overdue_ms = clock_monotonic_ms() - REQUEST_S * 1000;
    for (int i = server->client_count - 1; i >= 0; i--)
        if (server->clients[i].since_ms < overdue_ms)
            send_away(server, i);
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
        server->clients[server->client_count++] = (struct client){connection, clock_monotonic_ms()};
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
    server->clients[0] = (struct client){connection, clock_monotonic_ms()};
}

static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned code, const char *type,
                                 struct bytes text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(text.size, (void *)(uintptr_t)text.data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_line(struct MHD_Connection *connection, unsigned code, const char *line)
{
    char text[REASON_SIZE + 1];
    int length = snprintf(text, sizeof text, "%s\n", line);
    return send_text(connection, code, "text/plain; charset=utf-8",
                     (struct bytes){(const uint8_t *)text, (size_t)length});
}

static enum MHD_Result answer_metrics(struct http_server *server, struct MHD_Connection *connection)
{
    (void)server;
    struct buffer text;
    struct error err;
    enum MHD_Result result;
    buffer_init(&text, METRICS_LIMIT);
    if (metrics_write_prometheus(&text, &err) == STATUS_OK)
        result = send_text(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                           buffer_bytes(&text));
    else
        result = send_line(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, err.message);
    buffer_release(&text);
    return result;
}

static enum MHD_Result answer_probe(struct MHD_Connection *connection, const struct http_probes *probes,
                                    bool (*probe)(void *context, char *reason, size_t size))
{
    char reason[REASON_SIZE - 1] = "";
    bool good = probe(probes->context, reason, sizeof reason);
    reason[sizeof reason - 1] = '\0';
    return send_line(connection, good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                     *reason ? reason
                     : good  ? "yes"
                             : "no");
}

static enum MHD_Result answer_healthz(struct http_server *server, struct MHD_Connection *connection)
{
    return answer_probe(connection, &server->probes, server->probes.healthy);
}

static enum MHD_Result answer_readyz(struct http_server *server, struct MHD_Connection *connection)
{
    return answer_probe(connection, &server->probes, server->probes.ready);
}

static const struct {
    const char *path;
    enum MHD_Result (*answer)(struct http_server *server, struct MHD_Connection *connection);
} routes[] = {
    {"/metrics", answer_metrics},
    {"/healthz", answer_healthz},
    {"/readyz", answer_readyz},
};

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_size, void **state)
{
    static char headers_seen;
    (void)version, (void)body;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return send_line(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
    // The first call brings headers only; an answer there would close the connection after each request.
    // A body is of no use here and dropped as it comes.
    if (!*state || *body_size) {
        *state = &headers_seen;
        *body_size = 0;
        return MHD_YES;
    }
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (strcmp(routes[i].path, path) == 0)
            return routes[i].answer(context, connection);
    return send_line(connection, MHD_HTTP_NOT_FOUND, "here are /metrics, /healthz and /readyz");
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

enum status http_server_open(struct http_server **server, const char *address,
                             const struct http_probes *probes, struct error *err)
{
    int listener;
    *server = NULL;
    enum status status = open_listener(address, &listener, err);
    if (status != STATUS_OK)
        return status;
    struct http_server *made = memory_alloc(sizeof *made);
    made->probes = *probes;
    made->port = port_of(listener);
    made->daemon =
        MHD_start_daemon(MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, made->port, NULL, NULL, on_request,
                         made, MHD_OPTION_LISTEN_SOCKET, listener, MHD_OPTION_NOTIFY_CONNECTION,
                         on_connection, made, MHD_OPTION_NOTIFY_COMPLETED, on_answered, made,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)(CLIENTS_MAX + CLIENTS_CLOSING),
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)REQUEST_S, MHD_OPTION_END);
    if (!made->daemon) {
        free(made); // the socket is libmicrohttpd's since the call
        return error_set(err, STATUS_FATAL, "the HTTP listener's thread can't be started");
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
    MHD_stop_daemon(server->daemon);
    free(server);
}
