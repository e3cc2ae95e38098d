// lineage.h: what a model has learnt from before: the record of the model that a training starts from, or of
// its teacher, and the data of all those before them. Whoever judges a model asks it, since images that an
// ancestor was trained on are not new to it. Main thread.
//
// In a manifest's `training`: `init` and `teacher`, the record of that model with its `weights_sha256` and
// `model_version`, without its own ancestors; and `learnt_from`, the data_sha256 of all of them, so that a
// long line of trainings stays short; "unknown" of a trained one that has no record.
#ifndef SKINSIGHT_TRAINER_LINEAGE_H
#define SKINSIGHT_TRAINER_LINEAGE_H

#include "kernels/model/model.h"

// A model that a training begins with. Zeroed: none.
struct origin {
    char weights_sha256[DIGEST_TEXT_SIZE];
    struct cJSON *record; // ours
};
void origin_take(struct origin *origin, const struct manifest *manifest);
void origin_release(struct origin *origin);

// Puts an origin under its name ("init", "teacher"), and what it has learnt from, into a training's record;
// nothing of a zeroed one.
void lineage_add(struct cJSON *training, const char *name, const struct origin *origin);
// Whether the record (NULL is allowed) names other data, or another split of them, than those of the digest.
bool lineage_names_others(const struct cJSON *training, const struct digest *data);
// The same of a model, which also may be trained and not say on what.
bool lineage_has_others(const struct manifest *manifest, const struct digest *data);

#endif
