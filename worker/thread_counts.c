// thread_counts.c: what 0 means. Decoding is a third of what a job with a small image costs the host and
// three quarters with a large one, so it may take every processor; a thread too many costs nothing. Those
// that draw maps also wait for the object store: four on two processors cost nothing, sixteen a tenth of all
// (docs/PERFORMANCE.md).
#include "worker/thread_counts.h"

#include <string.h>

#include "common/base/processors.h"

enum { POSTPROCESS_LEAST = 4, MOST = 64 };

int thread_count(const struct config *config, const char *option)
{
    int count = (int)config_integer(config, option);
    if (count > 0)
        return count;
    int least = strcmp(option, "postprocess_threads") == 0 ? POSTPROCESS_LEAST : 1;
    count = processors_usable();
    return count < least ? least : count > MOST ? MOST : count;
}

int thread_count_at_services(const struct config *config)
{
    return 2 * thread_count(config, "fetch_threads") + thread_count(config, "postprocess_threads");
}
