// latency.c: an exponentially weighted mean for each batch size.
#include "worker/latency.h"

void latency_learn(struct latency_table *table, int count, int64_t elapsed_us)
{
    long long known = atomic_load(&table->us[count]);
    atomic_store(&table->us[count], known == 0 ? elapsed_us : known + (elapsed_us - known) / 4);
}

int64_t latency_predict_us(const struct latency_table *table, int count)
{
    for (int size = count; size >= 1; size--) {
        long long known = atomic_load(&table->us[size]);
        if (known > 0)
            return known * count / size;
    }
    for (int size = count + 1; size <= BATCH_LIMIT; size++) {
        long long known = atomic_load(&table->us[size]);
        if (known > 0)
            return known;
    }
    return 0;
}
