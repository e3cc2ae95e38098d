// board.h: the alarms and latencies of the newest reports, as /v1/alarms, the front page and the metrics show
// them. Pure; the thread of live.h fills it and gives out copies.
#ifndef SKINSIGHT_MONITOR_SERVICE_BOARD_H
#define SKINSIGHT_MONITOR_SERVICE_BOARD_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monitor/report/report.h"
#include "monitor/service/operation.h"

enum {
    LIVE_ALARMS_MOST = 256,
    LIVE_NAME_SIZE = 160,
};

// The board, as it was last made.
struct live_alarm {
    char name[LIVE_NAME_SIZE];
    enum report_kind kind; // of the report that says it
    int state;             // 0 ok, 1 insufficient, 2 warning, 3 critical
    double value, limit, arl0_days;
    bool plain;
};
struct live_board {
    int64_t made_at; // Unix ms, of the report in it that was made longest ago; -1: there is none yet
    bool whole;      // no report is missing
    size_t count;
    struct live_alarm alarms[LIVE_ALARMS_MOST];
    double latency_s[STEP_COUNT][3]; // P50, P95, P99; NaN: not enough evidence

    char trouble[256]; // why one of the reports could not be made now; "": nothing is wrong
};

// The alarms of a report take the place of those that a report of its kind gave before; of a report on
// performance the latencies too.
void board_take(const cJSON *document, enum report_kind kind, struct live_board *board);

#endif
