// batch.c: records of one transaction, from their JSON.
#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "monitor/archive/archive_internal.h"

enum { TEXT_MOST = 64 << 10 };

struct archive_batch *archive_batch_new(void)
{
    struct archive_batch *batch = memory_alloc(sizeof *batch);
    batch->predictions = memory_alloc(ARCHIVE_BATCH_MOST * sizeof *batch->predictions);
    batch->feedback = memory_alloc(ARCHIVE_BATCH_MOST * sizeof *batch->feedback);
    buffer_init(&batch->text, TEXT_MOST);
    return batch;
}

void archive_batch_free(struct archive_batch *batch)
{
    if (!batch)
        return;
    free(batch->predictions);
    free(batch->feedback);
    buffer_release(&batch->text);
    free(batch);
}

void archive_batch_clear(struct archive_batch *batch)
{
    batch->prediction_count = batch->feedback_count = 0;
}

size_t archive_batch_count(const struct archive_batch *batch)
{
    return batch->prediction_count + batch->feedback_count;
}

int64_t short_digest(struct bytes bytes)
{
    struct digest digest = digest_of(bytes.data, bytes.size);
    uint64_t bits;
    memcpy(&bits, digest.value, sizeof bits);
    return (int64_t)(be64toh(bits) >> 1);
}

int64_t archive_witness(struct bytes value)
{
    return short_digest(value);
}

static int64_t imported_digest(struct bytes value, const struct archive_origin *origin)
{
    return origin->partition == ARCHIVE_IMPORTED ? short_digest(value) : -1;
}

// analysis_read has kept the texts within their sizes.
static const char *keep(char *to, size_t size, const char *text)
{
    size_t length = strlen(text);
    assert(length < size);
    memcpy(to, text, length + 1);
    return to;
}

static void keep_texts(struct prediction_row *row)
{
    struct analysis *analysis = &row->analysis;
    analysis->site = keep(row->site, sizeof row->site, analysis->site);
    analysis->subject = keep(row->subject, sizeof row->subject, analysis->subject);
    analysis->capture_device =
        keep(row->capture_device, sizeof row->capture_device, analysis->capture_device);
    analysis->lesion_location =
        keep(row->lesion_location, sizeof row->lesion_location, analysis->lesion_location);
    analysis->model_version = keep(row->model_version, sizeof row->model_version, analysis->model_version);
    analysis->precision = keep(row->precision, sizeof row->precision, analysis->precision);
    analysis->device = keep(row->device, sizeof row->device, analysis->device);
    analysis->error_code = keep(row->error_code, sizeof row->error_code, analysis->error_code);
}

// What is imported has no topic that would say when it came.
static enum status check_import(const struct prediction *prediction, const struct archive_origin *origin,
                                struct error *err)
{
    int64_t published = prediction->provenance.moments[MOMENT_PUBLISHED];
    if (origin->partition != ARCHIVE_IMPORTED || (published >= 0 && published <= origin->received_at))
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "its time 'published' is missing or still to come");
}

enum status archive_batch_add_prediction(struct archive_batch *batch, struct bytes value,
                                         const struct archive_origin *origin, struct error *err)
{
    struct prediction prediction;
    assert(batch->prediction_count < ARCHIVE_BATCH_MOST);
    struct prediction_row *row = &batch->predictions[batch->prediction_count];
    enum status status = prediction_parse(value, &prediction, err);
    if (status != STATUS_OK)
        return status;
    status = check_import(&prediction, origin, err);
    if (status == STATUS_OK)
        status = analysis_read(&prediction, origin->received_at, &row->analysis, err);
    if (status == STATUS_OK) {
        row->log = origin->log;
        row->digest = imported_digest(value, origin);
        row->analysis.partition = origin->partition;
        row->analysis.offset = origin->offset;
        keep_texts(row);
        batch->prediction_count++;
    }
    prediction_release(&prediction);
    return status;
}

enum status archive_batch_add_feedback(struct archive_batch *batch, struct bytes value,
                                       const struct archive_origin *origin, struct error *err)
{
    assert(batch->feedback_count < ARCHIVE_BATCH_MOST);
    struct feedback_row *row = &batch->feedback[batch->feedback_count];
    int64_t received_at = origin->received_at;
    enum status status =
        feedback_parse(value, received_at >= 0 ? received_at : clock_wall_ms(), &row->feedback, err);
    if (status == STATUS_OK && row->feedback.reviewed_at < ANALYSIS_REVIEW_FIRST_MS)
        status = error_set(err, STATUS_REJECTED, "wrong time order: field 'reviewed_at' lies before 1990");
    if (status != STATUS_OK)
        return status;
    buffer_clear(&batch->text);
    status = feedback_write(&row->feedback, &batch->text, err);
    if (status != STATUS_OK)
        return status;
    row->log = origin->log;
    row->digest = imported_digest(value, origin);
    row->partition = origin->partition;
    row->offset = origin->offset;
    row->at =
        origin->partition == ARCHIVE_IMPORTED || received_at < 0 ? row->feedback.reviewed_at : received_at;
    row->content = short_digest(buffer_bytes(&batch->text));
    batch->feedback_count++;
    return STATUS_OK;
}
