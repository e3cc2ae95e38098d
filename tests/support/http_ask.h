// http_ask.h: one HTTP request of a test, by libcurl. Any thread; include after cmocka.h, and call
// curl_global_init first.
#ifndef SKINSIGHT_TESTS_SUPPORT_HTTP_ASK_H
#define SKINSIGHT_TESTS_SUPPORT_HTTP_ASK_H

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

enum { HTTP_TIMEOUT_S = 10, HTTP_BODY_SIZE = 64 * 1024 };

struct answer {
    long code;
    char type[128];
    char allow[64];
    char body[HTTP_BODY_SIZE];
    size_t size;
};

static inline size_t take_body(char *data, size_t one, size_t size, void *context)
{
    struct answer *answer = context;
    if (one * size >= HTTP_BODY_SIZE - answer->size)
        return 0;
    memcpy(answer->body + answer->size, data, one * size);
    answer->size += one * size;
    answer->body[answer->size] = '\0';
    return one * size;
}

static inline size_t take_header(char *data, size_t one, size_t size, void *context)
{
    struct answer *answer = context;
    if (size > 7 && strncmp(data, "Allow: ", 7) == 0)
        snprintf(answer->allow, sizeof answer->allow, "%.*s", (int)(size - 9), data + 7);
    return one * size;
}

// body may be NULL.
static inline CURLcode try_url(const char *url, const char *method, const char *body, struct answer *answer)
{
    CURL *curl = curl_easy_init();
    assert_non_null(curl);
    *answer = (struct answer){0};
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)HTTP_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
    if (body)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    CURLcode result = curl_easy_perform(curl);
    const char *type = NULL;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->code);
    curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
    snprintf(answer->type, sizeof answer->type, "%s", type ? type : "");
    curl_easy_cleanup(curl);
    return result;
}

#endif
