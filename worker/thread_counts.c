// thread_counts.c: what 0 means. Decoding is at most half of what a job costs the host, so half of the
// processors are enough for it. Drawing maps is the other half, but those threads also wait for the object
// store, and a thread more on two processors costs nothing, twelve more a tenth of all (docs/PERFORMANCE.md).
#include "worker/thread_counts.h"

#include <string.h>

#include "common/base/processors.h"

enum { POSTPROCESS_LEAST = 4, MOST = 64 };

int thread_count(const struct config *config, const char *option)
{
    int count = (int)config_integer(config, option);
    if (count > 0)
        return count;
    bool stores = strcmp(option, "postprocess_threads") == 0;
    int least = stores ? POSTPROCESS_LEAST : 1;
    count = stores ? processors_usable() : processors_usable() / 2;
    return count < least ? least : count > MOST ? MOST : count;
}

int thread_count_at_services(const struct config *config)
{
    return 2 * thread_count(config, "fetch_threads") + thread_count(config, "postprocess_threads");
}
