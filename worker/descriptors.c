// descriptors.c: how many are needed, and getting them. Thread: main, before any other is started.
#include "worker/descriptors.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "worker/thread_counts.h"

// One broker takes about 30, each other one 6 more, and there are the listener's connections. A thread that
// fetches, loads or stores holds a connection to Redis, and three files or a connection to the object store.
enum { BASE = 64, PER_THREAD = 4 };

long descriptors_needed(const struct config *config)
{
    return BASE + PER_THREAD * (long)thread_count_at_services(config);
}

enum status descriptors_claim(const struct config *config, struct error *err)
{
    struct rlimit limit;
    rlim_t needed = (rlim_t)descriptors_needed(config);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return error_set(err, STATUS_FATAL, "RLIMIT_NOFILE can't be read: %s", strerror(errno));
    if (limit.rlim_cur >= needed)
        return STATUS_OK;
    rlim_t allowed = limit.rlim_cur = limit.rlim_max;
    if (allowed < needed || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return error_set(err, STATUS_REJECTED,
                         "RLIMIT_NOFILE allows %llu open files and connections, %llu are needed (ulimit -n)",
                         (unsigned long long)allowed, (unsigned long long)needed);
    return STATUS_OK;
}
