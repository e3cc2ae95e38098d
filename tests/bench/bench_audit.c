// bench_audit.c: entries of the audit a second, each waited for as a gateway's request would.
//
//     bench_audit sqlite:///tmp/audit.db [WRITERS] [SECONDS]        (64 and 5)
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/audit/audit.h"
#include "common/base/clock.h"
#include "common/base/memory.h"

enum { WRITERS_MOST = 1024, WAITS_MOST = 1 << 22 };

static struct audit *audit;
static int64_t end_us;
static atomic_int waits;
static int32_t *waited_us; // of each entry

static void *append_until_the_end(void *context)
{
    (void)context;
    struct audit_entry entry = {
        .action = AUDIT_ANSWER_READ, .actor = "dr-lee", .site = "north", .outcome = "ok"};
    strcpy(entry.request_id, "6f1c1b52-7d3c-4a53-9d53-0a4f6b1f2f11");
    for (int64_t start_us; (start_us = clock_monotonic_us()) < end_us;) {
        struct error err;
        if (audit_append(audit, &entry, &err) != STATUS_OK) {
            fprintf(stderr, "%s\n", err.message);
            exit(1);
        }
        int place = atomic_fetch_add(&waits, 1);
        if (place < WAITS_MOST)
            waited_us[place] = (int32_t)(clock_monotonic_us() - start_us);
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    return (*(const int32_t *)a > *(const int32_t *)b) - (*(const int32_t *)a < *(const int32_t *)b);
}

int main(int argc, char **argv)
{
    int writers = argc > 2 ? atoi(argv[2]) : 64, seconds = argc > 3 ? atoi(argv[3]) : 5;
    pthread_t threads[WRITERS_MOST];
    struct error err;
    if (argc < 2 || writers < 1 || writers > WRITERS_MOST || seconds < 1) {
        fprintf(stderr, "usage: bench_audit STORE-URL [WRITERS] [SECONDS]\n");
        return 2;
    }
    const struct audit_options options = {
        .store = {.url = argv[1], .timeout_ms = 10000}, .chain = "bench", .sign_interval_ms = 3600 * 1000};
    if (audit_open(&audit, &options, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    waited_us = memory_alloc(WAITS_MOST * sizeof *waited_us);
    end_us = clock_monotonic_us() + (int64_t)seconds * 1000000;
    for (int i = 0; i < writers; i++)
        pthread_create(&threads[i], NULL, append_until_the_end, NULL);
    for (int i = 0; i < writers; i++)
        pthread_join(threads[i], NULL);
    audit_close(audit);
    int count = atomic_load(&waits);
    int kept = count < WAITS_MOST ? count : WAITS_MOST;
    qsort(waited_us, (size_t)kept, sizeof *waited_us, compare);
    printf("%d writers: %.0f entries/s, waited %.1f ms median, %.1f ms p99\n", writers,
           (double)count / seconds, waited_us[kept / 2] / 1e3, waited_us[(int64_t)kept * 99 / 100] / 1e3);
    free(waited_us);
    return 0;
}
