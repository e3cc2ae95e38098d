// run.c: opens the monitor's parts, waits for a stop, closes them.
#include "monitor/service/run.h"

#include <signal.h>
#include <string.h>

#include "common/audit/settings.h"
#include "common/base/log.h"
#include "common/base/shutdown.h"
#include "common/base/signature.h"
#include "common/services/sql.h"

enum { POLL_MS = 200, REQUEST_MS = 30000, SCRAPE_MS = 5000 };

static bool is_loopback(const char *address)
{
    return *address == ':' || strncmp(address, "127.", 4) == 0 || strncmp(address, "localhost:", 10) == 0 ||
           strncmp(address, "[::1]:", 6) == 0;
}

static bool has_gate(const struct config *config)
{
    return *config_text(config, "api_keys") || *config_text(config, "jwt_jwks");
}

enum status run_check(const struct config *config, struct error *err)
{
    bool tls = *config_text(config, "http_tls_cert");
    if (tls != (*config_text(config, "http_tls_key") != '\0'))
        return error_set(err, STATUS_REJECTED, "http_tls_cert and http_tls_key are needed together");
    if (!is_loopback(config_text(config, "monitor_listen")) && (!tls || !has_gate(config)))
        return error_set(
            err, STATUS_REJECTED,
            "beyond this machine the monitor listens with TLS and keys alone: set http_tls_cert, "
            "http_tls_key and api_keys or jwt_jwks");
    if (config_integer(config, "scale_min") > config_integer(config, "scale_max"))
        return error_set(err, STATUS_REJECTED, "scale_min is above scale_max");
    enum status status = watch_targets_check(config_text(config, "workers_metrics"), err);
    return status == STATUS_OK ? sql_url_check(config_text(config, "store"), err) : status;
}

static enum status open_watch(struct monitor *monitor, struct error *err)
{
    const struct config *config = monitor->config;
    const struct watch_options options = {
        .targets = config_text(config, "workers_metrics"),
        .period_ms = SCRAPE_MS,
        .scale = {.min = (int)config_integer(config, "scale_min"),
                  .max = (int)config_integer(config, "scale_max"),
                  .p99_limit_ms = 400,
                  .gpu_limit = 0.75,
                  .deadline_s = (double)config_integer(config, "job_deadline_ms") / 1e3}};
    return *options.targets ? watch_open(&monitor->watch, &options, err) : STATUS_OK;
}

static enum status open_gate(struct monitor *monitor, struct error *err)
{
    struct identity_options options;
    identity_options_read(&options, monitor->config);
    return has_gate(monitor->config) ? identity_open(&monitor->identities, &options, err) : STATUS_OK;
}

// Without a gate nobody has a name that an entry could hold, so that no list is read here; a key signs what
// the command report has written all the same.
static enum status read_audit(struct monitor *monitor, struct audit_options *options, struct error *err)
{
    const char *key = config_text(monitor->config, "audit_key");
    *options = (struct audit_options){.chain = NULL};
    if (!has_gate(monitor->config) && !*key)
        return STATUS_OK;
    audit_settings_read(options, monitor->audit_chain, monitor->config);
    if (!*key) {
        LOG_WARN("audit_not_signed", "reason=\"audit_key is not set\"");
        return STATUS_OK;
    }
    enum status status = signer_open(&monitor->signer, key, err);
    options->signer = monitor->signer;
    return status;
}

static enum status open_daily(struct monitor *monitor, struct error *err)
{
    const struct config *config = monitor->config;
    const char *references = config_text(config, "references"), *key = config_text(config, "reference_key");
    const struct daily_options options = {
        .store = config_text(config, "store"),
        .folder = {.path = config_text(config, "report_folder"),
                   .days = config_integer(config, "report_folder_days"),
                   .references = *references ? references : NULL,
                   .reference_key = *key ? key : NULL,
                   .alarm_budget_per_year = config_integer(config, "alarm_budget_per_year")},
        .wait_ms = config_integer(config, "report_folder_wait_s") * 1000};
    return *options.folder.path ? daily_open(&monitor->daily, &options, err) : STATUS_OK;
}

static enum status open_parts(struct monitor *monitor, struct error *err)
{
    const struct config *config = monitor->config;
    struct live_options live = {.store = config_text(config, "store"),
                                .references = config_text(config, "references"),
                                .reference_key = config_text(config, "reference_key"),
                                .alarm_budget_per_year = config_integer(config, "alarm_budget_per_year"),
                                .answer_ms = REQUEST_MS};
    struct collect_options collect;
    collect_options_read(config, &collect);
    const char *prices = config_text(config, "price_table");
    enum status status = *prices ? price_table_read(prices, &monitor->prices, err) : STATUS_OK;
    if (status == STATUS_OK)
        status = open_gate(monitor, err);
    if (status == STATUS_OK)
        status = read_audit(monitor, &live.audit, err);
    if (status == STATUS_OK)
        status = collector_start(&monitor->collector, &collect, err);
    if (status == STATUS_OK)
        status = live_open(&monitor->live, &live, err);
    if (status == STATUS_OK)
        status = open_daily(monitor, err);
    return status == STATUS_OK ? open_watch(monitor, err) : status;
}

static enum status open_server(struct monitor *monitor, struct http_server **server, struct error *err)
{
    const struct config *config = monitor->config;
    bool tls = *config_text(config, "http_tls_cert");
    const struct http_server_options options = {
        .address = config_text(config, "monitor_listen"),
        .routes = monitor_routes,
        .route_count = monitor_route_count,
        .context = monitor,
        .request_ms = REQUEST_MS,
        .problems = true,
        .tls_certificate = tls ? config_text(config, "http_tls_cert") : NULL,
        .tls_key = tls ? config_text(config, "http_tls_key") : NULL,
    };
    return http_server_open(server, &options, err);
}

// Until a stop is asked for. FATAL: the collector has ended, as another monitor writes to the archive.
static enum status wait(struct monitor *monitor, struct http_server *server, const sigset_t *hangup,
                        struct error *err)
{
    static const struct timespec at_once = {0, 0};
    struct collect_figures figures = {.ended = false};
    struct error tls;
    while (!figures.ended && !shutdown_wait_ms(POLL_MS)) {
        if (sigtimedwait(hangup, NULL, &at_once) == SIGHUP &&
            *config_text(monitor->config, "http_tls_cert") &&
            http_server_reload_tls(server, &tls) != STATUS_OK)
            LOG_ERROR("certificate_not_read", "reason=\"%s\"", tls.message);
        collector_figures(monitor->collector, &figures);
    }
    return figures.ended ? error_set(err, STATUS_FATAL, "%s", figures.trouble) : STATUS_OK;
}

enum status run_command(struct config *config, struct error *err)
{
    struct monitor monitor = {.config = config};
    struct http_server *server = NULL;
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &hangup, NULL); // for all threads to come
    shutdown_install();
    enum status status = open_parts(&monitor, err);
    if (status == STATUS_OK) {
        monitor_use_metrics(&monitor);
        status = open_server(&monitor, &server, err);
    }
    if (status == STATUS_OK) {
        LOG_INFO("started", "port=%u", http_server_port(server));
        status = wait(&monitor, server, &hangup, err);
    }
    shutdown_request(); // also where a part has failed: a report that is being made ends
    http_server_close(server);
    watch_close(monitor.watch);
    daily_close(monitor.daily);
    live_close(monitor.live);
    signer_close(monitor.signer);
    collector_stop(monitor.collector);
    identity_close(monitor.identities);
    return status;
}
