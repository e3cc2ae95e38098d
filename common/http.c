// http.c: /metrics, /healthz and /readyz for operators and orchestrators, nothing for patients' data.
// One thread of libmicrohttpd answers, so a probe must not block. The server owns itself and its socket; the
// probes' context must outlive it.
#include "common/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/memory.h"
#include "common/metrics.h"

enum {
    CONNECTIONS_MAX = 32,
    IDLE_TIMEOUT_S = 10,
    BACKLOG = 16,
    REASON_SIZE = 512,
    METRICS_LIMIT = 1024 * 1024,
    HOST_SIZE = 256,
};

struct http_server {
    struct http_probes probes;
    struct MHD_Daemon *daemon;
    uint16_t port;
};

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
    made->daemon = MHD_start_daemon(MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, made->port, NULL, NULL,
                                    on_request, made, MHD_OPTION_LISTEN_SOCKET, listener,
                                    MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                                    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_END);
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
