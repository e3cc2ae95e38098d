// routes.h: what the public listener answers to; the context of its handlers is the gateway. They run on the
// HTTP thread, wait for nobody, and answer at once or give a visit to the desk.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_ROUTES_H
#define SKINSIGHT_PRODUCER_GATEWAY_ROUTES_H

#include "common/services/http_server.h"
#include "producer/page/page.h"

struct gateway;
struct visit;

enum route {
    ROUTE_ANALYZE,
    ROUTE_READ,
    ROUTE_MAP,
    ROUTE_REVIEWS,
    ROUTE_MODELS,
    ROUTE_FEEDBACK,
    ROUTE_PAGE,
    ROUTE_COUNT = ROUTE_PAGE + PAGE_ROUTES
};

// A visit whose job is written: to the audit, and then to the desk. Any thread.
void routes_enter(struct visit *visit);

void routes_make(const struct gateway *gateway, struct http_route routes[ROUTE_COUNT]);

#endif
