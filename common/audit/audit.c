// audit.c: the thread that writes, and the one that signs. Under the lock are the list of waiting entries and
// the refusals; each thread has a connection of its own. A group that could not be written is given back as
// failed, and the next one tries anew, so that an outage of the store leaves no queue behind.
#include "common/audit/audit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/audit/chain.h"
#include "common/audit/refusals.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/services/object_store.h"

enum {
    GROUP_MOST = 512,
    REFUSALS_INTERVAL_MS = 60 * 1000,
    EXPORT_RETRY_MS = 60 * 1000,
    LOG_INTERVAL_MS = 10 * 1000,
};

struct waiter {
    void (*done)(void *context, enum status status);
    void *context;
};

struct audit {
    struct sql *sql, *heads_sql; // the writing and the signing thread's
    char chain[AUDIT_NAME_SIZE];
    const struct signer *signer;
    struct object_store *objects;
    int64_t sign_interval_ms;
    int64_t refusals_at_ms;        // monotonic, as all such times; the writing thread's
    int64_t write_logged_at_ms;    // the writing thread's
    int64_t sign_at_ms;            // the signing thread's
    int64_t sign_logged_at_ms;     // the signing thread's
    struct audit_head signed_head; // the signing thread's: the last one it signed; seq 0: none yet
    pthread_t writer, heads;
    bool writer_started, heads_started;
    pthread_mutex_t lock; // of what follows
    pthread_cond_t work, end;
    bool closing;
    size_t waiting;
    struct audit_entry *entries; // AUDIT_WAITING_MOST, in order
    struct waiter *waiters;
    struct refusals refusals;
    struct audit_counts counts;
};

// ---- writing ----

// Standard error is no place for every failure of an outage.
static void log_failure(const struct audit *audit, int64_t *logged_at_ms, const char *event,
                        const struct error *err)
{
    int64_t now_ms = clock_monotonic_ms();
    if (*logged_at_ms && now_ms - *logged_at_ms < LOG_INTERVAL_MS)
        return;
    *logged_at_ms = now_ms;
    LOG_ERROR(event, "chain=%s reason=\"%s\"", audit->chain, err->message);
}

static enum status write_group(struct audit *audit, const struct audit_entry *entries, size_t count)
{
    struct audit_group group = {.entries = entries, .count = count, .at = clock_wall_ms()};
    struct error err;
    enum status status = audit_chain_append(audit->sql, audit->chain, &group, &err);
    if (status != STATUS_OK)
        log_failure(audit, &audit->write_logged_at_ms, "audit_not_written", &err);
    pthread_mutex_lock(&audit->lock);
    *(status == STATUS_OK ? &audit->counts.written : &audit->counts.failed) += (int64_t)count;
    pthread_mutex_unlock(&audit->lock);
    return status == STATUS_FATAL ? STATUS_RETRY : status;
}

// Takes up to GROUP_MOST of those that wait; returns how many. Under the lock.
static size_t take_group(struct audit *audit, struct audit_entry *entries, struct waiter *waiters)
{
    size_t count = audit->waiting < GROUP_MOST ? audit->waiting : GROUP_MOST;
    memcpy(entries, audit->entries, count * sizeof *entries);
    memcpy(waiters, audit->waiters, count * sizeof *waiters);
    audit->waiting -= count;
    memmove(audit->entries, audit->entries + count, audit->waiting * sizeof *entries);
    memmove(audit->waiters, audit->waiters + count, audit->waiting * sizeof *waiters);
    return count;
}

// Those of the last minute. Where they can't be written now they are lost, and the log says so.
static void write_refusals(struct audit *audit)
{
    struct audit_entry *entries = memory_alloc((AUDIT_ADDRESSES_MOST + 1) * sizeof *entries);
    pthread_mutex_lock(&audit->lock);
    size_t count = refusals_take(&audit->refusals, entries);
    pthread_mutex_unlock(&audit->lock);
    if (count > 0)
        (void)write_group(audit, entries, count);
    free(entries);
    audit->refusals_at_ms = clock_monotonic_ms() + REFUSALS_INTERVAL_MS;
}

// ---- heads ----

// The hash in the key: a head of another chain of the same name and length takes no other's place.
static enum status export_head(struct audit *audit, const struct audit_head *head, struct bytes line,
                               struct error *err)
{
    if (!audit->objects)
        return STATUS_OK;
    char hash[DIGEST_TEXT_SIZE];
    digest_text(&head->hash, hash);
    char *key = memory_format("audit/%s/%020lld-%.16s.json", audit->chain, (long long)head->seq, hash);
    enum status status = object_store_put(audit->objects, key, line, "application/json", err);
    free(key);
    return status;
}

// A chain that was rewritten is not signed again: the heads that tell of it would be taken for old. The table
// tells of the heads that other processes signed.
static enum status check_signed(struct audit *audit, int64_t *signed_seq, struct error *err)
{
    struct audit_head kept;
    enum status status = audit_chain_signed(audit->heads_sql, audit->chain, &kept, err);
    if (status == STATUS_OK && kept.seq > 0)
        status = audit_chain_check(audit->heads_sql, &kept, err);
    if (status == STATUS_OK && audit->signed_head.seq > 0)
        status = audit_chain_check(audit->heads_sql, &audit->signed_head, err);
    *signed_seq = kept.seq;
    return status;
}

// Exports first: where there is an object store, a head that stands in the table has been exported.
static enum status export_and_keep(struct audit *audit, struct audit_head *head, struct error *err)
{
    struct buffer line;
    buffer_init(&line, AUDIT_HEAD_LINE_MOST);
    head->at = clock_wall_ms();
    enum status status = audit_head_write(audit->signer, head, &line, err);
    if (status == STATUS_OK) {
        audit->signed_head = *head;
        status = export_head(audit, head, buffer_bytes(&line), err);
        line.size--; // the table keeps it without its '\n'
    }
    if (status == STATUS_OK)
        status = audit_chain_keep_head(audit->heads_sql, head, buffer_bytes(&line), err);
    buffer_release(&line);
    return status;
}

static enum status sign_newest(struct audit *audit, struct error *err)
{
    struct audit_head head;
    int64_t signed_seq;
    enum status status = check_signed(audit, &signed_seq, err);
    if (status == STATUS_OK)
        status = audit_chain_newest(audit->heads_sql, audit->chain, &head, err);
    if (status == STATUS_OK && head.seq > signed_seq)
        status = export_and_keep(audit, &head, err);
    return status;
}

static void sign_head(struct audit *audit)
{
    struct error err;
    int64_t pause_ms = audit->sign_interval_ms;
    if (audit->signer && sign_newest(audit, &err) != STATUS_OK) {
        log_failure(audit, &audit->sign_logged_at_ms, "audit_head_not_signed", &err);
        pause_ms = pause_ms < EXPORT_RETRY_MS ? pause_ms : EXPORT_RETRY_MS;
    }
    audit->sign_at_ms = clock_monotonic_ms() + pause_ms;
}

static void *sign_heads(void *context)
{
    struct audit *audit = context;
    pthread_mutex_lock(&audit->lock);
    while (!audit->closing) {
        int64_t left_ms = audit->sign_at_ms - clock_monotonic_ms();
        if (left_ms > 0) {
            struct timespec until = clock_monotonic_after_ms(left_ms);
            pthread_cond_timedwait(&audit->end, &audit->lock, &until);
            continue;
        }
        pthread_mutex_unlock(&audit->lock);
        sign_head(audit);
        pthread_mutex_lock(&audit->lock);
    }
    pthread_mutex_unlock(&audit->lock);
    return NULL;
}

// ---- the thread that writes ----

// Waits for entries, until refusals are due, or for the end. Under the lock.
static void wait_for_work(struct audit *audit)
{
    int64_t left_ms;
    while (audit->waiting == 0 && !audit->closing &&
           (left_ms = audit->refusals_at_ms - clock_monotonic_ms()) > 0) {
        struct timespec until = clock_monotonic_after_ms(left_ms);
        pthread_cond_timedwait(&audit->work, &audit->lock, &until);
    }
}

static void *write_entries(void *context)
{
    struct audit *audit = context;
    struct audit_entry *entries = memory_alloc(GROUP_MOST * sizeof *entries);
    struct waiter *waiters = memory_alloc(GROUP_MOST * sizeof *waiters);
    bool closing = false;
    size_t count = 0;
    while (!closing || count > 0) {
        pthread_mutex_lock(&audit->lock);
        wait_for_work(audit);
        count = take_group(audit, entries, waiters);
        closing = audit->closing;
        pthread_mutex_unlock(&audit->lock);
        enum status status = count > 0 ? write_group(audit, entries, count) : STATUS_OK;
        for (size_t i = 0; i < count; i++)
            waiters[i].done(waiters[i].context, status);
        if (clock_monotonic_ms() >= audit->refusals_at_ms)
            write_refusals(audit);
    }
    write_refusals(audit);
    free(entries);
    free(waiters);
    return NULL;
}

// ---- the calls ----

static void release(struct audit *audit)
{
    sql_close(audit->sql);
    sql_close(audit->heads_sql);
    pthread_cond_destroy(&audit->work);
    pthread_cond_destroy(&audit->end);
    pthread_mutex_destroy(&audit->lock);
    free(audit->entries);
    free(audit->waiters);
    free(audit);
}

static struct audit *new_audit(const struct audit_options *options)
{
    struct audit *audit = memory_alloc(sizeof *audit);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&audit->work, &attributes);
    pthread_cond_init(&audit->end, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&audit->lock, NULL);
    strcpy(audit->chain, options->chain);
    audit->signer = options->signer;
    audit->objects = options->objects;
    audit->sign_interval_ms = options->sign_interval_ms;
    audit->refusals_at_ms = clock_monotonic_ms() + REFUSALS_INTERVAL_MS;
    audit->sign_at_ms = clock_monotonic_ms() + options->sign_interval_ms;
    audit->entries = memory_alloc(AUDIT_WAITING_MOST * sizeof *audit->entries);
    audit->waiters = memory_alloc(AUDIT_WAITING_MOST * sizeof *audit->waiters);
    return audit;
}

// The writing thread first, which leaves nothing behind.
static void stop(struct audit *audit)
{
    pthread_mutex_lock(&audit->lock);
    audit->closing = true;
    pthread_cond_signal(&audit->work);
    pthread_cond_signal(&audit->end);
    pthread_mutex_unlock(&audit->lock);
    if (audit->writer_started)
        pthread_join(audit->writer, NULL);
    if (audit->heads_started)
        pthread_join(audit->heads, NULL);
}

static enum status start(struct audit *audit, const struct audit_options *options, struct error *err)
{
    enum status status = sql_open(&audit->sql, &options->store, err);
    if (status == STATUS_OK)
        status = sql_migrate(audit->sql, "audit", audit_migrations, err);
    if (status == STATUS_OK && audit->signer)
        status = sql_open(&audit->heads_sql, &options->store, err);
    if (status != STATUS_OK)
        return status;
    audit->writer_started = pthread_create(&audit->writer, NULL, write_entries, audit) == 0;
    audit->heads_started = audit->signer && pthread_create(&audit->heads, NULL, sign_heads, audit) == 0;
    if (!audit->writer_started || (audit->signer && !audit->heads_started))
        return error_set(err, STATUS_FATAL, "no thread for the audit");
    return STATUS_OK;
}

enum status audit_open(struct audit **opened, const struct audit_options *options, struct error *err)
{
    *opened = NULL;
    if (!audit_chain_name_good(options->chain))
        return error_set(
            err, STATUS_REJECTED,
            "the name of the audit's chain must be 1 to 64 of A-Za-z0-9_.- and begin with no dot");
    struct audit *audit = new_audit(options);
    enum status status = start(audit, options, err);
    if (status != STATUS_OK) {
        stop(audit);
        release(audit);
        return status;
    }
    *opened = audit;
    return STATUS_OK;
}

void audit_close(struct audit *audit)
{
    if (!audit)
        return;
    stop(audit);
    sign_head(audit); // of the last entry
    release(audit);
}

// An entry that could not be written would fail the whole group it is in.
static enum status check_entry(const struct audit *audit, const struct audit_entry *entry, struct error *err)
{
    const struct audit_place place = {.chain = audit->chain, .seq = 1};
    struct buffer text;
    buffer_init(&text, AUDIT_TEXT_MOST);
    enum status status = audit_entry_write(entry, &place, &text, err);
    buffer_release(&text);
    return status;
}

enum status audit_submit(struct audit *audit, const struct audit_entry *entry,
                         void (*done)(void *context, enum status status), void *context, struct error *err)
{
    enum status status = check_entry(audit, entry, err);
    if (status != STATUS_OK)
        return status;
    pthread_mutex_lock(&audit->lock);
    if (audit->waiting == AUDIT_WAITING_MOST) {
        status = error_set(err, STATUS_RETRY, "%d entries wait for the audit's store", AUDIT_WAITING_MOST);
    } else {
        audit->entries[audit->waiting] = *entry;
        audit->waiters[audit->waiting++] = (struct waiter){.done = done, .context = context};
        pthread_cond_signal(&audit->work);
    }
    pthread_mutex_unlock(&audit->lock);
    return status;
}

struct append {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool over;
    enum status status;
};

static void append_is_over(void *context, enum status status)
{
    struct append *append = context;
    pthread_mutex_lock(&append->lock);
    append->over = true;
    append->status = status;
    pthread_cond_signal(&append->changed);
    pthread_mutex_unlock(&append->lock);
}

enum status audit_append(struct audit *audit, const struct audit_entry *entry, struct error *err)
{
    struct append append = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    enum status status = audit_submit(audit, entry, append_is_over, &append, err);
    if (status != STATUS_OK)
        return status;
    pthread_mutex_lock(&append.lock);
    while (!append.over)
        pthread_cond_wait(&append.changed, &append.lock);
    pthread_mutex_unlock(&append.lock);
    if (append.status != STATUS_OK)
        return error_set(err, append.status, "the audit's store is away");
    return STATUS_OK;
}

void audit_refused(struct audit *audit, const char *address, const char *code)
{
    pthread_mutex_lock(&audit->lock);
    refusals_add(&audit->refusals, address, code);
    pthread_mutex_unlock(&audit->lock);
}

struct audit_counts audit_counts(struct audit *audit)
{
    pthread_mutex_lock(&audit->lock);
    struct audit_counts counts = audit->counts;
    pthread_mutex_unlock(&audit->lock);
    return counts;
}
