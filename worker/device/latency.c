// latency.c: an exponentially weighted mean for each batch size.
#include "worker/device/latency.h"

#include <stdbool.h>

enum { OUTLIER = 2, STALE_US = 1000000, STALE_ESTIMATES = 2 };

static int64_t estimate_us(const struct latency_table *table, int count)
{
    int64_t estimate = 0;
    for (int size = count; size >= 1 && estimate == 0; size--)
        estimate = atomic_load(&table->us[size]) * count / size;
    for (int size = count + 1; size <= BATCH_LIMIT; size++) {
        int64_t known = atomic_load(&table->us[size]);
        if (known > 0 && (estimate == 0 || known < estimate))
            estimate = known;
    }
    return estimate;
}

int64_t latency_predict_us(const struct latency_table *table, int count, int64_t now_us)
{
    int64_t estimate = estimate_us(table, count);
    bool stale = now_us - atomic_load(&table->learnt_at_us) > STALE_US + STALE_ESTIMATES * estimate;
    return stale ? 0 : estimate;
}

// A process that was stopped meanwhile, or one busy moment, says little about the device: what comes far too
// late counts as twice the mean. A mean that was given up gives way at once to a better time.
void latency_learn(struct latency_table *table, int count, int64_t elapsed_us, int64_t now_us)
{
    long long known = atomic_load(&table->us[count]), learnt = known + (elapsed_us - known) / 4;
    if (elapsed_us > OUTLIER * known)
        learnt = known + (OUTLIER - 1) * known / 4;
    if (known == 0 || (elapsed_us < known && latency_predict_us(table, count, now_us) == 0))
        learnt = elapsed_us;
    atomic_store(&table->us[count], learnt);
    atomic_store(&table->learnt_at_us, now_us);
}
