// predictions.h: what a model said of labelled images, as predictions.csv holds it (docs/FORMATS.md): the
// file from which every figure of a report can be computed again.
//
// The table owns its texts; any thread may read it.
#ifndef SKINSIGHT_TRAINER_PREDICTIONS_H
#define SKINSIGHT_TRAINER_PREDICTIONS_H

#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/records/lesion.h"

#define PREDICTIONS_FILE "predictions.csv"

struct prediction_row {
    char *file, *lesion; // lesion "": not known
    struct digest sha256;
    int label;
    double p[LESION_CLASSES];
    int atypical; // -1: not known
};

struct predictions {
    struct prediction_row *rows;
    size_t count;
};

// Room for count rows, zeroed but for atypical.
void predictions_init(struct predictions *predictions, size_t count);
void predictions_release(struct predictions *predictions); // a zeroed one is allowed

// The class with the greatest probability, the first of equals.
int prediction_said(const struct prediction_row *row);
// probabilities = softmax(logits / temperature), in double.
void prediction_set(struct prediction_row *row, const float logits[LESION_CLASSES], double temperature);

// Numbers the lesions of rows[subset[i]]: clusters[i] gets 0 .. result - 1. A row without a lesion is one of
// its own, with copies of its file.
size_t predictions_lesions(const struct predictions *predictions, const size_t *subset, size_t count,
                           uint32_t *clusters);

// REJECTED says what is wrong and in which line: a column that is missing, a digest, label or probability
// that is none, probabilities whose sum is not 1 to 1e-3, no rows, more than the limits.
enum status predictions_parse(struct bytes data, struct predictions *predictions,
                              struct error *err) MUST_CHECK;
// predictions.csv of an evaluation's folder; the sentence names the path.
enum status predictions_read(const char *folder, struct predictions *predictions,
                             struct error *err) MUST_CHECK;
// Appends the table as CSV; probabilities have 17 significant digits. REJECTED or FATAL as buffer_append.
enum status predictions_write(const struct predictions *predictions, struct buffer *out,
                              struct error *err) MUST_CHECK;

#endif
