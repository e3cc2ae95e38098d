// live.c: the thread that makes reports for those who wait for them.
#include "monitor/service/live.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/queue.h"
#include "monitor/incident/reading.h"
#include "monitor/report/publish.h"
#include "monitor/service/experiments.h"

enum {
    WAITING_MOST = 32,
    KEPT = 16, // reports
    FRESH_MS = 60 * 1000,
    BOARD_MS = 60 * 1000,
    EXPERIMENTS_MS = 15 * 60 * 1000, // each is a comparison over months
    KEY_SIZE = 3 * REPORT_NAME_SIZE + 64,
    RETRY_S = 5,
};

static const int64_t day_ms = 24 * 3600 * 1000;

enum { BOARD_KINDS = 2 };
static const enum report_kind board_kinds[BOARD_KINDS] = {REPORT_DRIFT, REPORT_PERFORMANCE};

struct live_visit {
    struct live_request request;
    struct http_later *later;
    int64_t asked_ms; // monotonic
};

struct kept_report {
    char key[KEY_SIZE];
    int64_t made_ms; // monotonic
    struct buffer json, page;
    struct audit_list list; // of an incident list
};

struct live {
    struct live_options options;
    struct queue visits;
    atomic_bool stops; // who still waits is refused
    pthread_t thread;
    struct archive *archive;       // the thread's; NULL: not open
    struct audit *audit;           // the thread's; NULL: not open
    struct kept_report kept[KEPT]; // the thread's
    size_t next_kept;
    int64_t board_at[BOARD_KINDS]; // the thread's: Unix ms when that report was made; -1: not yet
    pthread_mutex_t lock;          // of the board and of what the reports behind it say
    struct live_board board;
    struct findings findings[BOARD_KINDS + 1]; // the last one: of registered comparisons
    struct experiments experiments;            // the thread's
    int64_t experiments_ms;                    // the thread's: monotonic, when the next round of them begins
};

// ---- reports ----

static const char *text_or_null(const char *text)
{
    return *text ? text : NULL;
}

static void settle_days(struct live_request *request)
{
    int64_t now = clock_wall_ms(), tomorrow = now - now % day_ms + day_ms;
    if (request->to < 0)
        request->to = tomorrow;
    if (request->from < 0)
        request->from = request->to - LIVE_DAYS * day_ms;
}

static enum status make(struct live *live, const struct live_request *asked, cJSON **document,
                        struct error *err)
{
    struct archive_as_of as_of = {0};
    bool compares = asked->kind == REPORT_COMPARISON;
    const struct report_request request = {.kind = asked->kind,
                                           .from = asked->from,
                                           .to = asked->to,
                                           .model_version = compares ? NULL : text_or_null(asked->model),
                                           .site = text_or_null(asked->site),
                                           .model_a = compares ? text_or_null(asked->model) : NULL,
                                           .model_b = compares ? text_or_null(asked->with) : NULL,
                                           .references = text_or_null(live->options.references),
                                           .reference_key = text_or_null(live->options.reference_key),
                                           .alarm_budget_per_year = live->options.alarm_budget_per_year,
                                           .as_of = &as_of};
    enum status status = STATUS_OK;
    *document = NULL;
    if (!live->archive)
        status = archive_open(&live->archive, live->options.store, err);
    if (status == STATUS_OK)
        status = archive_now(live->archive, &as_of, err);
    if (status == STATUS_OK)
        status = report_make(live->archive, &request, document, err);
    archive_as_of_release(&as_of);
    if (status == STATUS_RETRY || status == STATUS_FATAL) { // the next one begins with a new connection
        archive_close(live->archive);
        live->archive = NULL;
    }
    return status;
}

static void key_of(const struct live_request *request, char key[KEY_SIZE])
{
    snprintf(key, KEY_SIZE, "%d|%lld|%lld|%s|%s|%s", (int)request->kind, (long long)request->from,
             (long long)request->to, request->model, request->with, request->site);
}

static struct kept_report *find_kept(struct live *live, const char *key)
{
    for (size_t i = 0; i < KEPT; i++)
        if (strcmp(live->kept[i].key, key) == 0 && clock_monotonic_ms() - live->kept[i].made_ms < FRESH_MS)
            return &live->kept[i];
    return NULL;
}

// The report as both files, in the place of the one that was made longest ago.
static enum status keep(struct live *live, const char *key, const cJSON *document, struct kept_report **kept,
                        struct error *err)
{
    struct kept_report *place = &live->kept[live->next_kept++ % KEPT];
    place->key[0] = '\0';
    buffer_clear(&place->json);
    buffer_clear(&place->page);
    enum status status = report_write(document, &place->json, err);
    if (status == STATUS_OK)
        status = report_page(document, &place->page, err);
    if (status == STATUS_OK && incident_is_list(document))
        status = incident_reading(document, &place->list, err);
    if (status != STATUS_OK)
        return status;
    strcpy(place->key, key);
    place->made_ms = clock_monotonic_ms();
    *kept = place;
    return STATUS_OK;
}

static void answer(const struct kept_report *kept, const struct live_visit *visit)
{
    static const struct http_header headers[] = {
        {"Content-Security-Policy",
         "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
         "form-action 'none'; frame-ancestors 'none'"},
        {"Refresh", "300"}};
    const bool json = visit->request.json;
    // A list that is read is read by somebody, not by a page left open.
    const size_t page_headers = visit->request.kind == REPORT_INCIDENT ? 1 : 2;
    http_later_answer(visit->later,
                      &(struct http_reply){.code = 200,
                                           .type = json ? "application/json" : "text/html; charset=utf-8",
                                           .body = buffer_bytes(json ? &kept->json : &kept->page),
                                           .headers = json ? NULL : headers,
                                           .header_count = json ? 0 : page_headers});
}

static void refuse(const struct live_visit *visit, enum status status, const struct error *err)
{
    const bool rejected = status == STATUS_REJECTED;
    http_later_problem(visit->later, &(struct http_problem){
                                         .status = rejected ? 422 : 503,
                                         .code = rejected ? "invalid_request" : "archive_unavailable",
                                         .detail = rejected ? err->message : "the archive can't be read now",
                                         .retry_after_s = rejected ? 0 : RETRY_S});
    if (!rejected)
        LOG_WARN("report_not_made", "reason=\"%s\"", err->message);
}

// The audit has logged why.
static void refuse_unaudited(const struct live_visit *visit)
{
    http_later_problem(visit->later,
                       &(struct http_problem){.status = 503,
                                              .code = "audit_unavailable",
                                              .detail = "a list of answers is given out once the "
                                                        "audit says to whom, and that can't be "
                                                        "written now",
                                              .retry_after_s = RETRY_S});
}

// The store may come later than the monitor.
static enum status open_audit(struct live *live, struct error *err)
{
    return live->audit || !live->options.audit.chain ? STATUS_OK
                                                     : audit_open(&live->audit, &live->options.audit, err);
}

static enum status note_reading(struct live *live, const struct live_visit *visit,
                                const struct audit_list *list, struct error *err)
{
    const struct identity *reader = &visit->request.reader;
    struct audit_entry entry = {.action = AUDIT_INCIDENT_READ, .outcome = "ok", .list = *list};
    strcpy(entry.actor, reader->actor);
    strcpy(entry.site, reader->site);
    enum status status = open_audit(live, err);
    if (status == STATUS_OK && !live->audit)
        status = error_set(err, STATUS_FATAL, "there is no audit");
    return status == STATUS_OK ? audit_append(live->audit, &entry, err) : status;
}

static void give(struct live *live, const struct live_visit *visit, const struct kept_report *kept)
{
    struct error err;
    enum status status =
        visit->request.kind == REPORT_INCIDENT ? note_reading(live, visit, &kept->list, &err) : STATUS_OK;
    if (status == STATUS_OK)
        answer(kept, visit);
    else if (status == STATUS_REJECTED)
        refuse(visit, status, &err);
    else
        refuse_unaudited(visit);
}

// Whether the report is worth making, or why not.
static enum status check_visit(const struct live *live, const struct live_visit *visit, struct error *err)
{
    const struct live_request *request = &visit->request;
    if (atomic_load(&live->stops))
        return error_set(err, STATUS_RETRY, "the monitor stops");
    if (clock_monotonic_ms() - visit->asked_ms >= live->options.answer_ms)
        return error_set(err, STATUS_RETRY, "nobody waits for the report any more");
    if (request->to - request->from > LIVE_DAYS_MOST * day_ms)
        return error_set(err, STATUS_REJECTED,
                         "a report that is made at once covers %d days at most; skinsight-monitor report "
                         "makes longer ones",
                         LIVE_DAYS_MOST);
    return STATUS_OK;
}

static void serve(struct live *live, struct live_visit *visit)
{
    struct error err;
    char key[KEY_SIZE];
    cJSON *document = NULL;
    settle_days(&visit->request);
    key_of(&visit->request, key);
    struct kept_report *kept = find_kept(live, key);
    enum status status = kept ? STATUS_OK : check_visit(live, visit, &err);
    if (status == STATUS_OK && !kept)
        status = make(live, &visit->request, &document, &err);
    if (status == STATUS_OK && !kept)
        status = keep(live, key, document, &kept, &err);
    if (status == STATUS_OK)
        give(live, visit, kept);
    else
        refuse(visit, status, &err);
    cJSON_Delete(document);
    free(visit);
}

// ---- the board ----

static void keep_findings(struct live *live, size_t place, struct findings findings)
{
    pthread_mutex_lock(&live->lock);
    struct findings old = live->findings[place];
    live->findings[place] = findings;
    pthread_mutex_unlock(&live->lock);
    findings_release(&old);
}

// place: in board_kinds.
static enum status update_board(struct live *live, size_t place, struct live_board *board, struct error *err)
{
    const enum report_kind kind = board_kinds[place];
    struct live_request request = {.kind = kind, .from = -1, .to = -1};
    struct findings findings = {0};
    cJSON *document = NULL;
    settle_days(&request);
    enum status status = make(live, &request, &document, err);
    if (status == STATUS_OK) {
        board_take(document, kind, board);
        findings_read(document, &findings);
        keep_findings(live, place, findings);
    }
    cJSON_Delete(document);
    return status;
}

// One report that can't be made leaves the other one's alarms as new as they can be.
static void make_board(struct live *live)
{
    struct live_board *board = memory_alloc(sizeof *board);
    struct error err;
    *board = live->board; // which no other thread writes
    *board->trouble = '\0';
    board->made_at = -1;
    board->whole = true;
    for (size_t i = 0; i < BOARD_KINDS; i++) {
        if (update_board(live, i, board, &err) == STATUS_OK)
            live->board_at[i] = clock_wall_ms();
        else
            snprintf(board->trouble, sizeof board->trouble, "%.255s", err.message);
        if (live->board_at[i] < 0)
            board->whole = false;
        else if (board->made_at < 0 || live->board_at[i] < board->made_at)
            board->made_at = live->board_at[i];
    }
    pthread_mutex_lock(&live->lock);
    live->board = *board;
    pthread_mutex_unlock(&live->lock);
    if (*board->trouble)
        LOG_WARN("board_not_made", "reason=\"%s\"", board->trouble);
    free(board);
}

// ---- registered comparisons ----

static bool is_comparing(const struct live *live)
{
    return live->archive && live->experiments.done < live->experiments.count;
}

// One step of a round. One that fails begins again with the next board.
static void update_experiments(struct live *live)
{
    struct experiments *experiments = &live->experiments;
    struct error err;
    enum status status;
    if (is_comparing(live)) {
        status = experiments_compare(live->archive, clock_wall_ms(), experiments, &err);
    } else if (live->archive && clock_monotonic_ms() >= live->experiments_ms) {
        live->experiments_ms = clock_monotonic_ms() + EXPERIMENTS_MS;
        status = experiments_begin(live->archive, clock_wall_ms(), experiments, &err);
    } else {
        return;
    }
    if (status != STATUS_OK) {
        LOG_WARN("experiments_not_compared", "reason=\"%s\"", err.message);
        experiments_release(experiments);
        live->experiments_ms = clock_monotonic_ms() + BOARD_MS;
    } else if (!is_comparing(live)) {
        keep_findings(live, BOARD_KINDS, experiments->findings);
        experiments->findings = (struct findings){0};
    }
}

static void init_board(struct live *live)
{
    live->board.made_at = -1;
    for (size_t i = 0; i < BOARD_KINDS; i++)
        live->board_at[i] = -1;
    for (int step = 0; step < STEP_COUNT; step++)
        for (int i = 0; i < 3; i++)
            live->board.latency_s[step][i] = NAN;
}

static void *run(void *context)
{
    struct live *live = context;
    int64_t board_ms = clock_monotonic_ms();
    for (;;) {
        void *item;
        int64_t wait = is_comparing(live) ? 0 : board_ms - clock_monotonic_ms();
        enum queue_result result = queue_pop(&live->visits, &item, wait > 0 ? wait : 0);
        if (result == QUEUE_CLOSED)
            return NULL;
        if (result == QUEUE_OK)
            serve(live, item);
        if (clock_monotonic_ms() >= board_ms) {
            struct error err;
            if (open_audit(live, &err) != STATUS_OK) // it signs what commands have written, too
                LOG_WARN("audit_not_opened", "reason=\"%s\"", err.message);
            make_board(live);
            board_ms = clock_monotonic_ms() + BOARD_MS;
        }
        update_experiments(live);
    }
}

// Without its thread.
static void release(struct live *live)
{
    archive_close(live->archive);
    audit_close(live->audit);
    for (size_t i = 0; i < KEPT; i++) {
        buffer_release(&live->kept[i].json);
        buffer_release(&live->kept[i].page);
    }
    for (size_t i = 0; i <= BOARD_KINDS; i++)
        findings_release(&live->findings[i]);
    experiments_release(&live->experiments);
    queue_release(&live->visits);
    pthread_mutex_destroy(&live->lock);
    free(live);
}

enum status live_open(struct live **opened, const struct live_options *options, struct error *err)
{
    struct live *live = memory_alloc(sizeof *live);
    *opened = NULL;
    live->options = *options;
    init_board(live);
    queue_init(&live->visits, WAITING_MOST, 100);
    pthread_mutex_init(&live->lock, NULL);
    for (size_t i = 0; i < KEPT; i++) {
        buffer_init(&live->kept[i].json, REPORT_MOST_BYTES);
        buffer_init(&live->kept[i].page, REPORT_MOST_BYTES);
    }
    if (pthread_create(&live->thread, NULL, run, live) != 0) {
        release(live);
        return error_set(err, STATUS_FATAL, "no thread for live reports");
    }
    *opened = live;
    return STATUS_OK;
}

bool live_ask(struct live *live, const struct live_request *request, struct http_later *later)
{
    struct live_visit *visit = memory_alloc(sizeof *visit);
    *visit = (struct live_visit){*request, later, clock_monotonic_ms()};
    if (queue_try_push(&live->visits, QUEUE_ROUTINE, visit) == QUEUE_OK)
        return true;
    free(visit);
    return false;
}

void live_look(struct live *live, struct live_board *board)
{
    pthread_mutex_lock(&live->lock);
    *board = live->board;
    pthread_mutex_unlock(&live->lock);
}

void live_sample(struct live *live, unsigned metric, struct metrics_writer *writer)
{
    pthread_mutex_lock(&live->lock);
    for (size_t kind = 0; kind <= BOARD_KINDS; kind++)
        for (size_t i = 0; i < live->findings[kind].count; i++) {
            const struct finding *finding = &live->findings[kind].items[i];
            if (finding->metric == metric)
                metrics_sample(writer, metric, finding->labels, finding->value);
        }
    pthread_mutex_unlock(&live->lock);
}

void live_close(struct live *live)
{
    if (!live)
        return;
    atomic_store(&live->stops, true);
    queue_close(&live->visits);
    pthread_join(live->thread, NULL);
    release(live);
}
