// board.c: alarms and latencies out of a report's document.
#include "monitor/service/board.h"

#include <math.h>
#include <string.h>

#include "common/base/text.h"

static double number_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static int state_of(const cJSON *alarm)
{
    static const char *const names[] = {"ok", "insufficient", "warning", "critical"};
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(alarm, "state");
    for (int i = 0; cJSON_IsString(state) && i < 4; i++)
        if (strcmp(state->valuestring, names[i]) == 0)
            return i;
    return 1;
}

// Of two alarms whose names are cut to the same, the first.
static bool is_known(const struct live_board *board, const struct live_alarm *alarm)
{
    for (size_t i = 0; i < board->count; i++)
        if (board->alarms[i].plain == alarm->plain && strcmp(board->alarms[i].name, alarm->name) == 0)
            return true;
    return false;
}

static void add_alarms(const cJSON *document, enum report_kind kind, struct live_board *board)
{
    const cJSON *alarm;
    cJSON_ArrayForEach(alarm, cJSON_GetObjectItemCaseSensitive(document, "alarms"))
    {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(alarm, "name");
        if (!cJSON_IsString(name) || board->count == LIVE_ALARMS_MOST)
            continue;
        struct live_alarm *taken = &board->alarms[board->count];
        *taken = (struct live_alarm){.kind = kind,
                                     .state = state_of(alarm),
                                     .value = number_of(alarm, "value"),
                                     .limit = number_of(alarm, "limit"),
                                     .arl0_days = number_of(alarm, "arl0_days"),
                                     .plain = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(alarm, "plain"))};
        text_cut(name->valuestring, taken->name, sizeof taken->name);
        board->count += !is_known(board, taken);
    }
}

static void add_latency(const cJSON *document, struct live_board *board)
{
    static const char *const keys[] = {"p50_ms", "p95_ms", "p99_ms"};
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(document, "latency");
    for (int step = 0; step < STEP_COUNT; step++)
        for (int i = 0; i < 3; i++) {
            const cJSON *row = cJSON_GetArrayItem(list, step);
            const cJSON *estimate = cJSON_GetObjectItemCaseSensitive(row, keys[i]);
            board->latency_s[step][i] = number_of(estimate, "estimate") / 1e3;
        }
}

static void drop_alarms(struct live_board *board, enum report_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < board->count; i++)
        if (board->alarms[i].kind != kind)
            board->alarms[count++] = board->alarms[i];
    board->count = count;
}

void board_take(const cJSON *document, enum report_kind kind, struct live_board *board)
{
    drop_alarms(board, kind);
    add_alarms(document, kind, board);
    if (kind == REPORT_PERFORMANCE)
        add_latency(document, board);
}
