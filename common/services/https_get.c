// https_get.c: an easy handle of libcurl's for each call: it is made once in minutes.
#include "common/services/https_get.h"

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>

struct download {
    struct buffer *out;
    struct error *err;
    enum status status;
};

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct download *download = context;
    download->status = buffer_append(download->out, data, size * count, download->err);
    return download->status == STATUS_OK ? size * count : 0;
}

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

bool https_url_good(const char *url)
{
    return strncmp(url, "https://", 8) == 0 && url[8] && url[8] != '/' && !strchr(url, '@') &&
           !strchr(url, ' ');
}

static enum status judge(CURL *curl, CURLcode code, const char *text, struct download *download,
                         const struct https_get_options *options)
{
    long answer = 0;
    if (download->status != STATUS_OK)
        return download->status;
    if (code != CURLE_OK)
        return error_set(download->err, STATUS_RETRY, "%s: %s", options->url,
                         *text ? text : curl_easy_strerror(code));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
    if (answer != 200)
        return error_set(download->err, STATUS_RETRY, "%s answered %ld", options->url, answer);
    return STATUS_OK;
}

enum status https_get(const struct https_get_options *options, struct buffer *out, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct download download = {.out = out, .err = err};
    char text[CURL_ERROR_SIZE] = "";
    pthread_once(&once, init_curl);
    buffer_clear(out);
    CURL *curl = curl_easy_init();
    if (!curl)
        return error_set(err, STATUS_RETRY, "no memory for a request to %s", options->url);
    curl_easy_setopt(curl, CURLOPT_URL, options->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, options->plain ? "https,http" : "https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)options->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)options->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &download);
    if (*options->authorities)
        curl_easy_setopt(curl, CURLOPT_CAINFO, options->authorities);
    CURLcode code = curl_easy_perform(curl);
    enum status status = judge(curl, code, text, &download, options);
    curl_easy_cleanup(curl);
    return status;
}
