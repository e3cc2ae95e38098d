// metrics_rows.h: what the gateway measures; docs/GATEWAY_METRICS.md is made from it.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_METRICS_ROWS_H
#define SKINSIGHT_PRODUCER_GATEWAY_METRICS_ROWS_H

#include "common/program/metrics.h"

enum gateway_metric {
    GATEWAY_REQUESTS,
    GATEWAY_RESPONSES,
    GATEWAY_SECONDS,
    GATEWAY_REFUSED,
    GATEWAY_FLEET_ANSWERS,
    GATEWAY_TROUBLE,
    GATEWAY_ADOPTED,
    GATEWAY_NOT_KEPT,
    GATEWAY_VISITS,
    GATEWAY_IN_FLIGHT,
    GATEWAY_DRAIN_SECONDS,
    GATEWAY_BYTES,
    GATEWAY_ERRANDS,
    GATEWAY_OVERDUE,
    GATEWAY_READY,
    GATEWAY_METRIC_COUNT
};

// Labels. A route's is its place in routes.h; OTHER is every other path.
enum { ROUTE_LABEL_OTHER = 6, ROUTE_LABELS };
enum response_class {
    RESPONSE_LEFT,
    RESPONSE_200,
    RESPONSE_202,
    RESPONSE_4XX,
    RESPONSE_429,
    RESPONSE_5XX,
    RESPONSE_503,
    RESPONSE_504,
    RESPONSE_CLASSES
};
enum refusal_reason {
    REFUSED_LATE,
    REFUSED_BYTES,
    REFUSED_UPLOADS,
    REFUSED_MAPS,
    REFUSED_RATE,
    REFUSED_NOT_READY,
    REFUSAL_REASONS
};
enum fleet_answer { FLEET_PREDICTION, FLEET_ERROR, FLEET_SILENCE, FLEET_ANSWERS };
enum gateway_service { SERVICE_STORE, SERVICE_KAFKA, SERVICE_OBJECTS, SERVICE_AUDIT, GATEWAY_SERVICES };

extern const struct metric_table gateway_metrics;

enum response_class response_class_of(unsigned code); // 0: the client has left

#endif
