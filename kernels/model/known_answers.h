// known_answers.h: images made from seeds, and the logits that a model gives for them. The file
// known_answers.json of a model directory ("skinsight.known_answers.v1", docs/FORMATS.md) holds them as they
// were computed when the directory was made; a worker compares its own device with them before it takes jobs.
//
// Byte i of the view of a seed is the top byte of random_weights_bits(seed, "known_answer", i): the same
// noise on every machine, so no image has to be stored. No state, any thread.
#ifndef SKINSIGHT_KERNELS_MODEL_KNOWN_ANSWERS_H
#define SKINSIGHT_KERNELS_MODEL_KNOWN_ANSWERS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/records/lesion.h"

#define KNOWN_ANSWERS_FILE "known_answers.json"

enum { KNOWN_ANSWERS_DEFAULT = 2, KNOWN_ANSWERS_MOST = 8 };

struct known_answers {
    int count; // 1..KNOWN_ANSWERS_MOST
    uint64_t seeds[KNOWN_ANSWERS_MOST];
    float logits[KNOWN_ANSWERS_MOST][LESION_CLASSES];
};

// Seeds 1 to KNOWN_ANSWERS_DEFAULT, logits 0.
void known_answers_init(struct known_answers *known);
void known_answers_view(uint64_t seed, uint8_t *view, size_t size);

// REJECTED names the field.
enum status known_answers_parse(struct bytes json, struct known_answers *known, struct error *err) MUST_CHECK;
// The file, refused where its SHA-256 is another one. REJECTED or FATAL; the sentence names the path.
enum status known_answers_read(const char *path, const struct digest *sha256, struct known_answers *known,
                               struct error *err) MUST_CHECK;
// The JSON text; the caller frees it.
char *known_answers_text(const struct known_answers *known);

#endif
