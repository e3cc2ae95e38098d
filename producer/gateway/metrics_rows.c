// metrics_rows.c: the table of what the gateway measures.
#include "producer/gateway/metrics_rows.h"

static const char *const routes[ROUTE_LABELS] = {"analyze", "read",     "map",  "reviews",
                                                 "models",  "feedback", "other"};
static const char *const responses[RESPONSE_CLASSES] = {
    [RESPONSE_LEFT] = "left", [RESPONSE_200] = "200", [RESPONSE_202] = "202", [RESPONSE_4XX] = "4xx",
    [RESPONSE_429] = "429",   [RESPONSE_5XX] = "5xx", [RESPONSE_503] = "503", [RESPONSE_504] = "504"};
static const char *const refusals[REFUSAL_REASONS] = {
    [REFUSED_LATE] = "late", [REFUSED_BYTES] = "bytes", [REFUSED_UPLOADS] = "uploads",
    [REFUSED_MAPS] = "maps", [REFUSED_RATE] = "rate",   [REFUSED_NOT_READY] = "not_ready"};
static const char *const answers[FLEET_ANSWERS] = {
    [FLEET_PREDICTION] = "prediction", [FLEET_ERROR] = "error", [FLEET_SILENCE] = "none"};
static const char *const services[GATEWAY_SERVICES] = {[SERVICE_STORE] = "store",
                                                       [SERVICE_KAFKA] = "kafka",
                                                       [SERVICE_OBJECTS] = "objects",
                                                       [SERVICE_AUDIT] = "audit"};
// 6.5 s is the wait for an answer, 8 s what a physician is promised.
static const double durations[] = {0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.5, 1, 2, 4, 6.5, 8, 15, 30, 0};

#define LABEL(key, texts) .label = key, .values = texts, .count = sizeof(texts) / sizeof *(texts)
#define NO_LABEL          .count = 1

static const struct metric_row rows[GATEWAY_METRIC_COUNT] = {
    [GATEWAY_REQUESTS] = {"skinsight_gateway_requests_total", METRIC_COUNTER, "requests",
                          "HTTP requests that have ended, by route.", LABEL("route", routes)},
    [GATEWAY_RESPONSES] = {"skinsight_gateway_responses_total", METRIC_COUNTER, "requests",
                           "The same, by status; left: the client went before its answer.",
                           LABEL("status", responses)},
    [GATEWAY_SECONDS] = {"skinsight_gateway_request_seconds", METRIC_HISTOGRAM, "s",
                         "From a request's first line to the last byte of its answer, by route.",
                         LABEL("route", routes), .buckets = durations},
    [GATEWAY_REFUSED] =
        {"skinsight_gateway_refused_total", METRIC_COUNTER, "requests",
         "Refused at the door: it would not be answered in time, too many bytes are inside, too many large "
         "images or maps wait for the object store, the key's rate, or the gateway is not ready.",
         LABEL("reason", refusals)},
    [GATEWAY_FLEET_ANSWERS] = {"skinsight_gateway_fleet_answers_total", METRIC_COUNTER, "requests",
                               "Attempts that ended; none: no terminal record came.",
                               LABEL("outcome", answers)},
    [GATEWAY_TROUBLE] = {"skinsight_gateway_trouble_total", METRIC_COUNTER, "failures",
                         "Calls to a service that failed.", LABEL("service", services)},
    [GATEWAY_ADOPTED] = {"skinsight_gateway_adopted_total", METRIC_COUNTER, "requests",
                         "Requests of dead gateways taken over.", NO_LABEL},
    [GATEWAY_NOT_KEPT] = {"skinsight_gateway_images_not_kept_total", METRIC_COUNTER, "images",
                          "Images that keep_images did not bring into the object store.", NO_LABEL},
    [GATEWAY_VISITS] = {"skinsight_gateway_waiting_requests", METRIC_GAUGE, "requests",
                        "HTTP requests whose answer is to come.", NO_LABEL},
    [GATEWAY_IN_FLIGHT] = {"skinsight_gateway_in_flight", METRIC_GAUGE, "requests",
                           "Analyses that wait for the fleet; inflight_limit bounds them.", NO_LABEL},
    [GATEWAY_DRAIN_SECONDS] = {"skinsight_gateway_drain_seconds", METRIC_GAUGE, "s",
                               "How long those will wait, from the rate of answers.", NO_LABEL},
    [GATEWAY_BYTES] = {"skinsight_gateway_bytes_inside", METRIC_GAUGE, "bytes",
                       "Bodies and job records; bodies_limit_bytes bounds them.", NO_LABEL},
    [GATEWAY_ERRANDS] = {"skinsight_gateway_errands_waiting", METRIC_GAUGE, "errands",
                         "Calls of the object store that wait for a thread.", NO_LABEL},
    [GATEWAY_OVERDUE] = {"skinsight_gateway_reviews_overdue", METRIC_GAUGE, "requests",
                         "Reviews by a dermatologist that are overdue, of all sites.", NO_LABEL},
    [GATEWAY_READY] = {"skinsight_gateway_ready", METRIC_GAUGE, "", "1 where /readyz says 200.", NO_LABEL},
};

const struct metric_table gateway_metrics = {rows, GATEWAY_METRIC_COUNT, "producer/gateway/metrics_rows.c",
                                             "admin_address"};

enum response_class response_class_of(unsigned code)
{
    switch (code) {
    case 0:
        return RESPONSE_LEFT;
    case 202:
        return RESPONSE_202;
    case 429:
        return RESPONSE_429;
    case 503:
        return RESPONSE_503;
    case 504:
        return RESPONSE_504;
    default:
        return code < 400 ? RESPONSE_200 : code < 500 ? RESPONSE_4XX : RESPONSE_5XX;
    }
}
