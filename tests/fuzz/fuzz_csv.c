// fuzz_csv.c: any bytes as a table. Every field that is given out must be a text inside the table.
#include <stdlib.h>
#include <string.h>

#include "common/base/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csv csv;
    struct error err;
    if (csv_parse((struct bytes){data, size}, &csv, &err) == STATUS_OK)
        for (size_t row = 0; row < csv.rows; row++)
            for (int column = 0; column < csv.columns; column++) {
                const char *field = csv_field(&csv, row, column);
                if (field < csv.text || field + strlen(field) > csv.text + size)
                    abort();
            }
    csv_release(&csv);
    return 0;
}
