// routes.c: what the monitor answers over HTTP. Server's thread: looks at what the other threads have found,
// and defers what has to be made.
//
// With a gate, everything but the probes needs a key: an operator sees all sites, everybody else the own one.
// So figures of the fleet (metrics, alarms of all sites together, what was collected, what the scale advice
// is made from) are for operators. How many workers are wanted is no site's figure, and anybody's: an
// autoscaler needs no operator's key. Lists of single answers (incident) are for operators with a name, as
// the audit says who reads them: so without a gate there are none.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json_write.h"
#include "common/base/log.h"
#include "common/base/moment.h"
#include "common/picture/html.h"
#include "common/program/metrics.h"
#include "monitor/service/run.h"

enum { TEXT_MOST = 1 << 20, RETRY_S = 5, MOMENT_SIZE = 41 };

static const char *const state_names[] = {"ok", "insufficient", "warning", "critical"};

static void refuse(struct http_request *request, unsigned status, const char *code, const char *detail)
{
    http_answer_problem(request, &(struct http_problem){.status = status,
                                                        .code = code,
                                                        .detail = detail,
                                                        .retry_after_s = status == 503 ? RETRY_S : 0});
}

// Whether the request may go on; it is answered where not.
static bool admit(const struct monitor *monitor, struct http_request *request, struct identity *identity)
{
    struct error err;
    *identity = (struct identity){.role = ROLE_OPERATOR};
    if (!monitor->identities)
        return true;
    enum status status =
        identity_of(monitor->identities, http_request_header(request, "Authorization"), identity, &err);
    if (status == STATUS_OK)
        return true;
    if (status == STATUS_REJECTED)
        refuse(request, 401, "unauthorized", "this needs an API key or a token");
    else
        refuse(request, 503, "identity_unavailable", "the keys can't be read now");
    return false;
}

static void answer_text(struct http_request *request, const struct buffer *text, enum status status,
                        const char *type)
{
    if (status == STATUS_OK)
        http_answer(request, 200, type, buffer_bytes(text));
    else
        refuse(request, 500, "internal", "the answer could not be made");
}

// ---- reports ----

static bool read_moment(struct http_request *request, const char *name, int64_t *moment)
{
    char text[MOMENT_SIZE];
    struct error err;
    *moment = -1;
    enum http_field field = http_request_query(request, name, text, sizeof text);
    return field == HTTP_FIELD_ABSENT ||
           (field == HTTP_FIELD_PRESENT && moment_parse(text, moment, &err) == STATUS_OK);
}

static bool read_name(struct http_request *request, const char *name, char out[REPORT_NAME_SIZE])
{
    out[0] = '\0';
    return http_request_query(request, name, out, REPORT_NAME_SIZE) != HTTP_FIELD_BAD;
}

static bool read_kind(struct http_request *request, enum report_kind *kind)
{
    for (int i = 0; i < REPORT_KINDS; i++)
        if (strcmp(http_request_part(request), report_kind_names[i]) == 0) {
            *kind = (enum report_kind)i;
            return true;
        }
    return false;
}

static bool read_request(struct http_request *request, struct live_request *asked)
{
    return read_moment(request, "from", &asked->from) && read_moment(request, "to", &asked->to) &&
           read_name(request, "model", asked->model) && read_name(request, "with", asked->with) &&
           read_name(request, "site", asked->site);
}

static void answer_report(struct monitor *monitor, struct http_request *request, bool json)
{
    struct identity identity;
    struct live_request asked = {.json = json};
    if (!admit(monitor, request, &identity))
        return;
    if (!read_kind(request, &asked.kind)) {
        refuse(request, 404, "not_found", "there is no report of that kind");
    } else if (asked.kind == REPORT_INCIDENT && (!*identity.actor || identity.role != ROLE_OPERATOR)) {
        refuse(request, 403, "forbidden", "lists of single answers are for operators with a key or a token");
    } else if (!read_request(request, &asked)) {
        refuse(request, 400, "invalid_request", "a parameter is not well-formed");
    } else if (identity.role != ROLE_OPERATOR && *asked.site && strcmp(asked.site, identity.site) != 0) {
        refuse(request, 403, "forbidden", "the key is of another site");
    } else {
        if (identity.role != ROLE_OPERATOR)
            memcpy(asked.site, identity.site, sizeof identity.site);
        asked.reader = identity;
        struct http_later *later = http_defer(request);
        if (!live_ask(monitor->live, &asked, later))
            http_later_problem(later, &(struct http_problem){.status = 503,
                                                             .code = "overloaded",
                                                             .detail = "too many reports are asked for",
                                                             .retry_after_s = RETRY_S});
    }
}

static void page(void *context, struct http_request *request)
{
    answer_report(context, request, false);
}

static void json(void *context, struct http_request *request)
{
    answer_report(context, request, true);
}

// ---- alarms and scale ----

// Alarms of one site are named "input_drift site=north"; a device, whose alarms are named alike, may be used
// by several sites.
static bool may_see(const struct identity *identity, const struct live_alarm *alarm)
{
    static const char kind[] = " site";
    const size_t length = sizeof kind - 1;
    const char *mark = strchr(alarm->name, '=');
    return identity->role == ROLE_OPERATOR ||
           (mark && (size_t)(mark - alarm->name) >= length && memcmp(mark - length, kind, length) == 0 &&
            strcmp(mark + 1, identity->site) == 0);
}

// The board as the asker may see it.
static void look(const struct monitor *monitor, const struct identity *identity, struct live_board *board)
{
    size_t count = 0;
    live_look(monitor->live, board);
    for (size_t i = 0; i < board->count; i++)
        if (may_see(identity, &board->alarms[i]))
            board->alarms[count++] = board->alarms[i];
    board->count = count;
}

static void add_known(struct json_writer *writer, const char *name, double value)
{
    json_add_double(writer, name, value); // null where it is not finite
}

static void alarms(void *context, struct http_request *request)
{
    struct monitor *monitor = context;
    static struct live_board board; // of the server's thread
    struct identity identity;
    struct buffer text;
    struct json_writer writer;
    if (!admit(monitor, request, &identity))
        return;
    look(monitor, &identity, &board);
    if (board.made_at < 0) {
        refuse(request, 503, "not_yet", "the alarms were not worked out yet");
        return;
    }
    buffer_init(&text, TEXT_MOST);
    json_write_begin(&writer, &text, NULL);
    json_add_object(&writer, NULL);
    json_add_integer(&writer, "at", board.made_at);
    json_add_bool(&writer, "stale", *board.trouble != '\0');
    json_add_array(&writer, "alarms");
    for (size_t i = 0; i < board.count; i++) {
        const struct live_alarm *alarm = &board.alarms[i];
        json_add_object(&writer, NULL);
        json_add_text(&writer, "name", alarm->name);
        json_add_text(&writer, "state", state_names[alarm->state]);
        add_known(&writer, "value", alarm->value);
        add_known(&writer, "limit", alarm->limit);
        add_known(&writer, "arl0_days", alarm->arl0_days);
        json_add_bool(&writer, "plain", alarm->plain);
        json_end_object(&writer);
    }
    json_end_array(&writer);
    json_end_object(&writer);
    answer_text(request, &text, json_write_end(&writer), "application/json");
    buffer_release(&text);
}

static void write_scale_inputs(const struct watched *watched, struct json_writer *writer)
{
    const struct scale_input *input = &watched->input;
    json_add_text(writer, "reason", watched->advice.reason);
    add_known(writer, "arrival_per_s", watched->advice.arrival_per_s);
    add_known(writer, "capacity_per_worker_per_s", watched->advice.capacity_per_s);
    add_known(writer, "backlog", input->backlog);
    add_known(writer, "time_to_drain_s", watched->advice.time_to_drain_s);
    add_known(writer, "p99_ms", input->p99_ms);
    add_known(writer, "gpu_utilisation", input->gpu_utilisation);
    add_known(writer, "ready_workers", input->workers < 0 ? NAN : input->workers);
    json_add_integer(writer, "gone_workers", input->gone);
}

static void write_scale(const struct monitor *monitor, const struct watched *watched, bool inputs,
                        struct json_writer *writer)
{
    json_add_object(writer, NULL);
    json_add_integer(writer, "desired_workers", watched->advice.desired);
    json_add_bool(writer, "held", watched->advice.held);
    if (inputs)
        write_scale_inputs(watched, writer);
    json_add_integer(writer, "min", config_integer(monitor->config, "scale_min"));
    json_add_integer(writer, "max", config_integer(monitor->config, "scale_max"));
    json_end_object(writer);
}

// Without a number there is no answer: the autoscaler then leaves the fleet as it is.
static void scale(void *context, struct http_request *request)
{
    struct monitor *monitor = context;
    struct watched watched = {.at_ms = -1};
    struct identity identity;
    struct buffer text;
    struct json_writer writer;
    if (!admit(monitor, request, &identity))
        return;
    if (monitor->watch)
        watch_look(monitor->watch, &watched);
    bool is_operator = identity.role == ROLE_OPERATOR;
    if (watched.at_ms < 0 || watched.advice.desired == 0) {
        refuse(request, 503, "not_yet",
               !monitor->watch                     ? "workers_metrics is not set"
               : watched.at_ms < 0 || !is_operator ? "not all workers have answered yet"
                                                   : watched.advice.reason);
        return;
    }
    buffer_init(&text, TEXT_MOST);
    json_write_begin(&writer, &text, NULL);
    write_scale(monitor, &watched, is_operator, &writer);
    answer_text(request, &text, json_write_end(&writer), "application/json");
    buffer_release(&text);
}

// ---- the front page ----

static void draw_alarms(struct html *page_, const struct live_board *board)
{
    static const char *const headings[] = {"Alarm", "State", "Value", "Limit", "Kind", NULL};
    html_element(page_, "h2", "Alarms");
    if (board->made_at < 0) {
        html_element(page_, "p", "They were not worked out yet.");
        return;
    }
    html_table_begin(page_, "Of the last 28 days", headings);
    for (size_t i = 0; i < board->count; i++) {
        const struct live_alarm *alarm = &board->alarms[i];
        html_row_begin(page_);
        html_cell(page_, "%s", alarm->name);
        if (alarm->state == 1)
            html_thin(page_, "not enough evidence");
        else
            html_cell(page_, "%s", state_names[alarm->state]);
        html_number(page_, isfinite(alarm->value) ? "%.4g" : "-", alarm->value);
        html_number(page_, isfinite(alarm->limit) ? "%.4g" : "-", alarm->limit);
        html_cell(page_, "%s", alarm->plain ? "plain rule" : "calibrated");
        html_row_end(page_);
    }
    html_table_end(page_);
}

static void draw_state(struct html *page_, const struct monitor *monitor)
{
    struct collect_figures figures;
    struct watched watched;
    collector_figures(monitor->collector, &figures);
    html_element(page_, "h2", "Now");
    html_element(page_, "p", "Since the start %" PRId64 " answers and %" PRId64 " diagnoses were read.",
                 figures.predictions, figures.feedback);
    if (!figures.reads)
        html_warning(page_, "The topics are not followed now.");
    if (!monitor->watch)
        return;
    watch_look(monitor->watch, &watched);
    html_element(page_, "p", "%d of %d workers answer. Wanted: %d. %s.", watched.input.answered,
                 watched.input.asked, watched.advice.desired, watched.advice.reason);
}

static void front(void *context, struct http_request *request)
{
    struct monitor *monitor = context;
    static struct live_board board; // of the server's thread
    static const struct http_header headers[] = {
        {"Content-Security-Policy",
         "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
         "frame-ancestors 'none'"},
        {"Refresh", "60"}};
    struct identity identity;
    struct buffer text;
    struct error err;
    struct html page_;
    if (!admit(monitor, request, &identity))
        return;
    look(monitor, &identity, &board);
    buffer_init(&text, TEXT_MOST);
    html_begin(&page_, &text, "SkinSight monitor", &err);
    html_open(&page_, "ul", "");
    for (int i = 0; i < REPORT_INCIDENT; i++)
        if (i != REPORT_COMPARISON)
            html_markup(&page_, "<li><a href=\"/reports/%s\">%s</a></li>\n", report_kind_names[i],
                        report_kind_names[i]);
    html_close(&page_, "ul");
    if (identity.role == ROLE_OPERATOR)
        draw_state(&page_, monitor);
    draw_alarms(&page_, &board);
    if (html_end(&page_) == STATUS_OK)
        http_answer_with(request, &(struct http_reply){200, "text/html; charset=utf-8", buffer_bytes(&text),
                                                       headers, sizeof headers / sizeof *headers});
    else
        refuse(request, 500, "internal", "the page could not be made");
    buffer_release(&text);
}

// ---- operators ----

static void metrics(void *context, struct http_request *request)
{
    struct identity identity;
    struct buffer text;
    struct error err;
    if (!admit(context, request, &identity))
        return;
    if (identity.role != ROLE_OPERATOR) {
        refuse(request, 403, "forbidden", "metrics are of all sites, and for operators");
        return;
    }
    buffer_init(&text, TEXT_MOST);
    monitor_measure(context);
    answer_text(request, &text, metrics_write_prometheus(&text, &err),
                "text/plain; version=0.0.4; charset=utf-8");
    buffer_release(&text);
}

static void healthz(void *context, struct http_request *request)
{
    (void)context;
    http_answer_line(request, 200, "running");
}

static void readyz(void *context, struct http_request *request)
{
    const struct monitor *monitor = context;
    struct collect_figures figures;
    collector_figures(monitor->collector, &figures);
    http_answer_line(request, figures.reads ? 200 : 503,
                     figures.reads ? "running" : "the topics are not followed into the archive");
}

const struct http_route monitor_routes[] = {
    {.method = "GET", .path = "/", .handle = front},
    {.method = "GET", .path = "/reports/<kind>", .handle = page},
    {.method = "GET", .path = "/v1/reports/<kind>", .handle = json},
    {.method = "GET", .path = "/v1/alarms", .handle = alarms},
    {.method = "GET", .path = "/v1/scale", .handle = scale},
    {.method = "GET", .path = "/metrics", .handle = metrics},
    {.method = "GET", .path = "/healthz", .handle = healthz},
    {.method = "GET", .path = "/readyz", .handle = readyz},
};
const size_t monitor_route_count = sizeof monitor_routes / sizeof *monitor_routes;
