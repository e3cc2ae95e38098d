// fuzz_drift_reference.c: any bytes as a reference of drift. What is accepted can be written, what was
// written is read as the same reference, and a window can be compared with it.
#include <stdlib.h>

#include "monitor/drift/compare.h"
#include "monitor/drift/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void write_and_read(const struct drift_reference *reference, struct drift_reference *again)
{
    struct buffer first, second;
    struct error err;
    buffer_init(&first, SIZE_MAX);
    buffer_init(&second, SIZE_MAX);
    check(drift_reference_write(reference, &first, &err) == STATUS_OK);
    check(drift_reference_parse(buffer_bytes(&first), again, &err) == STATUS_OK);
    check(drift_reference_write(again, &second, &err) == STATUS_OK);
    check(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
    buffer_release(&first);
    buffer_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct drift_reference *reference = drift_reference_new(), *again = drift_reference_new();
    struct error err = {""};
    if (drift_reference_parse((struct bytes){data, size}, reference, &err) == STATUS_OK) {
        struct drift_difference differences[DRIFT_FEATURES];
        const struct drift_tally *all = &reference->strata[0].tally;
        drift_compare(all, all, &reference->bins, differences);
        for (int i = 0; i < DRIFT_FEATURES; i++)
            check(differences[i].insufficient || differences[i].kl < 1e-9);
        write_and_read(reference, again);
    } else {
        check(err.message[0] != '\0');
    }
    drift_reference_free(reference);
    drift_reference_free(again);
    return 0;
}
