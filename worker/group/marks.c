// marks.c: sets a mark and commits it at once, with the answers that are ready.
#include "worker/group/marks.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/group/publisher.h"

enum { TRIES = 3, MARK_MS = 1000 };

static bool commit(struct worker *worker, enum commit_scope scope)
{
    struct error err;
    if (publisher_publish(worker->publisher, scope, &err) == STATUS_OK)
        return true;
    LOG_WARN("mark_not_committed", "running=%d reason=\"%s\"", scope == COMMIT_RUNNING, err.message);
    return false;
}

// That they run here can wait for the next commit, so what comes back late is not tried again: records wait
// meanwhile.
void marks_commit(struct worker *worker, enum commit_scope scope)
{
    bool running = scope == COMMIT_RUNNING;
    int64_t begun_ms = clock_monotonic_ms();
    bool committed = commit(worker, scope);
    for (int i = 1; i < TRIES && !committed && (!running || clock_monotonic_ms() - begun_ms < MARK_MS); i++)
        committed = commit(worker, scope);
    worker->marks_are_stale = running && !committed;
}

bool marks_alone(struct worker *worker, struct job *job)
{
    pthread_mutex_lock(&worker->assignment.membership);
    assignment_set_alone(&worker->assignment, job);
    job->marked = commit(worker, COMMIT_RUNNING);
    pthread_mutex_unlock(&worker->assignment.membership);
    return job->marked;
}

bool marks_reading(struct worker *worker, const struct assigned *held, bool reading)
{
    pthread_mutex_lock(&worker->assignment.membership);
    assignment_set_reading(&worker->assignment, held, reading);
    bool committed = commit(worker, COMMIT_RUNNING);
    if (!committed)
        assignment_set_reading(&worker->assignment, held, false);
    pthread_mutex_unlock(&worker->assignment.membership);
    worker->marks_are_stale = !committed;
    return committed;
}

void marks_forgiven(struct worker *worker)
{
    pthread_mutex_lock(&worker->assignment.membership);
    commit(worker, COMMIT_RUNNING);
    pthread_mutex_unlock(&worker->assignment.membership);
}
