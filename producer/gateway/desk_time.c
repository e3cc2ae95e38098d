// desk_time.c: what the desk does because time has passed.
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "producer/gateway/desk_internal.h"
#include "producer/gateway/metrics_rows.h"
#include "producer/gateway/reviews.h"

enum {
    ADOPT_BATCH = 32,
    FOREIGN_MS = 250, // between two looks at rows of other gateways that are waited for here
    FORGET_MS = 60000,
    OVERDUE_MS = 10000,
    FORGET_BATCH = 1000,
};

static bool is_ours(const struct desk *desk, const struct waiting *entry)
{
    return strcmp(entry->row.owner, desk->gateway->owner) == 0;
}

// Their terminal records may have been written before we began to read.
void desk_adopt(struct desk *desk, bool whatever_lease)
{
    struct request_row rows[ADOPT_BATCH];
    struct error err;
    size_t count, adopted = 0;
    int64_t now = clock_wall_ms();
    enum status status;
    do {
        status = requests_adopt(desk->sql, desk->gateway->owner, whatever_lease ? INT64_MAX : now,
                                now + DESK_LEASE_MS, rows, ADOPT_BATCH, &count, &err);
        for (size_t i = 0; i < count; i++)
            (void)desk_wait_for(desk, &rows[i]);
        adopted += count;
    } while (status == STATUS_OK && count == ADOPT_BATCH &&
             desk->table.count < 2 * (size_t)desk->gateway->admission.limit);
    if (status != STATUS_OK)
        desk_store_failed(desk, &err);
    if (adopted == 0)
        return;
    metrics_add(GATEWAY_ADOPTED, 0, adopted);
    LOG_INFO("adopted", "requests=%zu", adopted);
    desk_follow_anew(desk);
}

// While the store is away nobody can renew a lease: from the first renewal on that works the living get time
// to. Else the first one that is back would take all rows of the others, and read the predictions again,
// after each outage.
static void keep_leases(struct desk *desk, int64_t now_ms)
{
    struct error err;
    if (requests_renew(desk->sql, desk->gateway->owner, clock_wall_ms() + DESK_LEASE_MS, &err) != STATUS_OK) {
        desk_store_failed(desk, &err);
        desk->next_adopt_ms = DESK_AFTER_RENEWAL;
    } else if (desk->next_adopt_ms == DESK_AFTER_RENEWAL) {
        desk->next_adopt_ms = clock_monotonic_ms() + DESK_LEASE_MS;
    } else if (now_ms >= desk->next_adopt_ms) {
        desk_adopt(desk, false);
    }
}

static void forget_old(struct desk *desk)
{
    struct error err;
    int64_t deleted = 0;
    int64_t before = clock_wall_ms() - desk->gateway->options.retention_ms;
    if (requests_forget(desk->sql, before, FORGET_BATCH, &deleted, &err) != STATUS_OK)
        desk_store_failed(desk, &err);
}

static void count_overdue(struct desk *desk)
{
    struct error err;
    int64_t count;
    if (reviews_count_overdue(desk->sql, clock_wall_ms(), &count, &err) == STATUS_OK)
        metrics_set(GATEWAY_OVERDUE, 0, (double)count);
    else
        desk_store_failed(desk, &err);
}

static void end_wait(struct waiting *entry, struct visit *visit)
{
    if (clock_wall_ms() > entry->row.deadline_at)
        visit_problem(visit, PROBLEM_TIMEOUT, "there is no answer yet, and the deadline has passed");
    else if (entry->row.state == REQUEST_QUEUED)
        visit_queued(visit);
    else
        visit_problem(visit, PROBLEM_UNAVAILABLE, "the job is not handed over yet");
}

// Kafka's verdict comes soon and turns a 503 into a 202: it is waited for.
static bool is_over(const struct desk *desk, const struct waiting *entry, const struct visit *visit)
{
    if (entry->row.state == REQUEST_QUEUED && (visit->respond_async || atomic_load(&desk->hurry)))
        return true;
    return clock_monotonic_ms() >= visit->wait_until_ms + (entry->producing ? DESK_DELIVERY_MS : 0);
}

static void end_waits(struct desk *desk, struct waiting *entry)
{
    for (struct visit **at = &entry->visits; *at;) {
        struct visit *visit = *at;
        if (!is_over(desk, entry, visit)) {
            at = &visit->next;
            continue;
        }
        *at = visit->next;
        end_wait(entry, visit);
    }
}

// The answer may lie in the topic and be unread: after an outage of Kafka, of the store or of this gateway,
// the time to read it begins anew.
static bool is_overdue(const struct desk *desk, const struct waiting *entry)
{
    int64_t since = entry->row.deadline_at > desk->attentive_at ? entry->row.deadline_at : desk->attentive_at;
    return desk->following && clock_wall_ms() > since + DESK_OVERDUE_MS;
}

static void give_up(struct desk *desk, struct waiting *entry)
{
    struct arrival *arrival = memory_alloc(sizeof *arrival);
    metrics_add(GATEWAY_FLEET_ANSWERS, FLEET_SILENCE, 1);
    request_outcome_init(&arrival->outcome);
    arrival->outcome.problem = PROBLEM_DEADLINE_EXCEEDED;
    snprintf(arrival->outcome.detail, sizeof arrival->outcome.detail, "no answer has come");
    arrival->times = (struct request_times){.answered_at = clock_wall_ms(), .review_due_at = -1};
    desk_set_arrival(desk, entry, arrival);
}

// The row's gateway died before its job had a place, and a visit that waits has brought the job along: it is
// decided about once more, and finds a row that nobody works on.
static void try_again(struct desk *desk, struct waiting *entry)
{
    for (struct visit **at = &entry->visits; *at; at = &(*at)->next) {
        struct visit *visit = *at, *behind = visit->next;
        if (visit->record.size == 0)
            continue;
        if (desk_push(desk, visit))
            *at = behind;
        return;
    }
}

static void look_at(void *context, struct waiting *entry)
{
    struct desk *desk = context;
    end_waits(desk, entry);
    if (entry->producing || entry->arrival)
        return;
    if (is_ours(desk, entry)) {
        desk->late |= clock_wall_ms() > entry->row.deadline_at;
        if (is_overdue(desk, entry))
            give_up(desk, entry);
        else if (entry->row.state == REQUEST_ACCEPTED)
            try_again(desk, entry);
    } else if (!entry->visits) {
        desk_end(desk, entry);
    }
}

static void look_at_foreign(void *context, struct waiting *entry)
{
    struct desk *desk = context;
    if (!is_ours(desk, entry) && !entry->producing && !entry->arrival)
        desk_look_again(desk, entry);
}

static bool is_time(int64_t *next_ms, int64_t now_ms, int64_t every_ms)
{
    if (now_ms < *next_ms)
        return false;
    *next_ms = now_ms + every_ms;
    return true;
}

void desk_tick(struct desk *desk)
{
    int64_t now_ms = clock_monotonic_ms();
    desk->late = false;
    waiting_each(&desk->table, look_at, desk);
    admission_tick(&desk->gateway->admission, now_ms);
    if (is_time(&desk->next_lease_ms, now_ms, DESK_LEASE_MS / 5))
        keep_leases(desk, now_ms);
    if (is_time(&desk->next_foreign_ms, now_ms, FOREIGN_MS))
        waiting_each(&desk->table, look_at_foreign, desk);
    if (is_time(&desk->next_forget_ms, now_ms, FORGET_MS))
        forget_old(desk);
    if (is_time(&desk->next_overdue_ms, now_ms, OVERDUE_MS))
        count_overdue(desk);
}
