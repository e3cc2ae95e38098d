// page.c: the assembler puts the files in; CMakeLists.txt says where they are.
#include "producer/page/page.h"

#define FILE_BYTES(name, path)                                                                               \
    __asm__(".pushsection .rodata\n" #name "_begin:\n.incbin \"" path "\"\n" #name "_end:\n.popsection\n");  \
    extern const uint8_t name##_begin[] __attribute__((visibility("hidden")));                               \
    extern const uint8_t name##_end[] __attribute__((visibility("hidden")))

FILE_BYTES(page_html, PAGE_FOLDER "/page.html");
FILE_BYTES(page_css, PAGE_FOLDER "/page.css");
FILE_BYTES(page_js, PAGE_FOLDER "/page.js");
FILE_BYTES(openapi_json, OPENAPI_FILE);

// A page's script and style come from here alone, and it speaks with nobody else. Photographs are shown from
// the page's own memory (blob:); data: is the page's empty icon.
static const struct http_header page_headers[] = {
    {"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "
                                "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
                                "form-action 'none'; frame-ancestors 'none'"},
};

static void answer_file(struct http_request *request, const char *type, const uint8_t *begin,
                        const uint8_t *end)
{
    http_answer_with(request,
                     &(struct http_reply){200, type, {begin, (size_t)(end - begin)}, page_headers, 1});
}

static void answer_html(void *context, struct http_request *request)
{
    (void)context;
    answer_file(request, "text/html; charset=utf-8", page_html_begin, page_html_end);
}

static void answer_css(void *context, struct http_request *request)
{
    (void)context;
    answer_file(request, "text/css; charset=utf-8", page_css_begin, page_css_end);
}

static void answer_js(void *context, struct http_request *request)
{
    (void)context;
    answer_file(request, "text/javascript; charset=utf-8", page_js_begin, page_js_end);
}

static void answer_openapi(void *context, struct http_request *request)
{
    (void)context;
    answer_file(request, "application/json", openapi_json_begin, openapi_json_end);
}

const struct http_route page_routes[PAGE_ROUTES] = {
    {.method = "GET", .path = "/", .handle = answer_html},
    {.method = "GET", .path = "/page.css", .handle = answer_css},
    {.method = "GET", .path = "/page.js", .handle = answer_js},
    {.method = "GET", .path = "/openapi.json", .handle = answer_openapi},
};
