// http_route.c: what a request's head says. libmicrohttpd leaves path and query as they were sent; each is
// decoded here, once, after it was cut into parts, so that an encoded '/' or NUL never passes for another.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/bytes.h"
#include "common/services/http_internal.h"

enum { ALLOW_SIZE = 128, LIST_SIZE = 400 };

// False: malformed, a control character, or longer than size takes.
static bool decode(struct bytes text, char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '%') {
            if (text.size - i < 3)
                return false;
            const char digits[] = {(char)text.data[i + 1], (char)text.data[i + 2], '\0'};
            if (!hex_decode(digits, &c, 1))
                return false;
            i += 2;
        }
        if (c < ' ' || c == 0x7f || used + 1 >= size)
            return false;
        out[used++] = (char)c;
    }
    out[used] = '\0';
    return true;
}

// Whether path is pattern; *part is then what stands for its <name>, empty where it has none.
static bool path_matches(const char *pattern, const char *path, struct bytes *part)
{
    const char *open = strchr(pattern, '<');
    *part = (struct bytes){NULL, 0};
    if (!open)
        return strcmp(pattern, path) == 0;
    const char *suffix = strchr(open, '>') + 1;
    size_t before = (size_t)(open - pattern), after = strlen(suffix), length = strlen(path);
    if (length <= before + after || memcmp(path, pattern, before) != 0 ||
        strcmp(path + length - after, suffix) != 0)
        return false;
    *part = (struct bytes){(const uint8_t *)path + before, length - before - after};
    return !memchr(part->data, '/', part->size);
}

static bool method_matches(const struct http_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(route->method, MHD_HTTP_METHOD_GET) == 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) == 0);
}

static void refuse_path(struct http_request *request)
{
    const struct http_server_options *options = request->options;
    char line[LIST_SIZE] = "there is no such path here";
    if (!options->problems) // operators see what there is
        strcpy(line, "here are");
    for (size_t i = 0; i < options->route_count && !options->problems; i++) {
        size_t used = strlen(line);
        snprintf(line + used, sizeof line - used, "%s %s",
                 i == 0                          ? ""
                 : i + 1 == options->route_count ? " and"
                                                 : ",",
                 options->routes[i].path);
    }
    http_refuse(request, &(struct http_refusal){{MHD_HTTP_NOT_FOUND, "not_found", line, 0}, NULL, false});
}

static void refuse_method(struct http_request *request, const char *path)
{
    const struct http_server_options *options = request->options;
    char allow[ALLOW_SIZE] = "", line[ALLOW_SIZE + 64];
    struct bytes part;
    for (size_t i = 0; i < options->route_count; i++) {
        const struct http_route *route = &options->routes[i];
        size_t used = strlen(allow);
        if (path_matches(route->path, path, &part))
            snprintf(allow + used, sizeof allow - used, "%s%s", used ? ", " : "",
                     strcmp(route->method, MHD_HTTP_METHOD_GET) == 0 ? "GET, HEAD" : route->method);
    }
    snprintf(line, sizeof line, "this path takes %s", allow);
    http_refuse(request,
                &(struct http_refusal){{MHD_HTTP_METHOD_NOT_ALLOWED, "method", line, 0}, allow, false});
}

// What stands in the head of a request and decides how it is read. Twice there, two readers may understand it
// in two ways, and a proxy in front of us is another reader.
static const char *const single[] = {MHD_HTTP_HEADER_HOST, MHD_HTTP_HEADER_CONTENT_LENGTH,
                                     MHD_HTTP_HEADER_TRANSFER_ENCODING, MHD_HTTP_HEADER_CONTENT_TYPE,
                                     MHD_HTTP_HEADER_AUTHORIZATION};
enum { SINGLE_COUNT = sizeof single / sizeof *single };

static enum MHD_Result count_header(void *context, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    int *counts = context;
    (void)kind, (void)value;
    for (int i = 0; i < SINGLE_COUNT; i++)
        counts[i] += strcasecmp(name, single[i]) == 0;
    return MHD_YES;
}

// What is wrong with the head; NULL: nothing.
static const char *head_fault(const struct http_request *request, const char *version)
{
    int counts[SINGLE_COUNT] = {0};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_header, counts);
    for (int i = 0; i < SINGLE_COUNT; i++)
        if (counts[i] > 1)
            return "a header that may stand once stands twice in this request";
    const char *coding = http_request_header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    const char *length = http_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (coding && (length || strcasecmp(coding, "chunked") != 0))
        return "a body is chunked or has a length, not both and nothing else";
    if (length && (!*length || length[strspn(length, "0123456789")]))
        return "the Content-Length is no number";
    if (!http_request_header(request, MHD_HTTP_HEADER_HOST) && strcmp(version, MHD_HTTP_VERSION_1_1) == 0)
        return "a request of HTTP/1.1 has a Host";
    return NULL;
}

unsigned long long http_declared_length(const struct http_request *request)
{
    const char *length = http_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length ? strtoull(length, NULL, 10) : 0;
}

static bool type_matches(const char *type, const char *wanted)
{
    size_t length = strlen(wanted);
    if (!type || strncasecmp(type, wanted, length) != 0)
        return false;
    return type[length] == '\0' || type[length] == ';' || type[length] == ' ';
}

static void check_body(struct http_request *request)
{
    const struct http_route *route = request->route;
    const char *coding = http_request_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING);
    char line[ALLOW_SIZE];
    if (http_declared_length(request) > route->body_limit) {
        snprintf(line, sizeof line, "a body has at most %zu bytes here", route->body_limit);
        http_refuse(request, &(struct http_refusal){
                                 {MHD_HTTP_CONTENT_TOO_LARGE, "body_too_large", line, 0}, NULL, false});
        return;
    }
    if ((!coding || strcasecmp(coding, "identity") == 0) &&
        (!route->body_type ||
         type_matches(http_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE), route->body_type)))
        return;
    snprintf(line, sizeof line, "the body is to be %s, not compressed",
             route->body_type ? route->body_type : "plain");
    http_refuse(request,
                &(struct http_refusal){
                    {MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", line, 0}, NULL, false});
}

void http_route_choose(struct http_request *request, const char *method, const char *path,
                       const char *version)
{
    const struct http_server_options *options = request->options;
    const char *fault = head_fault(request, version);
    struct bytes part;
    bool path_known = false;
    if (fault) {
        http_refuse(request, &(struct http_refusal){
                                 {MHD_HTTP_BAD_REQUEST, "malformed_request", fault, 0}, NULL, true});
        return;
    }
    for (size_t i = 0; i < options->route_count && !request->route; i++) {
        const struct http_route *route = &options->routes[i];
        if (!path_matches(route->path, path, &part) || !decode(part, request->part, HTTP_PART_SIZE))
            continue;
        path_known = true;
        if (method_matches(route, method))
            request->route = route;
    }
    if (!path_known)
        refuse_path(request);
    else if (!request->route)
        refuse_method(request, path);
    else if (request->route->body_limit)
        check_body(request);
}

const char *http_request_part(const struct http_request *request)
{
    return request->part;
}

const char *http_request_header(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

struct parameter {
    const char *name;
    const char *value; // the last one
    int count;
};

static enum MHD_Result find_parameter(void *context, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    struct parameter *parameter = context;
    (void)kind;
    if (strcmp(name, parameter->name) == 0) {
        parameter->value = value;
        parameter->count++;
    }
    return MHD_YES;
}

enum http_field http_request_query(const struct http_request *request, const char *name, char *value,
                                   size_t size)
{
    struct parameter parameter = {name, NULL, 0};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, find_parameter, &parameter);
    if (!parameter.count)
        return HTTP_FIELD_ABSENT;
    const char *text = parameter.value ? parameter.value : "";
    struct bytes encoded = {(const uint8_t *)text, strlen(text)};
    return parameter.count == 1 && decode(encoded, value, size) ? HTTP_FIELD_PRESENT : HTTP_FIELD_BAD;
}

void http_request_peer(const struct http_request *request, char peer[HTTP_PEER_SIZE])
{
    const struct sockaddr *from =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    const void *address = from->sa_family == AF_INET6
                              ? (const void *)&((const struct sockaddr_in6 *)from)->sin6_addr
                              : (const void *)&((const struct sockaddr_in *)from)->sin_addr;
    if (!inet_ntop(from->sa_family, address, peer, HTTP_PEER_SIZE))
        strcpy(peer, "unknown");
}

int64_t http_request_begun_us(const struct http_request *request)
{
    return request->begun_us;
}

void http_request_keep(struct http_request *request, void *state, void (*release)(void *state))
{
    if (request->state)
        request->release(request->state);
    request->state = state;
    request->release = release;
}

void *http_request_state(const struct http_request *request)
{
    return request->state;
}

void *http_request_take(struct http_request *request)
{
    void *state = request->state;
    request->state = NULL;
    return state;
}
