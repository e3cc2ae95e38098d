// fuzz_prices.c: any bytes as a table of prices: no cost is negative.
#include <stdlib.h>

#include "monitor/service/cost.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct price_table table;
    struct error err;
    if (price_table_parse((struct bytes){data, size}, &table, &err) == STATUS_OK &&
        !(cost_per_1000(&table, 2, 1) >= 0 && cost_of_training(&table, 4, 10) >= 0))
        abort();
    return 0;
}
