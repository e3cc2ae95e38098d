// collect.c: steps of one transaction each. Whatever fails, topics and archive are closed and opened again:
// the archive's offsets are the only memory.
#include "monitor/archive/collect.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/shutdown.h"
#include "common/services/backoff.h"
#include "monitor/archive/followed.h"

enum {
    WAIT_MS = 500,              // for records; a stop is looked at so often
    REOPEN_MS = 10 * 60 * 1000, // partitions that are new are seen so often
    FORGET_MS = 60 * 60 * 1000,
    BACKOFF_MS = 200,
    BACKOFF_LIMIT_MS = 10 * 1000,
    ANEW_MS = 30 * 1000, // so long must a topic look as if it were made anew: a broker may still read its log
    DAY_MS = 24 * 60 * 60 * 1000,
};

struct collector {
    struct collect_options options;
    bool to_the_end, again;
    struct archive *archive;
    char writer[JOB_REQUEST_ID_SIZE]; // the same for each opening: a commit may come after the next one
    struct archive_batch *batch;
    struct archive_step *steps; // of the last transaction
    size_t unwritten;           // how many of them were tried and are not in the archive
    struct followed followed[FOLLOWED_KINDS];
    struct followed_told told[FOLLOWED_KINDS];
    bool is_open;
    bool overtaken; // once, by another writer
    bool unusable;  // the archive: another monitor's, or a newer one's
    int wake_fd;
    bool more; // the last step left some behind
    int64_t opened_ms, forgot_ms;
    int64_t anew_ms; // since when a topic looks so; 0: none does
    pthread_t thread;
    pthread_mutex_t lock; // of what follows
    struct collect_figures figures;
    bool stop;
};

// ---- open and close ----

static void close_all(struct collector *collector)
{
    for (int i = 0; i < FOLLOWED_KINDS; i++)
        followed_close(&collector->followed[i]);
    archive_close(collector->archive);
    collector->archive = NULL;
    collector->is_open = false;
}

// A commit that was not answered may have come late.
static enum status look_for_unwritten(struct collector *collector, struct error *err)
{
    for (size_t i = 0; i < collector->unwritten; i++) {
        const struct archive_step *step = &collector->steps[i];
        struct archive_position position;
        enum status status = archive_position(collector->archive, step->log, step->partition, &position, err);
        if (status != STATUS_OK || position.next < step->to)
            return status;
    }
    collector->unwritten = 0;
    return STATUS_OK;
}

static enum status open_all(struct collector *collector, struct error *err)
{
    const struct collect_options *options = &collector->options;
    struct followed_options followed = {.cluster = options->cluster,
                                        .to_the_end = collector->to_the_end,
                                        .again = collector->again,
                                        .wake_fd = collector->wake_fd,
                                        .timeout_ms = options->timeout_ms};
    enum status status = archive_open(&collector->archive, options->store, err);
    collector->unusable = status == STATUS_REJECTED;
    if (status == STATUS_OK)
        archive_set_writer(collector->archive, collector->writer);
    if (status == STATUS_OK)
        status = look_for_unwritten(collector, err);
    for (int i = 0; i < FOLLOWED_KINDS && status == STATUS_OK; i++) {
        followed.kind = (enum followed_kind)i;
        followed.told = &collector->told[i];
        followed.topic = i == FOLLOWED_PREDICTIONS ? options->predictions_topic : options->feedback_topic;
        status = followed_open(&collector->followed[i], &followed, collector->archive, err);
    }
    collector->is_open = status == STATUS_OK;
    collector->opened_ms = clock_monotonic_ms();
    collector->more = true;
    if (status != STATUS_OK)
        close_all(collector);
    return status;
}

// A suspicion ends when it was none, so that the next one has its whole time.
static void settle_suspicion(struct collector *collector)
{
    bool sure = true;
    for (int i = 0; i < FOLLOWED_KINDS; i++)
        sure = sure && followed_is_sure(&collector->followed[i]);
    if (sure)
        collector->anew_ms = 0;
}

// A topic that was made anew gets a log of its own, and reading begins at its start.
static enum status look_for_new_topics(struct collector *collector, struct error *err)
{
    bool any = false;
    enum status status = STATUS_OK;
    for (int i = 0; i < FOLLOWED_KINDS && status == STATUS_OK; i++) {
        const struct followed *followed = &collector->followed[i];
        int64_t log, now_ms = clock_monotonic_ms();
        if (!followed->made_anew)
            continue;
        any = true;
        collector->anew_ms = collector->anew_ms ? collector->anew_ms : now_ms;
        if (!collector->to_the_end && now_ms - collector->anew_ms < ANEW_MS)
            return error_set(err, STATUS_RETRY,
                             "topic '%s' is not the one that was read before, or its broker still reads it",
                             followed->options.topic);
        LOG_WARN("topic_made_anew", "topic=%s action=\"read from its start\"", followed->options.topic);
        collector->told[i] = (struct followed_told){{0}};
        collector->unwritten = 0; // the old topic's records are gone
        status = archive_log_anew(collector->archive, followed->options.topic, &log, err);
    }
    if (status != STATUS_OK)
        return status;
    if (!any) {
        settle_suspicion(collector);
        return STATUS_OK;
    }
    collector->anew_ms = 0;
    archive_batch_clear(collector->batch); // it has the old one's offsets
    close_all(collector);
    return open_all(collector, err);
}

// ---- a step ----

static void wait_for_records(struct collector *collector)
{
    struct pollfd readable = {.fd = collector->wake_fd, .events = POLLIN};
    uint64_t count;
    if (poll(&readable, 1, WAIT_MS) > 0 && read(collector->wake_fd, &count, sizeof count) < 0 &&
        errno != EAGAIN)
        LOG_WARN("wake_trouble", "reason=\"%s\"", strerror(errno));
}

static void count(struct collector *collector, int64_t refused)
{
    pthread_mutex_lock(&collector->lock);
    collector->figures.predictions += (int64_t)collector->followed[FOLLOWED_PREDICTIONS].taken;
    collector->figures.feedback += (int64_t)collector->followed[FOLLOWED_FEEDBACK].taken;
    collector->figures.refused += refused;
    collector->figures.committed_at = clock_wall_ms();
    pthread_mutex_unlock(&collector->lock);
}

// The first time it may be what a process that was killed had sent to the database. Who is overtaken again
// is so by another monitor.
static enum status settle_overtaken(struct collector *collector)
{
    bool first = !collector->overtaken && !collector->to_the_end;
    collector->overtaken = true;
    collector->unusable = !first;
    return first ? STATUS_RETRY : STATUS_REJECTED;
}

static enum status write_batch(struct collector *collector, struct error *err)
{
    size_t steps = 0;
    int64_t refused = 0;
    for (int i = 0; i < FOLLOWED_KINDS; i++) {
        steps += followed_steps(&collector->followed[i], collector->steps + steps);
        refused += followed_refused(&collector->followed[i]);
    }
    if (steps == 0 && archive_batch_count(collector->batch) == 0)
        return STATUS_OK;
    enum status status =
        archive_append(collector->archive, collector->batch, collector->steps, steps, NULL, err);
    collector->unwritten = status == STATUS_OK ? 0 : steps;
    if (status == STATUS_REJECTED)
        return settle_overtaken(collector);
    if (status != STATUS_OK)
        return status;
    for (int i = 0; i < FOLLOWED_KINDS; i++)
        followed_committed(&collector->followed[i]);
    count(collector, refused);
    return STATUS_OK;
}

static enum status take_and_write(struct collector *collector, struct error *err)
{
    enum status status = STATUS_OK;
    archive_batch_clear(collector->batch);
    collector->more = false;
    for (int i = 0; i < FOLLOWED_KINDS && status == STATUS_OK; i++) {
        status = followed_take(&collector->followed[i], collector->batch, err);
        collector->more |= collector->followed[i].taken == ARCHIVE_BATCH_MOST;
    }
    if (status == STATUS_OK)
        status = look_for_new_topics(collector, err);
    return status == STATUS_OK ? write_batch(collector, err) : status;
}

static enum status forget_old(struct collector *collector, struct error *err)
{
    int64_t now_ms = clock_monotonic_ms(), forgotten = 0;
    bool more = false;
    if (collector->options.retention_days == 0 ||
        (collector->forgot_ms > 0 && now_ms - collector->forgot_ms < FORGET_MS))
        return STATUS_OK;
    int64_t before = clock_wall_ms() - collector->options.retention_days * DAY_MS;
    enum status status = archive_forget(collector->archive, before, &forgotten, &more, err);
    if (status != STATUS_OK)
        return status;
    collector->forgot_ms = more ? 0 : now_ms;
    pthread_mutex_lock(&collector->lock);
    collector->figures.forgotten += forgotten;
    pthread_mutex_unlock(&collector->lock);
    return STATUS_OK;
}

static enum status step(struct collector *collector, struct error *err)
{
    enum status status = STATUS_OK;
    if (collector->is_open && !collector->to_the_end &&
        clock_monotonic_ms() - collector->opened_ms >= REOPEN_MS)
        close_all(collector);
    if (!collector->is_open)
        status = open_all(collector, err);
    else if (!collector->more && !collector->to_the_end)
        wait_for_records(collector);
    if (status == STATUS_OK)
        status = take_and_write(collector, err);
    if (status == STATUS_OK)
        status = forget_old(collector, err);
    if (status != STATUS_OK)
        close_all(collector);
    return status;
}

// ---- for ever ----

// The same trouble is told once, until something works again. Records that could not be written have to be:
// that the archive can be opened and read says nothing of its disk.
static void tell(struct collector *collector, enum status status, const struct error *err)
{
    pthread_mutex_lock(&collector->lock);
    struct collect_figures *figures = &collector->figures;
    bool told = *figures->trouble != '\0';
    snprintf(figures->trouble, sizeof figures->trouble, "%s", status == STATUS_OK ? "" : err->message);
    figures->reads = status == STATUS_OK;
    pthread_mutex_unlock(&collector->lock);
    if (status != STATUS_OK && !told)
        LOG_WARN("collector_waits", "reason=\"%s\"", err->message);
    if (status == STATUS_OK && told)
        LOG_WARN("collector_goes_on", "store=open");
}

static bool is_stopped(struct collector *collector)
{
    pthread_mutex_lock(&collector->lock);
    bool stop = collector->stop;
    pthread_mutex_unlock(&collector->lock);
    return stop || shutdown_requested();
}

static void *follow(void *context)
{
    struct collector *collector = context;
    struct backoff backoff;
    struct error err;
    backoff_init(&backoff, BACKOFF_MS, BACKOFF_LIMIT_MS, (uint64_t)clock_monotonic_us());
    while (!is_stopped(collector)) {
        enum status status = step(collector, &err);
        bool works = status == STATUS_OK && collector->unwritten == 0;
        if (works || status != STATUS_OK)
            tell(collector, status, &err);
        if (status == STATUS_FATAL || collector->unusable) {
            LOG_ERROR("collector_ended", "reason=\"%s\"", err.message);
            pthread_mutex_lock(&collector->lock);
            collector->figures.ended = true;
            pthread_mutex_unlock(&collector->lock);
            break;
        }
        if (works)
            backoff.tries = 0;
        else if (status != STATUS_OK)
            shutdown_wait_ms(backoff_next_ms(&backoff));
    }
    close_all(collector);
    return NULL;
}

// ---- the collector ----

static struct collector *collector_new(const struct collect_options *options)
{
    struct collector *made = memory_alloc(sizeof *made);
    made->options = *options;
    job_request_id_new(made->writer);
    made->batch = archive_batch_new();
    made->steps = memory_alloc(FOLLOWED_KINDS * ARCHIVE_PARTITIONS_MOST * sizeof *made->steps);
    made->figures.committed_at = -1;
    made->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&made->lock, NULL);
    return made;
}

static void collector_free(struct collector *collector)
{
    close_all(collector);
    archive_batch_free(collector->batch);
    free(collector->steps);
    if (collector->wake_fd >= 0)
        close(collector->wake_fd);
    pthread_mutex_destroy(&collector->lock);
    free(collector);
}

enum status collector_start(struct collector **collector, const struct collect_options *options,
                            struct error *err)
{
    struct collector *made = collector_new(options);
    *collector = NULL;
    if (made->wake_fd < 0 || pthread_create(&made->thread, NULL, follow, made) != 0) {
        collector_free(made);
        return error_set(err, STATUS_FATAL, "no thread or event descriptor for the collector");
    }
    *collector = made;
    return STATUS_OK;
}

void collector_figures(struct collector *collector, struct collect_figures *figures)
{
    pthread_mutex_lock(&collector->lock);
    *figures = collector->figures;
    pthread_mutex_unlock(&collector->lock);
}

void collector_stop(struct collector *collector)
{
    if (!collector)
        return;
    pthread_mutex_lock(&collector->lock);
    collector->stop = true;
    pthread_mutex_unlock(&collector->lock);
    pthread_join(collector->thread, NULL);
    collector_free(collector);
}

enum status collect_once(const struct collect_options *options, bool again, struct collect_figures *figures,
                         struct error *err)
{
    struct collector *collector = collector_new(options);
    enum status status = STATUS_OK;
    collector->to_the_end = true;
    collector->again = again;
    if (collector->wake_fd < 0)
        status = error_set(err, STATUS_FATAL, "no event descriptor: %s", strerror(errno));
    do
        if (status == STATUS_OK)
            status = step(collector, err);
    while (status == STATUS_OK && !(collector->followed[FOLLOWED_PREDICTIONS].ended &&
                                    collector->followed[FOLLOWED_FEEDBACK].ended));
    collector_figures(collector, figures);
    collector_free(collector);
    return status;
}
