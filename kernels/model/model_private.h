// model_private.h: what reading and writing of a model directory share.
#ifndef SKINSIGHT_KERNELS_MODEL_MODEL_PRIVATE_H
#define SKINSIGHT_KERNELS_MODEL_MODEL_PRIVATE_H

#include "kernels/model/model.h"

#define MODEL_SCHEMA        "skinsight.model.v1"
#define MODEL_PREPROCESSING "v1" // what kernels/image/preprocess.c does
#define MODEL_MANIFEST      "manifest.json"

// 1 to 64 of [A-Za-z0-9_.-], and MAJOR.MINOR.PATCH.
bool model_is_token(const char *text);
bool model_is_version(const char *text);

#endif
