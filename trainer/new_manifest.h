// new_manifest.h: the manifest of a model directory that a command makes.
#ifndef SKINSIGHT_TRAINER_NEW_MANIFEST_H
#define SKINSIGHT_TRAINER_NEW_MANIFEST_H

#include "kernels/model/model.h"

#define NEW_WEIGHTS_FILE "model.safetensors"

struct model_names {
    const char *name;          // NULL or empty: from the architecture, "vit-base"
    const char *model_version; // NULL or empty: "<name>-v0.1.0"; its -vX.Y.Z gives the version, else 0.1.0
};

// name, model_version and the version in it. REJECTED: no names that a job can ask for.
enum status new_manifest_names(const struct model_names *names, const char *architecture,
                               struct manifest *manifest, struct error *err) MUST_CHECK;
// All else that follows from the network: float32 weights, pictures resized to 32 pixels more than its side,
// temperature 1, licence "not stated".
void new_manifest_fill(const struct network *network, bool trained, struct manifest *manifest);

#endif
