// http_reply.c: answers as libmicrohttpd takes them, with the headers that all of them have.
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/json_write.h"
#include "common/services/http_internal.h"

enum { LINE_SIZE = 512, PROBLEM_SIZE = 4096, HEADERS_MAX = 8, NUMBER_SIZE = 16 };

#define TEXT_TYPE    "text/plain; charset=utf-8"
#define PROBLEM_TYPE "application/problem+json"

// A browser that is led here by mistake or by malice runs nothing, keeps nothing and tells nobody.
static const struct http_header strict[] = {
    {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
    {"Content-Security-Policy",
     "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
};

static bool has_header(const struct http_reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->header_count; i++)
        if (strcasecmp(reply->headers[i].name, name) == 0)
            return true;
    return false;
}

struct MHD_Response *http_response_make(const struct http_reply *reply, bool tls)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        reply->body.size, (void *)(uintptr_t)reply->body.data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return NULL;
    for (size_t i = 0; i < sizeof strict / sizeof *strict; i++)
        if (!has_header(reply, strict[i].name))
            MHD_add_response_header(response, strict[i].name, strict[i].value);
    if (tls)
        MHD_add_response_header(response, "Strict-Transport-Security", "max-age=31536000");
    if (reply->type)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type);
    for (size_t i = 0; i < reply->header_count; i++) // it refuses line breaks
        MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
    return response;
}

static size_t write_problem(const struct http_problem *problem, struct buffer *text)
{
    struct json_writer writer;
    json_write_begin(&writer, text, NULL);
    json_add_object(&writer, NULL);
    json_add_text(&writer, "type", "about:blank");
    json_add_text(&writer, "title", MHD_get_reason_phrase_for(problem->status));
    json_add_integer(&writer, "status", problem->status);
    json_add_text(&writer, "detail", problem->detail);
    json_add_text(&writer, "code", problem->code);
    json_end_object(&writer);
    return json_write_end(&writer) == STATUS_OK ? text->size : 0;
}

static struct MHD_Response *make_problem(const struct http_problem *problem, const struct http_header *more,
                                         size_t more_count, bool tls)
{
    struct http_header headers[HEADERS_MAX];
    struct buffer text;
    char seconds[NUMBER_SIZE];
    size_t count = 0;
    for (; count < more_count; count++)
        headers[count] = more[count];
    if (problem->retry_after_s > 0) {
        snprintf(seconds, sizeof seconds, "%d", problem->retry_after_s);
        headers[count++] = (struct http_header){MHD_HTTP_HEADER_RETRY_AFTER, seconds};
    }
    if (problem->status == MHD_HTTP_UNAUTHORIZED)
        headers[count++] = (struct http_header){MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer"};
    buffer_init(&text, PROBLEM_SIZE);
    write_problem(problem, &text);
    struct MHD_Response *response = http_response_make(
        &(struct http_reply){problem->status, PROBLEM_TYPE, buffer_bytes(&text), headers, count}, tls);
    buffer_release(&text);
    return response;
}

struct MHD_Response *http_response_problem(const struct http_problem *problem, bool tls)
{
    return make_problem(problem, NULL, 0, tls);
}

static void take_answer(struct http_request *request, unsigned code, struct MHD_Response *response)
{
    if (request->response) { // an answer was given before
        if (response)
            MHD_destroy_response(response);
        return;
    }
    request->response = response;
    request->code = code;
}

static bool has_tls(const struct http_request *request)
{
    return request->options->tls_certificate != NULL;
}

void http_answer_with(struct http_request *request, const struct http_reply *reply)
{
    take_answer(request, reply->code, http_response_make(reply, has_tls(request)));
}

void http_answer(struct http_request *request, unsigned code, const char *type, struct bytes body)
{
    http_answer_with(request, &(struct http_reply){code, type, body, NULL, 0});
}

static struct bytes make_line(char text[LINE_SIZE + 1], const char *line)
{
    int length = snprintf(text, LINE_SIZE + 1, "%.*s\n", LINE_SIZE - 1, line);
    return (struct bytes){(const uint8_t *)text, (size_t)length};
}

void http_answer_line(struct http_request *request, unsigned code, const char *line)
{
    char text[LINE_SIZE + 1];
    http_answer(request, code, TEXT_TYPE, make_line(text, line));
}

void http_answer_problem(struct http_request *request, const struct http_problem *problem)
{
    take_answer(request, problem->status, http_response_problem(problem, has_tls(request)));
}

void http_refuse(struct http_request *request, const struct http_refusal *refusal)
{
    struct http_header headers[2];
    char text[LINE_SIZE + 1];
    size_t count = 0;
    if (refusal->allow)
        headers[count++] = (struct http_header){MHD_HTTP_HEADER_ALLOW, refusal->allow};
    request->closes = refusal->closes;
    if (refusal->closes)
        headers[count++] = (struct http_header){MHD_HTTP_HEADER_CONNECTION, "close"};
    if (request->options->problems) {
        take_answer(request, refusal->problem.status,
                    make_problem(&refusal->problem, headers, count, has_tls(request)));
        return;
    }
    http_answer_with(request, &(struct http_reply){refusal->problem.status, TEXT_TYPE,
                                                   make_line(text, refusal->problem.detail), headers, count});
}
