// http_server.c: one thread runs libmicrohttpd, the clocks of its clients, and the handlers. The server owns
// itself and its socket. Nothing else speaks with libmicrohttpd: other threads leave answers in the mailbox.
#include "common/services/http_server.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/services/http_internal.h"
#include "common/services/http_tls.h"

enum {
    OPERATORS_CONNECTIONS = 24,
    OPERATORS_PER_ADDRESS = 12, // so that one address can't push out the others
    CONNECTIONS_CLOSING = 64,   // told to go, and still libmicrohttpd's
    OTHER_FILES = 64,           // that the process may want beside the connections
    HEADER_LIMIT = 16 * 1024,
    DROP_LIMIT = 16 * 1024 * 1024, // of a body that nobody wants; more of it, and the connection is closed
};

struct http_server {
    struct http_server_options options;
    struct MHD_Daemon *daemon;
    struct http_tls *tls; // NULL: none
    struct http_mailbox *mailbox;
    struct http_clients clients; // the thread's
    uint16_t port;
    pthread_t thread;
    atomic_bool stopping;
};

static struct http_client *client_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

// A request's first line is here.
static void *on_first_line(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct http_server *server = context;
    struct http_request *request = memory_alloc(sizeof *request);
    (void)uri;
    request->options = &server->options;
    request->mailbox = server->mailbox;
    request->connection = connection;
    request->client = client_of(connection);
    request->client->request = request;
    request->begun_us = clock_monotonic_us();
    http_client_turn(&server->clients, request->client, HTTP_TURN_ASKING);
    return request;
}

// Paths and queries are decoded in http_route.c.
static size_t leave_encoded(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text);
}

static void end_request(struct http_server *server, struct http_request *request, unsigned code)
{
    if (server->options.finished) {
        const struct http_outcome outcome = {request->route, code, clock_monotonic_us() - request->begun_us};
        server->options.finished(server->options.context, &outcome);
    }
    if (request->later)
        http_later_orphan(request->later);
    if (request->response)
        MHD_destroy_response(request->response);
    http_request_keep(request, NULL, NULL);
    request->client->request = NULL;
    free(request);
}

// Nothing is owed to the client any more.
static void on_done(void *context, struct MHD_Connection *connection, void **state,
                    enum MHD_RequestTerminationCode code)
{
    struct http_server *server = context;
    struct http_client *client = client_of(connection);
    (void)state;
    if (client->request)
        end_request(server, client->request,
                    code == MHD_REQUEST_TERMINATED_COMPLETED_OK ? client->request->code : 0);
    http_client_turn(&server->clients, client, HTTP_TURN_IDLE);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = http_clients_admit(&server->clients, connection);
        return;
    }
    struct http_client *client = *socket_context;
    if (client->request) // libmicrohttpd could not parse its head, and calls no on_done then
        end_request(server, client->request, 0);
    http_client_forget(&server->clients, client);
}

static enum MHD_Result send_response(struct http_request *request)
{
    return request->response ? MHD_queue_response(request->connection, request->code, request->response)
                             : MHD_NO; // the connection is closed
}

// Whether the answer to a refused request goes out before its body: where nobody knows how long that is, it
// is too long to be dropped, or its sender is so polite as to ask.
static bool answers_before_body(const struct http_request *request)
{
    const char *expects = http_request_header(request, MHD_HTTP_HEADER_EXPECT);
    return request->closes || (expects && strcasecmp(expects, "100-continue") == 0) ||
           http_declared_length(request) > DROP_LIMIT;
}

// What an answered request has kept nobody asks for any more, and its sender may be long about the rest.
static void release_answered(struct http_request *request)
{
    if (request->code)
        http_request_keep(request, NULL, NULL);
}

// An answer to a request without a body at this point would close the connection after it.
static enum MHD_Result begin_request(struct http_request *request, const char *method, const char *path,
                                     const char *version)
{
    request->begun = true;
    http_route_choose(request, method, path, version);
    if (!request->code && request->route->begin)
        request->route->begin(request->options->context, request);
    release_answered(request);
    return request->code && answers_before_body(request) ? send_response(request) : MHD_YES;
}

static enum MHD_Result take_body(struct http_request *request, struct bytes part)
{
    const struct http_route *route = request->route;
    request->body_size += part.size;
    if (request->code || !route->body_limit)
        return request->body_size <= DROP_LIMIT ? MHD_YES : MHD_NO;
    if (request->body_size <= route->body_limit)
        route->body(request->options->context, request, part);
    else
        http_refuse(request, &(struct http_refusal){{MHD_HTTP_CONTENT_TOO_LARGE, "body_too_large",
                                                     "the body is larger than this path takes", 0},
                                                    NULL,
                                                    true});
    release_answered(request);
    return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_size, void **state)
{
    struct http_server *server = context;
    struct http_request *request = *state;
    if (!request->begun)
        return begin_request(request, method, path, version);
    if (*body_size) {
        struct bytes part = {(const uint8_t *)body, *body_size};
        *body_size = 0;
        return take_body(request, part);
    }
    if (request->code)
        return send_response(request);
    request->route->handle(server->options.context, request);
    release_answered(request);
    if (!request->later)
        return send_response(request);
    http_client_turn(&server->clients, request->client, HTTP_TURN_WAITING);
    MHD_suspend_connection(connection);
    return MHD_YES;
}

static void resume(struct http_server *server, struct http_request *request)
{
    http_client_turn(&server->clients, request->client, HTTP_TURN_ASKING);
    MHD_resume_connection(request->connection);
}

static void end_wait(struct http_server *server, struct http_request *request)
{
    http_later_orphan(request->later);
    request->later = NULL;
    http_refuse(
        request,
        &(struct http_refusal){
            {MHD_HTTP_GATEWAY_TIMEOUT, "timeout", "the answer did not come in time", 0}, NULL, false});
    resume(server, request);
}

// Ends the turns whose time is up; how long until the next one's is, or libmicrohttpd wants to run. It
// doesn't say so of requests that were resumed.
static int64_t end_turns(struct http_server *server)
{
    int64_t left_ms;
    unsigned long long wanted_ms;
    struct http_client *client;
    bool resumed = false;
    while ((client = http_clients_due(&server->clients, &left_ms))) {
        resumed |= client->turn == HTTP_TURN_WAITING;
        if (client->turn == HTTP_TURN_WAITING)
            end_wait(server, client->request);
        else
            http_client_send_away(&server->clients, client);
    }
    if (resumed)
        return 0;
    if (MHD_get_timeout(server->daemon, &wanted_ms) == MHD_YES && wanted_ms < (uint64_t)left_ms)
        left_ms = (int64_t)wanted_ms;
    return left_ms;
}

static void *serve(void *context)
{
    struct http_server *server = context;
    struct http_request *answered;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd ready[] = {{.fd = info->epoll_fd, .events = POLLIN},
                             {.fd = http_mailbox_fd(server->mailbox), .events = POLLIN}};
    pthread_setname_np(pthread_self(), "http");
    http_tls_bind(server->tls);
    for (;;) {
        http_mailbox_clear_wake(server->mailbox); // first: who wakes us has said before what for
        if (atomic_load(&server->stopping))
            return NULL;
        while ((answered = http_mailbox_take(server->mailbox)))
            resume(server, answered);
        MHD_run(server->daemon);
        poll(ready, 2, (int)end_turns(server));
    }
}

// libmicrohttpd ends with no request suspended. These are answered nothing: their connections close.
static void resume_all(struct http_server *server)
{
    struct http_client *client;
    while ((client = TAILQ_FIRST(&server->clients.turns[HTTP_TURN_WAITING]))) {
        http_later_orphan(client->request->later);
        client->request->later = NULL;
        resume(server, client->request);
    }
}

static void release(struct http_server *server)
{
    if (server->daemon) {
        resume_all(server);
        MHD_stop_daemon(server->daemon);
    }
    if (server->mailbox)
        http_mailbox_close(server->mailbox);
    http_tls_close(server->tls);
    http_clients_release(&server->clients);
    free(server);
}

// Each connection is an open file, and the usual limit is 1024.
static enum status allow_files(int connections, struct error *err)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections + OTHER_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return STATUS_OK;
    limit.rlim_cur = wanted;
    if (wanted > limit.rlim_max || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return error_set(err, STATUS_REJECTED,
                         "%d connections need a limit of %llu open files, and this process has %llu at most",
                         connections, (unsigned long long)wanted, (unsigned long long)limit.rlim_max);
    return STATUS_OK;
}

static void start_daemon(struct http_server *server, int listener)
{
    const struct http_server_options *options = &server->options;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)HTTP_TLS_PRIORITIES},
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)http_tls_choose},
        {MHD_OPTION_END, 0, NULL},
    };
    if (server->tls)
        flags |= MHD_USE_TLS;
    else
        tls[0].option = MHD_OPTION_END;
    server->daemon = MHD_start_daemon(
        flags, server->port, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, listener,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_NOTIFY_COMPLETED, on_done, server,
        MHD_OPTION_URI_LOG_CALLBACK, on_first_line, server, MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)(options->connections + CONNECTIONS_CLOSING),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, options->header_limit, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    if (!server->daemon)
        close(listener);
}

static void fill_defaults(struct http_server_options *options)
{
    if (!options->answer_ms)
        options->answer_ms = options->request_ms;
    if (!options->connections)
        options->connections = OPERATORS_CONNECTIONS;
    if (!options->connections_per_address)
        options->connections_per_address = OPERATORS_PER_ADDRESS;
    if (!options->header_limit)
        options->header_limit = HEADER_LIMIT;
}

static struct http_server *make_server(const struct http_server_options *options)
{
    struct http_server *server = memory_alloc(sizeof *server);
    server->options = *options;
    fill_defaults(&server->options);
    http_clients_init(&server->clients, server->options.connections, server->options.connections_per_address);
    server->clients.limits_ms[HTTP_TURN_IDLE] = server->options.request_ms;
    server->clients.limits_ms[HTTP_TURN_ASKING] = server->options.request_ms;
    server->clients.limits_ms[HTTP_TURN_WAITING] = server->options.answer_ms;
    return server;
}

enum status http_server_open(struct http_server **server, const struct http_server_options *options,
                             struct error *err)
{
    int listener = -1;
    struct http_server *made = make_server(options);
    *server = NULL;
    enum status status = allow_files(made->options.connections, err);
    if (status == STATUS_OK && options->tls_certificate)
        status =
            http_tls_open(&made->tls, options->tls_certificate, options->tls_key, options->request_ms, err);
    if (status == STATUS_OK)
        status = http_listen(options->address, &listener, err);
    if (status != STATUS_OK)
        goto done;
    made->port = http_listener_port(listener);
    made->mailbox = http_mailbox_open(made->tls != NULL);
    start_daemon(made, listener);
    if (!made->daemon || !made->mailbox || pthread_create(&made->thread, NULL, serve, made) != 0)
        status = error_set(err, STATUS_FATAL, "the HTTP listener can't be started");
done:
    if (status == STATUS_OK)
        *server = made;
    else
        release(made);
    return status;
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

enum status http_server_reload_tls(struct http_server *server, struct error *err)
{
    return server->tls ? http_tls_reload(server->tls, err) : STATUS_OK;
}

void http_server_close(struct http_server *server)
{
    if (!server)
        return;
    atomic_store(&server->stopping, true);
    http_mailbox_wake(server->mailbox);
    pthread_join(server->thread, NULL);
    release(server);
}
