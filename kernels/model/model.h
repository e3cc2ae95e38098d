// model.h: a model directory: manifest.json ("skinsight.model.v1", docs/FORMATS.md), model.safetensors,
// known_answers.json (known_answers.h), reference.safetensors (reference.h), card.md for people. A weights
// file whose SHA-256 differs from the manifest is never loaded.
#ifndef SKINSIGHT_KERNELS_MODEL_MODEL_H
#define SKINSIGHT_KERNELS_MODEL_MODEL_H

#include <stdbool.h>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "kernels/image/preprocess.h"
#include "kernels/model/agreement.h"
#include "kernels/model/known_answers.h"
#include "kernels/model/ood.h"
#include "kernels/model/weights.h"
#include "kernels/network/network.h"

enum { MODEL_TEXT_SIZE = 65 };
#define MANIFEST_NO_LICENCE "not stated" // the licence of a model that nobody gave one

// The probability from which an image might be called melanoma, as an evaluation found it on validation
// images. Nothing uses it: a policy's thresholds are a person's to write.
struct melanoma_proposal {
    bool given;
    double threshold, sensitivity, specificity; // 0 to 1
};

struct manifest {
    char name[MODEL_TEXT_SIZE];          // "vit-base"
    char version[MODEL_TEXT_SIZE];       // "2.1.0"
    char model_version[MODEL_TEXT_SIZE]; // "vit-base-v2.1.0": what jobs name
    char architecture[MODEL_TEXT_SIZE];  // "vit_base_patch16_224"
    int image_size;
    struct preprocessing preprocessing;
    float temperature; // logits are divided by it before the softmax
    char weights_file[MODEL_TEXT_SIZE];
    struct digest weights_sha256;
    char weights_dtype[8];                    // weights_dtype of the file
    char known_answers_file[MODEL_TEXT_SIZE]; // empty: none, as in directories of before there were any
    struct digest known_answers_sha256;
    char reference_file[MODEL_TEXT_SIZE]; // empty: none
    struct digest reference_sha256;
    struct calibration calibration; // images 0: none
    bool trained;                   // false: the diagnoses mean nothing, and every screen says so
    char licence[MODEL_TEXT_SIZE];
    struct melanoma_proposal proposal;
    struct cJSON *training; // the record of the training, for people; NULL: none
};

struct model {
    struct manifest manifest;
    struct network *network;
    struct weights *weights;
    char *weights_path;
    struct known_answers known_answers; // count 0 where the manifest names none
    struct ood_reference *reference;    // NULL where the manifest names none
};

// Reads the manifest, maps the weights, checks digest, shapes and values. Positions learnt at another image
// size than the manifest's are interpolated. REJECTED names the file and what is wrong;
// FATAL: one that can't be read.
enum status model_open(struct model **model, const char *directory, struct error *err) MUST_CHECK;
void model_close(struct model *model); // NULL is allowed

// What a directory holds beside manifest and weights.
struct model_extras {
    const struct known_answers *known;     // NULL: none
    const struct ood_reference *reference; // NULL: none
};
// Writes a directory: the manifest last, through a temporary name, so that a directory with a manifest is
// whole. Fills in the digests and the weights' type. FATAL when it can't be written; REJECTED when the
// directory already has a manifest.
enum status model_save(const char *directory, struct manifest *manifest, const struct weights *weights,
                       const struct model_extras *extras, struct error *err) MUST_CHECK;
// Puts another reference in the place of a directory's, and fills it in in the manifest, which is the
// directory's. Whole at any time: meanwhile it has none. FATAL: it can't be written.
enum status model_replace_reference(const char *directory, struct manifest *manifest,
                                    const struct ood_reference *reference, struct error *err) MUST_CHECK;
// Puts another manifest in the place of a directory's, for the same files. FATAL: it can't be written, and
// the old one stays.
enum status manifest_replace(const char *directory, const struct manifest *manifest,
                             struct error *err) MUST_CHECK;
// The manifest alone, for those who need no weights. REJECTED names the file and what is wrong; FATAL: it
// can't be read.
enum status manifest_read(const char *directory, struct manifest *manifest, struct error *err) MUST_CHECK;
enum status manifest_parse(struct bytes json, struct manifest *manifest, struct error *err) MUST_CHECK;
void manifest_release(struct manifest *manifest); // safe on a zeroed one, and after REJECTED

#endif
