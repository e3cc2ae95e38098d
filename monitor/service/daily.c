// daily.c: looks at the clock each minute, as it may be set.
#include "monitor/service/daily.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/shutdown.h"

enum { LOOK_MS = 60 * 1000, AGAIN_MS = 3600 * 1000 };

static const int64_t day_ms = INT64_C(24) * 3600 * 1000;

struct daily {
    struct daily_options options;
    pthread_t thread;
};

static enum status update(const struct daily *daily, int64_t now, int *published, struct error *err)
{
    struct archive *archive = NULL;
    *published = 0;
    enum status status = archive_open(&archive, daily->options.store, err);
    if (status == STATUS_OK)
        status = report_folder_update(&daily->options.folder, archive, now, published, err);
    archive_close(archive);
    return status;
}

// Returns when to come again.
static int64_t work(const struct daily *daily, int64_t now)
{
    struct error err;
    int published;
    enum status status = update(daily, now, &published, &err);
    if (published > 0)
        LOG_INFO("reports_published", "count=%d", published);
    if (status == STATUS_OK)
        return now - now % day_ms + day_ms + daily->options.wait_ms;
    if (!shutdown_requested())
        LOG_WARN("reports_not_published", "reason=\"%s\"", err.message);
    return now + AGAIN_MS;
}

// A clock that was set back leaves a time that lies days ahead.
bool daily_is_due(int64_t now, int64_t due, int64_t wait_ms)
{
    return now >= due || due - now > day_ms + wait_ms;
}

static void *run(void *context)
{
    const struct daily *daily = context;
    int64_t due = clock_wall_ms() + daily->options.wait_ms, left;
    do {
        int64_t now = clock_wall_ms();
        if (daily_is_due(now, due, daily->options.wait_ms))
            due = work(daily, now);
        left = due - clock_wall_ms();
    } while (!shutdown_wait_ms(left < 0 ? 0 : left < LOOK_MS ? left : LOOK_MS));
    return NULL;
}

enum status daily_open(struct daily **opened, const struct daily_options *options, struct error *err)
{
    struct daily *daily = memory_alloc(sizeof *daily);
    *opened = NULL;
    daily->options = *options;
    if (pthread_create(&daily->thread, NULL, run, daily) != 0) {
        free(daily);
        return error_set(err, STATUS_FATAL, "no thread for the report folder");
    }
    *opened = daily;
    return STATUS_OK;
}

void daily_close(struct daily *daily)
{
    if (!daily)
        return;
    pthread_join(daily->thread, NULL);
    free(daily);
}
