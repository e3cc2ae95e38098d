// fuzz_http.c: any bytes on a connection to the HTTP server. It answers or closes, and lives. The routes look
// at all that a handler can ask of a request.
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/services/http_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUEST_MS = 5, BODY_LIMIT = 64, VALUE_SIZE = 16 };

static void answer(void *context, struct http_request *request)
{
    char value[VALUE_SIZE], peer[HTTP_PEER_SIZE];
    (void)context;
    http_request_peer(request, peer);
    if (http_request_query(request, "q", value, sizeof value) == HTTP_FIELD_PRESENT &&
        strlen(value) >= VALUE_SIZE)
        abort();
    for (const char *c = http_request_part(request); *c; c++)
        if ((unsigned char)*c < ' ')
            abort();
    http_answer_line(request, 200, "good");
}

static void begin(void *context, struct http_request *request)
{
    (void)context;
    http_request_keep(request, memory_alloc(sizeof(size_t)), free);
}

static void count(void *context, struct http_request *request, struct bytes part)
{
    size_t *total = http_request_state(request);
    (void)context;
    *total += part.size;
    if (*total > BODY_LIMIT)
        abort();
}

static struct http_server *open_server(void)
{
    static const struct http_route routes[] = {
        {.method = "GET", .path = "/a/<name>.png", .handle = answer},
        {.method = "POST",
         .path = "/a",
         .handle = answer,
         .body_limit = BODY_LIMIT,
         .body_type = "application/json",
         .begin = begin,
         .body = count},
    };
    const struct http_server_options options = {.address = ":0",
                                                .routes = routes,
                                                .route_count = 2,
                                                .request_ms = REQUEST_MS,
                                                .header_limit = 2048,
                                                .problems = true};
    struct http_server *server;
    if (http_server_open(&server, &options, NULL) != STATUS_OK)
        abort();
    return server;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_server *server;
    char drain[4096];
    if (!server)
        server = open_server();
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(http_server_port(server))};
    struct linger reset = {1, 0}; // thousands of closed connections would use up the ports
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client < 0 || connect(client, (struct sockaddr *)&to, sizeof to) != 0)
        abort();
    if (send(client, data, size, MSG_NOSIGNAL) == (ssize_t)size)
        shutdown(client, SHUT_WR);
    while (recv(client, drain, sizeof drain, 0) > 0) {
    }
    setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(client);
    return 0;
}
