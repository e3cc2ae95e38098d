// serve.c: opens the gateway's parts, waits for a stop, closes them.
#include "producer/gateway/serve.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/audit/settings.h"
#include "common/audit/signing.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/shutdown.h"
#include "common/identity/gate.h"
#include "common/program/service.h"
#include "producer/gateway/body.h"
#include "producer/gateway/desk.h"
#include "producer/gateway/errands.h"
#include "producer/gateway/gateway.h"
#include "producer/gateway/metrics_rows.h"
#include "producer/gateway/routes.h"
#include "producer/identity/rate_limits.h"

enum {
    POLL_MS = 200, // a signal to read the certificate again is looked at so often
    STORE_AGAIN_MS = 1000,
    REQUEST_MS = 30000, // for sending a request and for taking its answer
    CONNECTIONS = 4096,
    CONNECTIONS_PER_ADDRESS = 1024, // a clinic is one address
    SUBJECT_KEY_LEAST = 16,
    SUBJECT_KEY_MOST = 1024,
    ESTIMATE_PERCENT = 75, // of the time that an answer may take, for the estimate of its wait: both vary
    HOUR_MS = 3600 * 1000,
    DAY_MS = 24 * HOUR_MS,
};

enum status serve_check(const struct config *config, struct error *err)
{
    if (!*config_text(config, "http_tls_cert") != !*config_text(config, "http_tls_key"))
        return error_set(err, STATUS_REJECTED, "http_tls_cert and http_tls_key are needed together");
    const int64_t one = body_bytes_most(config_integer(config, "max_image_bytes"));
    if (shares_alone(config_integer(config, "bodies_limit_bytes")) < one)
        return error_set(err, STATUS_REJECTED,
                         "an image of max_image_bytes takes %" PRId64
                         " bytes, and one key gets three quarters of bodies_limit_bytes at most",
                         one);
    return sql_url_check(config_text(config, "store"), err);
}

static struct gateway_options read_options(const struct config *config)
{
    return (struct gateway_options){
        .config = config,
        .answer_timeout_ms = config_integer(config, "answer_timeout_ms"),
        .job_deadline_ms = config_integer(config, "job_deadline_ms"),
        .inline_limit_bytes = config_integer(config, "inline_limit_bytes"),
        .max_image_bytes = config_integer(config, "max_image_bytes"),
        .link_lifetime_ms = config_integer(config, "link_lifetime_s") * 1000,
        .retention_ms = config_integer(config, "requests_retention_days") * DAY_MS,
        .keep_images = config_switch(config, "keep_images"),
    };
}

static enum status read_subject_key(struct gateway *gateway, struct error *err)
{
    const char *path = config_text(gateway->options.config, "subject_key");
    buffer_init(&gateway->subject_key, SUBJECT_KEY_MOST);
    return *path ? file_read_secret(path, SUBJECT_KEY_LEAST, &gateway->subject_key, err) : STATUS_OK;
}

// The database may start after the gateway.
static enum status open_store(struct gateway *gateway, enum status (*open)(struct gateway *, struct error *),
                              struct error *err)
{
    for (;;) {
        enum status status = open(gateway, err);
        if (status != STATUS_RETRY)
            return status;
        LOG_WARN("store_away", "reason=\"%s\"", err->message);
        if (shutdown_wait_ms(STORE_AGAIN_MS))
            return status;
    }
}

static enum status open_desk(struct gateway *gateway, struct error *err)
{
    return desk_open(&gateway->desk, gateway, err);
}

static enum status open_audit(struct gateway *gateway, struct error *err)
{
    char chain[AUDIT_NAME_SIZE];
    struct audit_options options;
    audit_settings_read(&options, chain, gateway->options.config);
    options.signer = gateway->signer;
    options.objects = gateway->objects;
    return audit_open(&gateway->audit, &options, err);
}

static enum status open_signer(struct gateway *gateway, struct error *err)
{
    const char *path = config_text(gateway->options.config, "audit_key");
    if (*path)
        return signer_open(&gateway->signer, path, err);
    LOG_WARN("audit_not_signed", "reason=\"audit_key is not set\"");
    return STATUS_OK;
}

static enum status open_parts(struct gateway *gateway, struct error *err)
{
    const struct config *config = gateway->options.config;
    struct identity_options identities;
    struct object_store_options objects;
    const struct rate_options rates = {.per_s = config_integer(config, "rate_per_s"),
                                       .burst = config_integer(config, "rate_burst"),
                                       .daily_quota = config_integer(config, "daily_quota")};
    identity_options_read(&identities, config);
    config_objects(config, &objects);
    job_request_id_new(gateway->owner);
    gateway->rates = rate_limits_new(&rates);
    shares_init(&gateway->bytes, config_integer(config, "bodies_limit_bytes"));
    admission_init(&gateway->admission, config_integer(config, "inflight_limit"),
                   gateway->options.answer_timeout_ms * ESTIMATE_PERCENT / 100);
    enum status status = read_subject_key(gateway, err);
    if (status == STATUS_OK)
        status = link_signer_init(&gateway->links, config_text(config, "public_url"),
                                  config_text(config, "link_key"), err);
    if (status == STATUS_OK)
        status = identity_open(&gateway->identities, &identities, err);
    if (status == STATUS_OK)
        status = object_store_open(&gateway->objects, &objects, err);
    if (status == STATUS_OK)
        status = errands_open(&gateway->errands, gateway, routes_enter, err);
    if (status == STATUS_OK)
        status = open_signer(gateway, err);
    if (status == STATUS_OK)
        status = open_store(gateway, open_audit, err);
    return status == STATUS_OK ? open_store(gateway, open_desk, err) : status;
}

_Static_assert((int)ROUTE_FEEDBACK + 1 == (int)ROUTE_LABEL_OTHER,
               "the routes that have a label of their own");

static void note_finished(void *context, const struct http_outcome *outcome)
{
    const struct gateway *gateway = context;
    unsigned label = ROUTE_LABEL_OTHER;
    if (outcome->route && outcome->route - gateway->routes < ROUTE_LABEL_OTHER)
        label = (unsigned)(outcome->route - gateway->routes);
    metrics_add(GATEWAY_REQUESTS, label, 1);
    metrics_add(GATEWAY_RESPONSES, response_class_of(outcome->code), 1);
    metrics_observe(GATEWAY_SECONDS, label, (double)outcome->took_us / 1e6);
}

static enum status open_server(struct gateway *gateway, struct error *err)
{
    const struct config *config = gateway->options.config;
    bool tls = *config_text(config, "http_tls_cert");
    const struct http_server_options options = {
        .address = config_text(config, "http_listen"),
        .routes = gateway->routes,
        .route_count = ROUTE_COUNT,
        .context = gateway,
        .request_ms = REQUEST_MS,
        .answer_ms = gateway->options.answer_timeout_ms + REQUEST_MS,
        .connections = CONNECTIONS,
        .connections_per_address = CONNECTIONS_PER_ADDRESS,
        .problems = true,
        .finished = note_finished,
        .tls_certificate = tls ? config_text(config, "http_tls_cert") : NULL,
        .tls_key = tls ? config_text(config, "http_tls_key") : NULL,
    };
    return http_server_open(&gateway->server, &options, err);
}

static int count_unfinished(void *context)
{
    struct gateway *gateway = context;
    return atomic_load(&gateway->visits) + errands_waiting(gateway->errands);
}

static bool say_ready(void *context, char *reason, size_t size)
{
    struct gateway *gateway = context;
    bool connected = atomic_load(&gateway->connected), stopping = atomic_load(&gateway->stopping);
    snprintf(reason, size, "%s", stopping ? "stopping" : connected ? "running" : "no Kafka broker answers");
    return connected && !stopping;
}

static void measure(void *context)
{
    struct gateway *gateway = context;
    char reason[64];
    metrics_set(GATEWAY_VISITS, 0, atomic_load(&gateway->visits));
    metrics_set(GATEWAY_IN_FLIGHT, 0, (double)atomic_load(&gateway->admission.waiting));
    metrics_set(GATEWAY_DRAIN_SECONDS, 0, (double)admission_drain_ms(&gateway->admission) / 1e3);
    metrics_set(GATEWAY_BYTES, 0, (double)shares_held(&gateway->bytes));
    metrics_set(GATEWAY_ERRANDS, 0, errands_waiting(gateway->errands));
    metrics_set(GATEWAY_READY, 0, say_ready(gateway, reason, sizeof reason));
}

static void close_parts(struct gateway *gateway)
{
    http_server_close(gateway->server);
    errands_close(gateway->errands);
    desk_close(gateway->desk);
    audit_close(gateway->audit);
    signer_close(gateway->signer);
    object_store_close(gateway->objects);
    identity_close(gateway->identities);
    rate_limits_free(gateway->rates);
    if (gateway->subject_key.data)
        explicit_bzero(gateway->subject_key.data, gateway->subject_key.capacity);
    buffer_release(&gateway->subject_key);
}

static void read_certificate_again(struct gateway *gateway)
{
    struct error err;
    if (http_server_reload_tls(gateway->server, &err) == STATUS_OK)
        LOG_INFO("certificate_read", "file=%s", config_text(gateway->options.config, "http_tls_cert"));
    else
        LOG_ERROR("certificate_not_read", "reason=\"%s\"", err.message);
}

static void wait_finished(struct gateway *gateway)
{
    while (count_unfinished(gateway) > 0)
        clock_sleep_ms(POLL_MS / 10);
}

static void serve(struct gateway *gateway, struct service *service, const sigset_t *hangup)
{
    static const struct timespec at_once = {0, 0};
    LOG_INFO("started", "port=%u owner=%s", http_server_port(gateway->server), gateway->owner);
    while (!shutdown_wait_ms(POLL_MS))
        if (sigtimedwait(hangup, NULL, &at_once) == SIGHUP)
            read_certificate_again(gateway);
    atomic_store(&gateway->stopping, true);
    service_begin_drain(service);
    desk_hurry(gateway->desk);
    wait_finished(gateway);
    // Reads were let in until now; the visits of the last ones need the parts that are closed next.
    http_server_close(gateway->server);
    gateway->server = NULL;
    wait_finished(gateway);
}

enum status serve_run(struct config *config, struct error *err)
{
    struct gateway gateway = {.options = read_options(config)};
    struct http_route routes[ROUTE_COUNT];
    struct service *service = NULL;
    const struct service_options probes = {.address = config_text(config, "admin_address"),
                                           .drain_timeout_ms = config_integer(config, "drain_timeout_ms"),
                                           .ready = say_ready,
                                           .measure = measure,
                                           .unfinished = count_unfinished,
                                           .context = &gateway};
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &hangup, NULL); // for all threads to come
    shutdown_install();
    routes_make(&gateway, routes);
    gateway.routes = routes;
    enum status status = open_parts(&gateway, err);
    if (status == STATUS_OK)
        status = open_server(&gateway, err);
    if (status == STATUS_OK)
        status = service_open(&service, &probes, err);
    if (status == STATUS_OK)
        serve(&gateway, service, &hangup);
    service_close(service);
    close_parts(&gateway);
    return shutdown_requested() && status == STATUS_RETRY ? STATUS_OK : status;
}
