// object_s3.c: objects in an S3 bucket, signed by s3_sign.h and sent by libcurl.
//
// What is signed is what is sent: each signed header, Host included, is given to libcurl as text, and the
// path of a valid key is the same encoded and decoded. x-amz-content-sha256 is the body's real digest, which
// the server checks. Redirects are not followed: the signature would go with them. Any thread: a request
// takes an idle easy handle, with its open connection, or makes one.
#include <curl/curl.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/services/object_internal.h"
#include "common/services/s3_sign.h"

enum {
    IDLE_MOST = 16,          // connections kept open
    REFUSAL_MOST = 4 << 10,  // of an error's XML is kept
    EXPECT_TIMEOUT_MS = 250, // for "100 Continue", asked for before a body over 1 MiB
    S3_CODE_SIZE = 65,
    HEADERS_MOST = 5,
};

struct object_s3 {
    struct object_store store;
    char *endpoint;    // scheme://host[:port]
    const char *host;  // in endpoint
    char *bucket_path; // /bucket, or /bucket/prefix
    char *access_key;
    char *secret_key;
    char *session_token; // NULL: none
    char *region;
    int64_t timeout_ms;
    pthread_mutex_t lock; // of idle
    CURL *idle[IDLE_MOST];
    int idle_count;
};

struct s3_request {
    const char *key;
    const struct bytes *data; // NULL: GET
    const char *content_type;
    struct buffer *out; // GET
};

struct s3_exchange {
    CURL *curl;
    struct buffer *out;
    struct buffer refusal; // first bytes of an error's body
    enum status status;    // of storing the body
    struct error *err;
};

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static CURL *take_handle(struct object_s3 *s3)
{
    CURL *curl = NULL;
    pthread_mutex_lock(&s3->lock);
    if (s3->idle_count > 0)
        curl = s3->idle[--s3->idle_count];
    pthread_mutex_unlock(&s3->lock);
    return curl ? curl : curl_easy_init();
}

// Resetting drops the pointers to this request and keeps the connection.
static void give_handle(struct object_s3 *s3, CURL *curl)
{
    curl_easy_reset(curl);
    pthread_mutex_lock(&s3->lock);
    bool kept = s3->idle_count < IDLE_MOST;
    if (kept)
        s3->idle[s3->idle_count++] = curl;
    pthread_mutex_unlock(&s3->lock);
    if (!kept)
        curl_easy_cleanup(curl);
}

static size_t on_body(char *data, size_t one, size_t size, void *context)
{
    struct s3_exchange *exchange = context;
    long code = 0;
    size *= one;
    curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &code);
    if (exchange->out && code == 200) {
        exchange->status = buffer_append(exchange->out, data, size, exchange->err);
        return exchange->status == STATUS_OK ? size : 0;
    }
    size_t room = exchange->refusal.limit - exchange->refusal.size;
    if (buffer_append(&exchange->refusal, data, size < room ? size : room, NULL) != STATUS_OK)
        return 0;
    return size <= room ? size : 0; // no one reads more of it
}

// The text of <Code> in an S3 error, or "" where there is none that can be shown.
static void s3_code(const struct buffer *refusal, char code[S3_CODE_SIZE])
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.";
    const char *start = refusal->size ? memmem(refusal->data, refusal->size, "<Code>", 6) : NULL;
    size_t length = 0;
    if (start) {
        const char *end = (const char *)refusal->data + refusal->size;
        for (start += 6; start < end && length < S3_CODE_SIZE - 1 && strchr(allowed, *start) && *start;
             start++)
            code[length++] = *start;
        if (start == end || *start != '<')
            length = 0;
    }
    code[length] = '\0';
}

static bool is_one_of(const char *code, const char *const *codes)
{
    for (; *codes; codes++)
        if (strcmp(code, *codes) == 0)
            return true;
    return false;
}

// Whether the same request may succeed later although the server said no.
static bool passes(long http, const char *code)
{
    static const char *const passing[] = {
        "RequestTimeout", "BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", "OperationAborted",
        "SlowDown",       NULL};
    return http < 300 || http >= 500 || http == 429 || http == 408 || is_one_of(code, passing);
}

static enum status judge_answer(const struct s3_request *request, long http, const struct buffer *refusal,
                                struct error *err)
{
    char code[S3_CODE_SIZE];
    if (http == 200 || (request->data && (http == 201 || http == 204)))
        return STATUS_OK;
    s3_code(refusal, code);
    if (strcmp(code, "RequestTimeTooSkewed") == 0)
        return error_set(
            err, STATUS_RETRY,
            "the S3 server refuses requests because its clock and this machine's differ too much "
            "(RequestTimeTooSkewed): set the clock");
    if (strcmp(code, "NoSuchBucket") == 0)
        return error_set(err, STATUS_REJECTED, "the S3 bucket of the object store does not exist");
    if (http == 404)
        return error_set(err, STATUS_REJECTED, "no such object: %s", request->key);
    if (http >= 300 && http < 400)
        return error_set(
            err, STATUS_REJECTED,
            "the S3 server sends requests for this bucket elsewhere (HTTP %ld %s): check s3_endpoint "
            "and s3_region",
            http, code);
    return error_set(err, passes(http, code) ? STATUS_RETRY : STATUS_REJECTED,
                     "the S3 server did not %s object %s: HTTP %ld %s", request->data ? "write" : "read",
                     request->key, http, code);
}

// libcurl's own sentences name hosts and ports, never credentials.
static enum status judge_failure(CURLcode result, const char *text, struct error *err)
{
    const char *reason = text[0] ? text : curl_easy_strerror(result);
    switch (result) {
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
        return error_set(err, STATUS_FATAL, "no memory for a request to the S3 server");
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return error_set(err, STATUS_REJECTED, "s3_endpoint can't be used: %s", reason);
    default:
        return error_set(err, STATUS_RETRY, "no answer from the S3 server: %s", reason);
    }
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    char *line = memory_format("%s: %s", name, value);
    list = curl_slist_append(list, line); // copies it
    free(line);
    return list;
}

// A new list: the signed headers and their signature.
static struct curl_slist *make_headers(const struct object_s3 *s3, const struct s3_request *request,
                                       const char *path)
{
    char time[S3_TIME_SIZE], body_digest[DIGEST_TEXT_SIZE];
    struct digest body =
        request->data ? digest_of(request->data->data, request->data->size) : digest_of("", 0);
    digest_text(&body, body_digest);
    s3_time(clock_wall_ms(), time);
    struct s3_header headers[HEADERS_MOST]; // sorted by name, as the signature wants them
    size_t count = 0;
    if (request->data)
        headers[count++] = (struct s3_header){"content-type", request->content_type};
    headers[count++] = (struct s3_header){"host", s3->host};
    headers[count++] = (struct s3_header){"x-amz-content-sha256", body_digest};
    headers[count++] = (struct s3_header){"x-amz-date", time};
    if (s3->session_token)
        headers[count++] = (struct s3_header){"x-amz-security-token", s3->session_token};

    const struct s3_signer signer = {s3->access_key, s3->secret_key, s3->region};
    const struct s3_signed_parts parts = {.time = time,
                                          .method = request->data ? "PUT" : "GET",
                                          .path = path,
                                          .query = "",
                                          .headers = headers,
                                          .header_count = count,
                                          .body_digest = body_digest};
    char *authorization = s3_authorization(&signer, &parts);
    struct curl_slist *list = add_header(NULL, "authorization", authorization);
    free(authorization);
    for (size_t i = 0; i < count; i++)
        list = add_header(list, headers[i].name, headers[i].value);
    return list;
}

static void set_options(const struct object_s3 *s3, const struct s3_request *request, CURL *curl)
{
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)s3->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)s3->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_EXPECT_100_TIMEOUT_MS, (long)EXPECT_TIMEOUT_MS);
    if (!request->data) {
        curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
        return;
    }
    const void *body = request->data->size ? (const void *)request->data->data : "";
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->data->size);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "PUT");
}

static enum status perform(struct object_s3 *s3, const struct s3_request *request, struct error *err)
{
    char text[CURL_ERROR_SIZE] = "";
    struct s3_exchange exchange = {.curl = take_handle(s3), .out = request->out, .err = err};
    enum status status;
    long http = 0;
    if (!exchange.curl)
        return judge_failure(CURLE_OUT_OF_MEMORY, text, err);
    buffer_init(&exchange.refusal, REFUSAL_MOST);
    char *path = memory_format("%s/%s", s3->bucket_path, request->key);
    char *url = memory_format("%s%s", s3->endpoint, path);
    struct curl_slist *headers = make_headers(s3, request, path);
    set_options(s3, request, exchange.curl);
    curl_easy_setopt(exchange.curl, CURLOPT_URL, url);
    curl_easy_setopt(exchange.curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(exchange.curl, CURLOPT_ERRORBUFFER, text);
    curl_easy_setopt(exchange.curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(exchange.curl, CURLOPT_WRITEDATA, &exchange);

    CURLcode result = curl_easy_perform(exchange.curl);
    curl_easy_getinfo(exchange.curl, CURLINFO_RESPONSE_CODE, &http);
    if (exchange.status != STATUS_OK) {
        status = exchange.status;
        error_prefix(err, "object %s", request->key);
    } else if (result == CURLE_OK || (result == CURLE_WRITE_ERROR && http >= 300)) {
        status = judge_answer(request, http, &exchange.refusal, err);
    } else {
        status = judge_failure(result, text, err);
    }
    give_handle(s3, exchange.curl);
    curl_slist_free_all(headers);
    free(url);
    free(path);
    buffer_release(&exchange.refusal);
    return status;
}

static enum status s3_put(struct object_store *store, const char *key, struct bytes data,
                          const char *content_type, struct error *err)
{
    const struct s3_request request = {.key = key, .data = &data, .content_type = content_type};
    return perform((struct object_s3 *)store, &request, err);
}

static enum status s3_get(struct object_store *store, const char *key, struct buffer *out, struct error *err)
{
    const struct s3_request request = {.key = key, .out = out};
    return perform((struct object_s3 *)store, &request, err);
}

static void s3_close(struct object_store *store)
{
    struct object_s3 *s3 = (struct object_s3 *)store;
    while (s3->idle_count > 0)
        curl_easy_cleanup(s3->idle[--s3->idle_count]);
    OPENSSL_cleanse(s3->secret_key, strlen(s3->secret_key));
    pthread_mutex_destroy(&s3->lock);
    free(s3->endpoint);
    free(s3->bucket_path);
    free(s3->access_key);
    free(s3->secret_key);
    free(s3->session_token);
    free(s3->region);
    free(s3);
}

static bool consists_of(const char *text, size_t length, const char *others)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < length; i++)
        if (!text[i] || (!strchr(letters, text[i]) && !strchr(others, text[i])))
            return false;
    return length > 0;
}

// A new string: the endpoint without slashes at its end and without the scheme's own port, which clients
// leave out of Host; NULL when it is no scheme://host[:port].
static char *trim_endpoint(const char *endpoint)
{
    const char *host = strstr(endpoint, "://");
    size_t scheme = host ? (size_t)(host - endpoint) : 0;
    bool known = (scheme == 4 && strncmp(endpoint, "http", 4) == 0) ||
                 (scheme == 5 && strncmp(endpoint, "https", 5) == 0);
    if (!known)
        return NULL;
    host += 3;
    size_t length = strlen(host);
    while (length > 0 && host[length - 1] == '/')
        length--;
    if (!consists_of(host, length, ".-:[]"))
        return NULL;
    const char *standard_port = scheme == 4 ? ":80" : ":443";
    size_t port_length = strlen(standard_port);
    if (length > port_length && memcmp(host + length - port_length, standard_port, port_length) == 0)
        length -= port_length;
    return memory_format("%.*s://%.*s", (int)scheme, endpoint, (int)length, host);
}

static char *endpoint_of(const struct object_store_options *options)
{
    if (!options->s3_endpoint || !options->s3_endpoint[0])
        return memory_format("https://s3.%s.amazonaws.com", options->s3_region);
    return trim_endpoint(options->s3_endpoint);
}

// Credentials travel in headers: a line break in one would let it write others.
static bool printable(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

static enum status read_credentials(struct object_s3 *s3, struct error *err)
{
    const char *access_key = getenv("AWS_ACCESS_KEY_ID");
    const char *secret_key = getenv("AWS_SECRET_ACCESS_KEY");
    const char *token = getenv("AWS_SESSION_TOKEN");
    if (!access_key || !access_key[0] || !secret_key || !secret_key[0])
        return error_set(err, STATUS_REJECTED,
                         "an object store on S3 needs the environment variables AWS_ACCESS_KEY_ID and "
                         "AWS_SECRET_ACCESS_KEY");
    if (!printable(access_key) || !printable(secret_key) || (token && !printable(token)))
        return error_set(err, STATUS_REJECTED,
                         "the S3 credentials in the environment hold spaces or line breaks");
    s3->access_key = memory_strdup(access_key);
    s3->secret_key = memory_strdup(secret_key);
    if (token && token[0])
        s3->session_token = memory_strdup(token);
    return STATUS_OK;
}

enum status object_s3_check(const char *place, struct error *err)
{
    size_t bucket = strcspn(place, "/");
    if (bucket < 3 || bucket > 63 || !consists_of(place, bucket, ".-_"))
        return error_set(err, STATUS_REJECTED, "the object store must be s3://bucket or s3://bucket/prefix");
    if (place[bucket] == '/' && !object_key_valid(place + bucket + 1))
        return error_set(
            err, STATUS_REJECTED,
            "the prefix of the object store must be made of A-Z a-z 0-9 . _ - and single slashes");
    return STATUS_OK;
}

enum status object_region_check(const char *region, struct error *err)
{
    size_t length = region ? strlen(region) : 0;
    if (length <= 63 && consists_of(region, length, "-"))
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "s3_region must be the name of a region, like eu-central-1");
}

enum status object_endpoint_check(const char *endpoint, struct error *err)
{
    char *trimmed = trim_endpoint(endpoint);
    free(trimmed);
    if (trimmed)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED,
                     "s3_endpoint must be http://host:port or https://host, without a path");
}

static enum status check_options(const struct object_store_options *options, struct error *err)
{
    enum status status = object_region_check(options->s3_region, err);
    if (status == STATUS_OK && options->s3_endpoint && options->s3_endpoint[0])
        status = object_endpoint_check(options->s3_endpoint, err);
    if (status == STATUS_OK && (options->timeout_ms < 1 || options->timeout_ms > INT32_MAX))
        status = error_set(err, STATUS_REJECTED, "the time limit of a request to S3 must be at least 1 ms");
    return status;
}

enum status object_s3_open(struct object_store **store, const char *place,
                           const struct object_store_options *options, struct error *err)
{
    static const struct object_store_ops ops = {s3_put, s3_get, s3_close};
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    enum status status = check_options(options, err);
    if (status != STATUS_OK)
        return status;
    struct object_s3 *s3 = memory_alloc(sizeof *s3);
    status = read_credentials(s3, err);
    if (status != STATUS_OK) {
        free(s3);
        return status;
    }
    pthread_once(&once, init_curl);
    pthread_mutex_init(&s3->lock, NULL);
    s3->store.ops = &ops;
    s3->timeout_ms = options->timeout_ms;
    s3->endpoint = endpoint_of(options);
    s3->host = strstr(s3->endpoint, "://") + 3;
    s3->bucket_path = memory_format("/%s", place);
    s3->region = memory_strdup(options->s3_region);
    *store = &s3->store;
    return STATUS_OK;
}
