// fuzz_predictions.c: any bytes as a table of predictions. What is taken has labels and probabilities that
// figures can be computed from, and comes back the same when it is written and read again.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/predictions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_row(const struct prediction_row *row, const struct prediction_row *again)
{
    bool sound = row->label >= 0 && row->label < LESION_CLASSES && row->file && row->lesion &&
                 strcmp(row->file, again->file) == 0 && strcmp(row->lesion, again->lesion) == 0 &&
                 row->label == again->label && row->atypical == again->atypical;
    for (int i = 0; i < LESION_CLASSES; i++)
        sound = sound && row->p[i] >= 0 && row->p[i] <= 1 && row->p[i] == again->p[i];
    if (!sound)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct predictions predictions, again;
    struct buffer text;
    struct error err;
    if (predictions_parse((struct bytes){data, size}, &predictions, &err) != STATUS_OK)
        return 0;
    buffer_init(&text, (size_t)64 << 20);
    if (predictions_write(&predictions, &text, &err) != STATUS_OK ||
        predictions_parse(buffer_bytes(&text), &again, &err) != STATUS_OK || again.count != predictions.count)
        abort();
    for (size_t i = 0; i < predictions.count; i++)
        check_row(&predictions.rows[i], &again.rows[i]);
    predictions_release(&again);
    predictions_release(&predictions);
    buffer_release(&text);
    return 0;
}
