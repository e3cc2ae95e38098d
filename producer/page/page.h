// page.h: the physician's page and the description of the API (OpenAPI 3.1), as routes of the gateway's
// listener:
// "/", "/page.css", "/page.js", "/openapi.json". The files beside this one and docs/openapi.json are put into
// the program when it is built. Everybody may read them; the page asks for a key.
#ifndef SKINSIGHT_PRODUCER_PAGE_PAGE_H
#define SKINSIGHT_PRODUCER_PAGE_PAGE_H

#include "common/services/http_server.h"

enum { PAGE_ROUTES = 4 };
extern const struct http_route page_routes[PAGE_ROUTES]; // any context

#endif
