// bench_load.c: clinics that send photographs to the gateway, whether it keeps up or not.
//
//     bench_load URL KEY-FILE RATE SECONDS IMAGE...
//
// URL is "http://host:port". KEY-FILE holds API keys, one a line; requests take them in turn. They arrive
// RATE a second on average, at random times that don't depend on answers: a slow answer delays no arrival,
// and a request's time runs from when it was due. Each takes one of the images (files, or folders of JPEGs)
// and a request id of its own; 202 is followed until the answer is there. Answers to one image must be the
// same prediction, by digest, and carry their request's id: one that is not is a crossed one.
//
// Prints one line of JSON: how many were sent, answered, answered through 202, refused by status, crossed,
// and lost (no answer at all), and percentiles in ms. The exit code is 1 where any was crossed or lost.
#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/collect.h"
#include "common/base/counter_random.h"
#include "common/base/digest.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/json_write.h"
#include "common/base/memory.h"
#include "common/records/job.h"

enum {
    IMAGE_MOST = 16 << 20,
    REPLY_MOST = 256 << 10,
    KEYS_MOST = 1 << 16, // bytes
    KEY_MOST = 512,
    URL_SIZE = 512,
    OPEN_MOST = 2000, // requests at once; an arrival beyond is not sent, and counted
    STATUS_MOST = 600,
    FOLLOW_S = 90, // for a 202's answer
    TIMEOUT_S = 60,
};

struct image {
    char *base64;
    struct digest prediction; // of its first answer
    bool answered;
};

struct request {
    CURL *easy;
    struct image *image;
    char id[JOB_REQUEST_ID_SIZE];
    char *body;
    struct buffer reply;
    int64_t due_us;
    int64_t again_us; // 202: when to ask again; 0: it is on its way
    bool queued;
    struct request *next;
};

struct load {
    const char *url;
    double rate;
    int64_t end_us;
    struct image *images;
    size_t image_count;
    struct curl_slist **headers; // of each key
    size_t key_count;
    CURLM *multi;
    struct request *open; // all that are not done
    size_t open_count;
    uint64_t arrivals;
    int64_t due_us; // of the next arrival
    uint64_t sent, unsent, queued, crossed, lost;
    uint64_t statuses[STATUS_MOST];
    double *answered_ms;
    size_t answered_count, answered_capacity;
};

static enum status read_image(struct image *image, const char *path, struct error *err)
{
    struct buffer bytes;
    buffer_init(&bytes, IMAGE_MOST);
    enum status status = file_read(path, &bytes, err);
    if (status == STATUS_OK) {
        image->base64 = memory_alloc(base64_encoded_size(bytes.size) + 1);
        base64_encode(bytes.data, bytes.size, image->base64);
    }
    buffer_release(&bytes);
    return status;
}

static void complain(void *context, const char *sentence)
{
    (void)context;
    fprintf(stderr, "%s\n", sentence);
}

static enum status read_images(struct load *load, int count, char **paths, struct error *err)
{
    const struct collect_complaints complaints = {complain, NULL};
    struct file_list list;
    enum status status = STATUS_OK;
    file_list_init(&list);
    for (int i = 0; i < count && status == STATUS_OK; i++)
        status = file_list_collect(&list, paths[i], &complaints, err);
    load->images = memory_alloc((list.count + 1) * sizeof *load->images);
    for (size_t i = 0; i < list.count && status == STATUS_OK; i++)
        status = read_image(&load->images[load->image_count++], list.paths[i], err);
    file_list_release(&list);
    if (status == STATUS_OK && !load->image_count)
        status = error_set(err, STATUS_REJECTED, "there is no image");
    return status;
}

static void add_key(struct load *load, const char *key)
{
    char header[KEY_MOST + 32];
    struct curl_slist *headers = NULL;
    snprintf(header, sizeof header, "Authorization: Bearer %.*s", KEY_MOST, key);
    headers = curl_slist_append(headers, header);
    headers = curl_slist_append(headers, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    load->headers = memory_realloc(load->headers, (load->key_count + 1) * sizeof(void *));
    load->headers[load->key_count++] = headers;
}

static enum status read_keys(struct load *load, const char *path, struct error *err)
{
    struct buffer keys;
    char *rest = NULL;
    buffer_init(&keys, KEYS_MOST);
    enum status status = file_read(path, &keys, err);
    if (status == STATUS_OK)
        status = buffer_append(&keys, "", 1, err);
    for (char *key = status == STATUS_OK ? strtok_r((char *)keys.data, "\r\n", &rest) : NULL; key;
         key = strtok_r(NULL, "\r\n", &rest))
        add_key(load, key);
    if (status == STATUS_OK && !load->key_count)
        status = error_set(err, STATUS_REJECTED, "there is no key");
    buffer_release(&keys);
    return status;
}

static size_t take_reply(char *data, size_t one, size_t size, void *context)
{
    struct request *request = context;
    return buffer_append(&request->reply, data, one * size, NULL) == STATUS_OK ? one * size : 0;
}

static void send_request(struct load *load, struct request *request)
{
    char url[URL_SIZE];
    snprintf(url, sizeof url, "%s/v2/analyze%s%s", load->url, request->queued ? "/" : "",
             request->queued ? request->id : "");
    curl_easy_setopt(request->easy, CURLOPT_URL, url);
    if (request->queued)
        curl_easy_setopt(request->easy, CURLOPT_HTTPGET, 1L);
    buffer_clear(&request->reply);
    request->again_us = 0;
    curl_multi_add_handle(load->multi, request->easy);
}

static void begin_request(struct load *load)
{
    static const struct random_stream choice = {1, 1};
    struct request *request = memory_alloc(sizeof *request);
    request->image = &load->images[counter_random_below(&choice, load->arrivals, load->image_count)];
    job_request_id_new(request->id);
    request->body =
        memory_format("{\"request_id\":\"%s\",\"image\":\"%s\"}", request->id, request->image->base64);
    request->due_us = load->due_us;
    buffer_init(&request->reply, REPLY_MOST);
    request->easy = curl_easy_init();
    curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, load->headers[load->sent % load->key_count]);
    curl_easy_setopt(request->easy, CURLOPT_POSTFIELDS, request->body);
    curl_easy_setopt(request->easy, CURLOPT_WRITEFUNCTION, take_reply);
    curl_easy_setopt(request->easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(request->easy, CURLOPT_PRIVATE, request);
    curl_easy_setopt(request->easy, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    curl_easy_setopt(request->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(request->easy, CURLOPT_NOPROXY, "*");
    request->next = load->open;
    load->open = request;
    load->open_count++;
    load->sent++;
    send_request(load, request);
}

static void end_request(struct load *load, struct request *request)
{
    struct request **link = &load->open;
    while (*link != request)
        link = &(*link)->next;
    *link = request->next;
    load->open_count--;
    curl_easy_cleanup(request->easy);
    buffer_release(&request->reply);
    free(request->body);
    free(request);
}

// The prediction without its link, which is made anew at each reading.
static bool is_own_answer(struct request *request)
{
    static const struct json_limits limits = {REPLY_MOST, 4096, 16};
    struct image *image = request->image;
    cJSON *reply = NULL;
    if (json_parse(buffer_bytes(&request->reply), &limits, &reply, NULL) != STATUS_OK)
        return false;
    cJSON *prediction = cJSON_GetObjectItemCaseSensitive(reply, "prediction");
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(reply, "request_id"));
    cJSON_DeleteItemFromObjectCaseSensitive(prediction, "attention_map_url");
    char *text = prediction ? cJSON_PrintUnformatted(prediction) : NULL;
    bool own = id && text && strcmp(id, request->id) == 0;
    if (own) {
        struct digest digest = digest_of(text, strlen(text));
        own = !image->answered || digest_equal(&digest, &image->prediction);
        image->prediction = digest;
        image->answered = true;
    }
    cJSON_free(text);
    cJSON_Delete(reply);
    return own;
}

static void add_time(struct load *load, double ms)
{
    if (load->answered_count == load->answered_capacity) {
        load->answered_capacity = 2 * load->answered_capacity + 1024;
        load->answered_ms =
            memory_realloc(load->answered_ms, load->answered_capacity * sizeof *load->answered_ms);
    }
    load->answered_ms[load->answered_count++] = ms;
}

static void take_answer(struct load *load, struct request *request, CURLcode result)
{
    long status = 0;
    curl_off_t retry_s = 0;
    int64_t now_us = clock_monotonic_us();
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &retry_s);
    curl_multi_remove_handle(load->multi, request->easy);
    if (result == CURLE_OK && status == 202 && now_us - request->due_us < FOLLOW_S * INT64_C(1000000)) {
        load->queued += !request->queued;
        request->queued = true;
        request->again_us = now_us + (retry_s > 0 ? retry_s : 1) * INT64_C(1000000);
        return;
    }
    if (result != CURLE_OK || status < 100 || status >= STATUS_MOST || status == 202) {
        load->lost++;
    } else {
        load->statuses[status]++;
        if (status == 200 && !is_own_answer(request))
            load->crossed++;
        if (status == 200)
            add_time(load, (double)(now_us - request->due_us) / 1000);
    }
    end_request(load, request);
}

// Exponential gaps: arrivals that know nothing of each other.
static void begin_due(struct load *load)
{
    static const struct random_stream gaps = {1, 2};
    while (load->due_us <= clock_monotonic_us() && load->due_us < load->end_us) {
        if (load->open_count < OPEN_MOST)
            begin_request(load);
        else
            load->unsent++;
        double gap_s = -log1p(-counter_random_uniform(&gaps, load->arrivals)) / load->rate;
        load->due_us += (int64_t)(gap_s * 1e6);
        load->arrivals++;
    }
}

static int64_t ask_again(struct load *load, int64_t next_us)
{
    for (struct request *request = load->open; request; request = request->next) {
        if (request->again_us && request->again_us <= clock_monotonic_us())
            send_request(load, request);
        else if (request->again_us && request->again_us < next_us)
            next_us = request->again_us;
    }
    return next_us;
}

static void run(struct load *load, double seconds)
{
    int running, left;
    load->due_us = clock_monotonic_us();
    load->end_us = load->due_us + (int64_t)(seconds * 1e6);
    while (load->due_us < load->end_us || load->open_count) {
        begin_due(load);
        int64_t next_us = clock_monotonic_us() + 1000000;
        next_us =
            ask_again(load, load->due_us < load->end_us && load->due_us < next_us ? load->due_us : next_us);
        curl_multi_perform(load->multi, &running);
        for (CURLMsg *message; (message = curl_multi_info_read(load->multi, &left));) {
            struct request *request;
            CURLcode result = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
            take_answer(load, request, result);
        }
        int64_t wait_ms = (next_us - clock_monotonic_us()) / 1000;
        curl_multi_poll(load->multi, NULL, 0, wait_ms > 0 ? (int)wait_ms : 0, NULL);
    }
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void print_result(struct load *load)
{
    static const struct {
        const char *name;
        double share;
    } percentiles[] = {{"p50_ms", 0.5}, {"p90_ms", 0.9}, {"p99_ms", 0.99}, {"longest_ms", 1}};
    struct json_line line;
    char status[16];
    struct json_writer *writer = json_line_begin(&line);
    qsort(load->answered_ms, load->answered_count, sizeof *load->answered_ms, compare);
    json_add_integer(writer, "sent", (int64_t)load->sent);
    json_add_integer(writer, "not_sent", (int64_t)load->unsent);
    json_add_integer(writer, "answered", (int64_t)load->answered_count);
    json_add_integer(writer, "queued", (int64_t)load->queued);
    json_add_integer(writer, "crossed", (int64_t)load->crossed);
    json_add_integer(writer, "lost", (int64_t)load->lost);
    json_add_object(writer, "refused");
    for (int i = 0; i < STATUS_MOST; i++) {
        if (!load->statuses[i] || i == 200)
            continue;
        snprintf(status, sizeof status, "%d", i);
        json_add_integer(writer, status, (int64_t)load->statuses[i]);
    }
    json_end_object(writer);
    for (size_t i = 0; i < sizeof percentiles / sizeof *percentiles && load->answered_count; i++) {
        size_t rank = (size_t)ceil(percentiles[i].share * (double)load->answered_count);
        json_add_float(writer, percentiles[i].name, (float)load->answered_ms[rank - 1]);
    }
    json_line_end(&line, stdout);
}

int main(int argc, char **argv)
{
    struct load load = {0};
    struct error err = {""};
    char *rest;
    double rate = argc > 5 ? strtod(argv[3], &rest) : 0, seconds = argc > 5 ? strtod(argv[4], &rest) : 0;
    if (!(rate > 0 && rate <= 10000 && seconds > 0 && seconds <= 86400)) {
        fprintf(stderr, "usage: bench_load URL KEY-FILE RATE SECONDS IMAGE...\n");
        return 2;
    }
    json_prepare_memory();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    load.url = argv[1];
    load.rate = rate;
    load.multi = curl_multi_init();
    enum status status = read_keys(&load, argv[2], &err);
    if (status == STATUS_OK)
        status = read_images(&load, argc - 5, argv + 5, &err);
    if (status == STATUS_OK) {
        run(&load, seconds);
        print_result(&load);
    } else {
        fprintf(stderr, "%s\n", err.message);
    }
    for (size_t i = 0; i < load.image_count; i++)
        free(load.images[i].base64);
    free(load.images);
    free(load.answered_ms);
    curl_multi_cleanup(load.multi);
    for (size_t i = 0; i < load.key_count; i++)
        curl_slist_free_all(load.headers[i]);
    free(load.headers);
    curl_global_cleanup();
    return status != STATUS_OK || load.crossed || load.lost;
}
