// watch.c: names become addresses, addresses become texts, texts become advice.
#include "monitor/service/watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/services/https_get.h"
#include "monitor/service/addresses.h"
#include "monitor/service/worker_metrics.h"

enum { TARGETS_MOST = 64, TARGET_SIZE = 256, TEXT_MOST = 4 << 20, TIMEOUT_MS = 500 };

struct target {
    char host[TARGET_SIZE], port[8], path[TARGET_SIZE];
    bool known; // somebody behind the name has answered once
};

struct watch {
    struct watch_options options;
    struct target targets[TARGETS_MOST];
    size_t target_count;
    // The thread's.
    struct addresses addresses;
    struct worker_metrics metrics;
    struct scale scale;
    struct buffer text;
    pthread_t thread;
    pthread_mutex_t lock; // of what follows
    pthread_cond_t stopped;
    bool stops;
    struct watched found;
};

// Takes ":port" off the end of host, where it is there.
static bool take_port(char *host, struct target *target)
{
    char *colon = strrchr(host, ':'), *bracket = strchr(host, ']');
    if (!colon || (bracket && colon < bracket))
        return true;
    *colon = '\0';
    size_t digits = strspn(colon + 1, "0123456789");
    snprintf(target->port, sizeof target->port, "%.5s", colon + 1);
    return digits >= 1 && digits <= 5 && !colon[1 + digits];
}

static bool is_plain(const char *text)
{
    return *text && strcspn(text, " @?#[]\"<>") == strlen(text);
}

// One target of size bytes.
static bool read_target(const char *text, size_t size, struct target *target)
{
    static const char scheme[] = "http://";
    char copy[TARGET_SIZE];
    if (size >= sizeof copy || strncmp(text, scheme, sizeof scheme - 1) != 0)
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    *target = (struct target){.port = "80", .path = "/metrics"};
    char *host = copy + sizeof scheme - 1, *path = strchr(host, '/');
    if (path) {
        snprintf(target->path, sizeof target->path, "%s", path);
        *path = '\0';
    }
    if (!take_port(host, target))
        return false;
    size_t length = strlen(host);
    if (length > 2 && host[0] == '[' && host[length - 1] == ']') { // an IPv6 address
        host[length - 1] = '\0';
        host++;
    }
    snprintf(target->host, sizeof target->host, "%s", host);
    return is_plain(target->host) && is_plain(target->path);
}

static enum status read_targets(const char *text, struct target targets[TARGETS_MOST], size_t *count,
                                struct error *err)
{
    *count = 0;
    while (*text) {
        size_t size = strcspn(text, ",");
        if (*count == TARGETS_MOST)
            return error_set(err, STATUS_REJECTED, "workers_metrics has more than %d targets", TARGETS_MOST);
        if (!read_target(text, size, &targets[*count]))
            return error_set(err, STATUS_REJECTED, "'%.*s' is no http://host:port/path", (int)size, text);
        ++*count;
        text += size;
        text += *text == ',';
    }
    return STATUS_OK;
}

enum status watch_targets_check(const char *targets, struct error *err)
{
    struct target *read = memory_alloc(TARGETS_MOST * sizeof *read);
    size_t count;
    enum status status = read_targets(targets, read, &count, err);
    free(read);
    return status;
}

static void ask(struct watch *watch, struct target *target, const char *host, bool v6)
{
    struct error err;
    char url[2 * TARGET_SIZE + INET6_ADDRSTRLEN], name[WORKER_NAME_SIZE];
    snprintf(name, sizeof name, "%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", target->port);
    snprintf(url, sizeof url, "http://%s%s", name, target->path);
    const struct https_get_options get = {
        .url = url, .plain = true, .authorities = "", .timeout_ms = TIMEOUT_MS};
    struct address *address = addresses_next(&watch->addresses, name);
    if (!address)
        return;
    bool answers =
        https_get(&get, &watch->text, &err) == STATUS_OK &&
        worker_metrics_add(&watch->metrics, name, clock_monotonic_ms(), buffer_bytes(&watch->text));
    address_tell(address, answers, clock_monotonic_ms());
    target->known |= answers;
    if (!answers)
        LOG_DEBUG("worker_silent", "worker=%s", name);
}

// A worker may have an address of either family, and is counted once: IPv4 where there is any.
static int resolve(const struct target *target, struct addrinfo **list)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET};
    if (getaddrinfo(target->host, target->port, &hints, list) == 0)
        return 0;
    hints.ai_family = AF_INET6;
    return getaddrinfo(target->host, target->port, &hints, list);
}

static bool is_stopping(struct watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    bool stops = watch->stops;
    pthread_mutex_unlock(&watch->lock);
    return stops;
}

// Whoever is behind a name that is not found is missing.
static void miss(struct watch *watch, const struct target *target)
{
    char name[ADDRESS_SIZE];
    snprintf(name, sizeof name, "%s:%s", target->host, target->port);
    struct address *address = addresses_next(&watch->addresses, name);
    if (address) {
        address_tell(address, false, clock_monotonic_ms());
        address->known |= target->known;
    }
    LOG_DEBUG("worker_unknown", "host=%s", target->host);
}

static void ask_target(struct watch *watch, struct target *target)
{
    struct addrinfo *list = NULL;
    if (resolve(target, &list) != 0) {
        miss(watch, target);
        return;
    }
    for (const struct addrinfo *one = list; one && !is_stopping(watch); one = one->ai_next) {
        char address[INET6_ADDRSTRLEN];
        bool v6 = one->ai_family == AF_INET6;
        if (getnameinfo(one->ai_addr, one->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST) == 0)
            ask(watch, target, address, v6);
    }
    freeaddrinfo(list);
}

static void scrape(struct watch *watch)
{
    struct watched found = {.at_ms = clock_monotonic_ms()};
    int before;
    addresses_begin(&watch->addresses);
    worker_metrics_begin(&watch->metrics, found.at_ms);
    for (size_t i = 0; i < watch->target_count && !is_stopping(watch); i++)
        ask_target(watch, &watch->targets[i]);
    if (is_stopping(watch)) // not all were asked
        return;
    const struct addresses_count count =
        addresses_count(&watch->addresses, clock_monotonic_ms(), worker_metrics_have_all(&watch->metrics));
    worker_metrics_end(&watch->metrics, count.asked, &found.input);
    found.input.unknown = count.unknown;
    found.input.gone = count.gone;
    found.advice = scale_advise(&watch->scale, &found.input);
    pthread_mutex_lock(&watch->lock);
    before = watch->found.advice.desired;
    watch->found = found;
    pthread_mutex_unlock(&watch->lock);
    if (found.advice.desired != before)
        LOG_INFO("scale", "desired=%d before=%d reason=\"%s\"", found.advice.desired, before,
                 found.advice.reason);
}

static void *run(void *context)
{
    struct watch *watch = context;
    bool stops = false;
    while (!stops) {
        const struct timespec until = clock_monotonic_after_ms(watch->options.period_ms);
        scrape(watch);
        pthread_mutex_lock(&watch->lock);
        while (!watch->stops && pthread_cond_timedwait(&watch->stopped, &watch->lock, &until) != ETIMEDOUT)
            ;
        stops = watch->stops;
        pthread_mutex_unlock(&watch->lock);
    }
    return NULL;
}

// Without its thread.
static void release(struct watch *watch)
{
    pthread_cond_destroy(&watch->stopped);
    pthread_mutex_destroy(&watch->lock);
    buffer_release(&watch->text);
    free(watch);
}

enum status watch_open(struct watch **opened, const struct watch_options *options, struct error *err)
{
    struct watch *watch = memory_alloc(sizeof *watch);
    pthread_condattr_t attributes;
    *opened = NULL;
    watch->options = *options;
    watch->found.at_ms = -1;
    worker_metrics_init(&watch->metrics);
    scale_init(&watch->scale, &options->scale);
    enum status status = read_targets(options->targets, watch->targets, &watch->target_count, err);
    if (status != STATUS_OK) {
        free(watch);
        return status;
    }
    buffer_init(&watch->text, TEXT_MOST);
    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->stopped, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&watch->thread, NULL, run, watch) != 0) {
        release(watch);
        return error_set(err, STATUS_FATAL, "no thread for the workers' metrics");
    }
    *opened = watch;
    return STATUS_OK;
}

void watch_look(struct watch *watch, struct watched *watched)
{
    pthread_mutex_lock(&watch->lock);
    *watched = watch->found;
    pthread_mutex_unlock(&watch->lock);
}

void watch_close(struct watch *watch)
{
    if (!watch)
        return;
    pthread_mutex_lock(&watch->lock);
    watch->stops = true;
    pthread_cond_signal(&watch->stopped);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    release(watch);
}
