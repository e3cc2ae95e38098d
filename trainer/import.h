// import.h: makes a model directory from a weights file with timm's names, or from a seed.
//
// Positions learnt at another image size are interpolated (network_fit_weights). LayerScale is multiplied
// into the layers in front of it (kernels/model/layer_scale.h).
// Every tensor of the network must be there, and no tensor may be left over: a file with more in it belongs
// to another network, even where the names agree. Of the head (the last linear layer) 8 rows are kept; 1,000
// or 21,843 rows (ImageNet's) or no head at all are replaced by a fresh one; anything else is refused.
#ifndef SKINSIGHT_TRAINER_IMPORT_H
#define SKINSIGHT_TRAINER_IMPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/program/config.h"

struct import_options {
    const char *architecture;
    int image_size;            // 0: 224
    const char *weights;       // file; NULL: random weights of the seed
    const char *directory;     // to make; may exist, but not as a model
    const char *name;          // NULL or empty: from the architecture, "vit-base"
    const char *model_version; // NULL or empty: "<name>-v0.1.0"; its -vX.Y.Z gives the version, else 0.1.0
    uint64_t seed;             // of the fresh head, or of everything
};

struct import_result {
    char model_version[65];
    bool trained;      // the head of the file was kept
    int64_t head_rows; // rows of the head that was replaced; 0: there was none
    bool blind;        // the first known images have the same answer: the weights may be damaged
};

// REJECTED names the tensor or option that does not fit; nothing is written then.
enum status import_model(const struct import_options *options, struct import_result *result,
                         struct error *err) MUST_CHECK;

// The subcommand `import`.
extern const struct option import_flags[];
enum status import_check(const struct config *config, struct error *err) MUST_CHECK; // wrong usage
enum status import_command(struct config *config, struct error *err) MUST_CHECK;

#endif
