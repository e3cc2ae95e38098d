// live.h: reports of the present, for pages that are asked for now. One thread with a connection of its own
// makes them, one after the other, and keeps the newest of them for a minute; requests wait in a bounded
// queue, deferred, so that the server's thread never does. Once a minute it also makes the board: the alarms
// of all reports of the last 28 days, the latencies and the reports' other numbers, for /v1/alarms and the
// metrics; four times an hour it compares the registered models, with who waits between them. Of a report
// that can't be made now the board keeps what it last said.
//
// A list of single answers (incident) leaves once the audit has an entry of who reads it; where that can't be
// written, there is no list.
#ifndef SKINSIGHT_MONITOR_SERVICE_LIVE_H
#define SKINSIGHT_MONITOR_SERVICE_LIVE_H

#include "common/audit/audit.h"
#include "common/identity/identity.h"
#include "common/program/metrics.h"
#include "common/services/http_server.h"
#include "monitor/report/request.h"
#include "monitor/service/board.h"

enum {
    LIVE_DAYS = 28,
    LIVE_DAYS_MOST = 366, // of a report that somebody waits for
};

struct live;

struct live_options {
    const char *store, *references, *reference_key; // outlive it; the last two may be ""
    int64_t alarm_budget_per_year;
    int64_t answer_ms;          // the server's: nobody waits longer for a report, so that it is then not made
    struct audit_options audit; // what it points to outlives it; chain NULL: there are no incident lists
};

// What is asked for. from and to -1: the last 28 days, today included.
struct live_request {
    enum report_kind kind;
    bool json;
    int64_t from, to;
    char model[REPORT_NAME_SIZE], with[REPORT_NAME_SIZE], site[REPORT_NAME_SIZE]; // "": all
    struct identity reader; // of an incident list: an operator with a name
};

// FATAL: there is no thread to be had. An archive that is away is waited for.
enum status live_open(struct live **live, const struct live_options *options, struct error *err) MUST_CHECK;
// Takes the request; its answer comes later. Server's thread. false: too many wait; nothing was taken.
bool live_ask(struct live *live, const struct live_request *request, struct http_later *later);
void live_look(struct live *live, struct live_board *board); // any thread
// The samples of one metric that the board's reports give (findings.h). Any thread.
void live_sample(struct live *live, unsigned metric, struct metrics_writer *writer);
void live_close(struct live *live); // NULL is allowed

#endif
