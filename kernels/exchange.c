// exchange.c: what is made of sums, and that one process has nothing to add up.
#include "kernels/exchange.h"

#include <assert.h>
#include <string.h>

enum status exchange_sum_floats(struct exchange *exchange, float *values, size_t count, struct error *err)
{
    return exchange ? exchange->ops->sum_floats(exchange, values, count, err) : STATUS_OK;
}

enum status exchange_sum_doubles(struct exchange *exchange, double *values, size_t count, struct error *err)
{
    return exchange ? exchange->ops->sum_doubles(exchange, values, count, err) : STATUS_OK;
}

int exchange_rank(const struct exchange *exchange)
{
    return exchange ? exchange->rank : 0;
}

int exchange_size(const struct exchange *exchange)
{
    return exchange ? exchange->size : 1;
}

// The first failed one's sentence, a byte in each sum to which only that process adds.
static enum status share_sentence(struct exchange *exchange, int from, struct error *err)
{
    double bytes[sizeof err->message] = {0};
    for (size_t i = 0; exchange->rank == from && i < sizeof err->message && err->message[i]; i++)
        bytes[i] = (unsigned char)err->message[i];
    enum status status = exchange_sum_doubles(exchange, bytes, sizeof err->message, err);
    for (size_t i = 0; status == STATUS_OK && i < sizeof err->message; i++)
        err->message[i] = (char)(unsigned char)bytes[i];
    return status;
}

enum status exchange_agree(struct exchange *exchange, enum status status, struct error *err)
{
    double statuses[EXCHANGE_MOST_PROCESSES] = {0};
    int first = 0;
    if (!exchange)
        return status;
    statuses[exchange->rank] = status;
    enum status lost = exchange_sum_doubles(exchange, statuses, (size_t)exchange->size, err);
    if (lost != STATUS_OK)
        return lost;
    while (first < exchange->size && statuses[first] == STATUS_OK)
        first++;
    if (first == exchange->size)
        return STATUS_OK;
    lost = share_sentence(exchange, first, err);
    return lost == STATUS_OK ? (enum status)statuses[first] : lost;
}

// All are the same where none differs from the mean; then every sum is exact.
enum status exchange_compare(struct exchange *exchange, const struct digest *digest, bool *same,
                             struct error *err)
{
    double bytes[sizeof digest->value], differing = 0;
    for (size_t i = 0; i < sizeof digest->value; i++)
        bytes[i] = digest->value[i];
    enum status status = exchange_sum_doubles(exchange, bytes, sizeof digest->value, err);
    for (size_t i = 0; i < sizeof digest->value; i++)
        differing += bytes[i] != (double)digest->value[i] * exchange_size(exchange);
    if (status == STATUS_OK)
        status = exchange_sum_doubles(exchange, &differing, 1, err);
    *same = differing == 0;
    return status;
}

void exchange_share(int rank, int size, int count, int *begin, int *end)
{
    assert(rank >= 0 && rank < size && count >= 0);
    *begin = (int)((long long)count * rank / size);
    *end = (int)((long long)count * (rank + 1) / size);
}

int exchange_middle(const struct exchange *exchange, int count)
{
    int begin, middle;
    exchange_share(0, 2, count, &begin, &middle);
    return exchange_size(exchange) == 1 && middle > 0 ? middle : count;
}
