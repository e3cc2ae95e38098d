// run.h: the command `run`: the monitor as a service.
//
//     topics -> collector (its thread) -> archive
//     workers' metrics -> watch (its thread) -> advice
//     archive -> live (its thread) -> pages, JSON, alarms
//     archive -> daily (its thread) -> the report folder
//     HTTP server (its thread) -> routes: answers from what those have found, and defers what must be made
//
// Each part goes on where another one's service is away. Main thread waits for a stop and closes them.
#ifndef SKINSIGHT_MONITOR_SERVICE_RUN_H
#define SKINSIGHT_MONITOR_SERVICE_RUN_H

#include "common/identity/gate.h"
#include "common/program/config.h"
#include "monitor/archive/collect.h"
#include "monitor/service/cost.h"
#include "monitor/service/daily.h"
#include "monitor/service/live.h"
#include "monitor/service/watch.h"

// What the routes answer from. All of it outlives the server.
struct monitor {
    const struct config *config;
    struct identity_gate *identities; // NULL: everybody on this machine, and nobody else can ask
    struct collector *collector;
    struct watch *watch; // NULL: workers_metrics is empty
    struct live *live;
    struct daily *daily; // NULL: report_folder is empty
    char audit_chain[AUDIT_NAME_SIZE];
    struct signer *signer;     // of the audit's heads; NULL: they are not signed
    struct price_table prices; // currency "": there is no table
};

enum status run_check(const struct config *config, struct error *err) MUST_CHECK;
enum status run_command(struct config *config, struct error *err) MUST_CHECK;

// routes.c. Context of the routes: the monitor.
extern const struct http_route monitor_routes[];
extern const size_t monitor_route_count;
// measure.c: the samples of metrics, used before the server is opened; the gauges, before each scrape.
void monitor_use_metrics(struct monitor *monitor);
void monitor_measure(struct monitor *monitor);

#endif
