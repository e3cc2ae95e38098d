// fuzz_analysis.c: any bytes as a terminal record on its way into the monitor's archive. What is accepted has
// names, numbers and times that reports can count, fits into its row, and is taken when it is read from
// there.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/archive/archive_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_result(const struct analysis *analysis)
{
    double sum = 0;
    check(analysis->class >= 0 && analysis->class < LESION_CLASSES);
    check(analysis->action >= 0 && analysis->action < ACTION_COUNT);
    check(analysis->confidence >= 0 && analysis->confidence <= 1);
    for (int i = 0; i < LESION_CLASSES; i++)
        sum += analysis->probabilities[i];
    check(isnan(sum) || fabs(sum - 1) < 1e-4);
}

static void check_row(const struct prediction_row *row)
{
    struct row_bytes bytes;
    struct sql_value values[PREDICTION_COLUMN_COUNT];
    check(prediction_row_holds(&row->analysis));
    prediction_row_fill(row, 7, &bytes, values);
    for (int i = 0; i < PREDICTION_COLUMN_COUNT; i++) {
        check(values[i].type != SQL_TEXT || values[i].bytes.size < JOB_TOKEN_SIZE);
        check(values[i].type != SQL_BLOB || values[i].bytes.size <= sizeof bytes.numbers);
        check(values[i].type != SQL_NULL || i == 3); // digest
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t received_at = 1795420685370;
    static struct archive_batch *batch;
    const struct archive_origin origin = {1, 3, 7, received_at};
    struct error err = {""};
    if (!batch)
        batch = archive_batch_new();
    archive_batch_clear(batch);
    if (archive_batch_add_prediction(batch, (struct bytes){data, size}, &origin, &err) != STATUS_OK) {
        check(err.message[0] != '\0' && archive_batch_count(batch) == 0);
        return 0;
    }
    const struct prediction_row *row = &batch->predictions[0];
    check(row->analysis.at >= 0 && row->analysis.at <= received_at + 5 * 60 * 1000);
    if (!*row->analysis.error_code)
        check_result(&row->analysis);
    check_row(row);
    return 0;
}
