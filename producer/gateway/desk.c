// desk.c: the thread and its loop.
#include "producer/gateway/desk.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "producer/gateway/desk_internal.h"
#include "producer/gateway/metrics_rows.h"

enum { INBOX_LIMIT = 4096, TICK_MS = 50, SQL_TIMEOUT_MS = 3000, COMPLAINT_MS = 5000 };

void desk_store_failed(struct desk *desk, const struct error *err)
{
    int64_t now_ms = clock_monotonic_ms();
    metrics_add(GATEWAY_TROUBLE, SERVICE_STORE, 1);
    if (now_ms < desk->next_complaint_ms) // an outage would fill the log
        return;
    desk->next_complaint_ms = now_ms + COMPLAINT_MS;
    LOG_WARN("store_away", "reason=\"%s\"", err->message);
}

static void *run(void *context)
{
    struct desk *desk = context;
    pthread_setname_np(pthread_self(), "desk");
    if (desk->exclusive)
        desk_adopt(desk, true);
    else
        desk->next_adopt_ms = DESK_AFTER_RENEWAL; // the store may just be back, and the others with it
    while (!atomic_load(&desk->closing)) {
        struct pollfd ready = {.fd = desk->wake_fd, .events = POLLIN};
        eventfd_t count;
        desk_stay_connected(desk);
        if (poll(&ready, 1, TICK_MS) > 0)
            (void)eventfd_read(desk->wake_fd, &count);
        desk_take_visits(desk);
        desk_take_deliveries(desk);
        desk_take_arrivals(desk);
        desk_tick(desk);
    }
    return NULL;
}

static enum status open_parts(struct desk *desk, struct error *err)
{
    const struct config *config = desk->gateway->options.config;
    const char *url = config_text(config, "store");
    const struct sql_options sql = {.url = url, .timeout_ms = SQL_TIMEOUT_MS};
    desk->exclusive = strncmp(url, "sqlite:", strlen("sqlite:")) == 0;
    enum status status = sql_open(&desk->sql, &sql, err);
    if (status == STATUS_OK)
        status = requests_migrate(desk->sql, err);
    if (status != STATUS_OK)
        return status;
    const struct topic_reader_options reader = {
        .cluster = config_kafka(config), .topic = config_text(config, "predictions_topic"), .follow = true};
    return topic_reader_open(&desk->reader, &reader, err);
}

enum status desk_open(struct desk **desk, struct gateway *gateway, struct error *err)
{
    struct desk *made = memory_alloc(sizeof *made);
    *desk = NULL;
    made->gateway = gateway;
    made->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    queue_init(&made->inbox, INBOX_LIMIT, 100);
    waiting_init(&made->table, (size_t)gateway->admission.limit * 2);
    enum status status = open_parts(made, err);
    if (status == STATUS_OK && pthread_create(&made->thread, NULL, run, made) != 0)
        status = error_set(err, STATUS_FATAL, "the desk's thread can't be started");
    if (status == STATUS_OK) {
        *desk = made;
        return STATUS_OK;
    }
    made->thread = 0;
    desk_close(made);
    return status;
}

bool desk_push(struct desk *desk, struct visit *visit)
{
    if (queue_try_push(&desk->inbox, QUEUE_ROUTINE, visit) != QUEUE_OK)
        return false;
    eventfd_write(desk->wake_fd, 1);
    return true;
}

void desk_hurry(struct desk *desk)
{
    atomic_store(&desk->hurry, true);
    eventfd_write(desk->wake_fd, 1);
}

void desk_close(struct desk *desk)
{
    void *visit;
    if (!desk)
        return;
    atomic_store(&desk->closing, true);
    eventfd_write(desk->wake_fd, 1);
    if (desk->thread)
        pthread_join(desk->thread, NULL);
    record_sender_close(&desk->sender);
    topic_reader_close(desk->reader);
    while (queue_pop(&desk->inbox, &visit, 0) == QUEUE_OK)
        visit_free(visit);
    queue_release(&desk->inbox);
    waiting_release(&desk->table);
    sql_close(desk->sql);
    close(desk->wake_fd);
    free(desk->ranges);
    free(desk);
}
