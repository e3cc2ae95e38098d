// service.c: the routes for operators, and the thread that ends a drain that takes too long.
#include "common/program/service.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/program/metrics.h"
#include "common/services/http_server.h"

enum { REQUEST_MS = 10000, REASON_SIZE = 512, METRICS_LIMIT = 1024 * 1024 };

struct service {
    struct service_options options;
    struct http_server *server; // NULL: none
    pthread_t drain;
    bool drains;
    sem_t closed; // posted once: the drain has ended in time
};

static void answer_metrics(void *context, struct http_request *request)
{
    struct service *service = context;
    struct buffer text;
    struct error err;
    buffer_init(&text, METRICS_LIMIT);
    service->options.measure(service->options.context);
    if (metrics_write_prometheus(&text, &err) == STATUS_OK)
        http_answer(request, 200, "text/plain; version=0.0.4; charset=utf-8", buffer_bytes(&text));
    else
        http_answer_line(request, 500, err.message);
    buffer_release(&text);
}

static void answer_healthz(void *context, struct http_request *request)
{
    (void)context;
    http_answer_line(request, 200, "running");
}

static void answer_readyz(void *context, struct http_request *request)
{
    struct service *service = context;
    char reason[REASON_SIZE] = "";
    bool ready = service->options.ready(service->options.context, reason, sizeof reason);
    http_answer_line(request, ready ? 200 : 503, reason);
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/metrics", .handle = answer_metrics},
    {.method = "GET", .path = "/healthz", .handle = answer_healthz},
    {.method = "GET", .path = "/readyz", .handle = answer_readyz},
};

enum status service_open(struct service **service, const struct service_options *options, struct error *err)
{
    struct service *made = memory_alloc(sizeof *made);
    const struct http_server_options server = {.address = options->address,
                                               .routes = routes,
                                               .route_count = sizeof routes / sizeof *routes,
                                               .context = made,
                                               .request_ms = REQUEST_MS};
    enum status status = STATUS_OK;
    *service = NULL;
    made->options = *options;
    sem_init(&made->closed, 0, 0);
    if (*options->address)
        status = http_server_open(&made->server, &server, err);
    if (status != STATUS_OK) {
        free(made);
        return status;
    }
    if (made->server)
        LOG_INFO("listening", "port=%u", service_port(made));
    *service = made;
    return STATUS_OK;
}

uint16_t service_port(const struct service *service)
{
    return service->server ? http_server_port(service->server) : 0;
}

static void give_up(const struct service *service)
{
    LOG_ERROR("drain_given_up", "after_ms=%" PRId64 " unfinished=%d", service->options.drain_timeout_ms,
              service->options.unfinished(service->options.context));
    _exit(1);
}

static void *watch_drain(void *context)
{
    struct service *service = context;
    const struct timespec until = clock_monotonic_after_ms(service->options.drain_timeout_ms);
    while (sem_clockwait(&service->closed, CLOCK_MONOTONIC, &until) != 0)
        if (errno == ETIMEDOUT)
            give_up(service);
    return NULL;
}

void service_begin_drain(struct service *service)
{
    LOG_INFO("stopping", "unfinished=%d", service->options.unfinished(service->options.context));
    service->drains = pthread_create(&service->drain, NULL, watch_drain, service) == 0;
}

void service_close(struct service *service)
{
    if (!service)
        return;
    if (service->drains) {
        sem_post(&service->closed);
        pthread_join(service->drain, NULL);
    }
    sem_destroy(&service->closed);
    http_server_close(service->server);
    free(service);
}
