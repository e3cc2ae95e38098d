// weights_private.h: what the files of the weights module share.
#ifndef SKINSIGHT_KERNELS_MODEL_WEIGHTS_PRIVATE_H
#define SKINSIGHT_KERNELS_MODEL_WEIGHTS_PRIVATE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "common/base/bytes.h"
#include "kernels/model/weights.h"

enum { WEIGHTS_PREFIX_SIZE = 8, WEIGHTS_MAX_HEADER_SIZE = 16 << 20, WEIGHTS_MAX_TENSORS = 10000 };
#define WEIGHTS_MAX_FILE_SIZE ((uint64_t)16 << 30)

struct dtype_info {
    const char *name; // in the file
    size_t size;      // bytes of a value
};
extern const struct dtype_info dtype_infos[DTYPE_COUNT];

struct weight_entry {
    struct weight weight;
    void *owned;       // values of weights_add, freed with the set; NULL when they lie in the mapping
    size_t not_finite; // after the check: index of the first NaN or infinity, or weight.count
};

struct weights {
    uint8_t *map; // the whole file; NULL for a set made in memory
    size_t map_size;
    char *path;
    int file;                     // of the mapping
    struct stat opened;           // of the file before any of it was read
    struct weight_entry *entries; // in the order of their data
    size_t count, capacity;
    bool checked; // the entries' not_finite are known
};

// A new zeroed tensor at the end; pointers to earlier ones become invalid.
struct weight *weights_append(struct weights *weights);

// From now on, until weights_unwatch, a page of the mapping that is gone is told of (weights_explain_sigbus).
void weights_watch(struct weights *weights);
void weights_unwatch(struct weights *weights);

// Checks the bytes of a whole file and appends its tensors, which point into them. REJECTED says what is
// wrong.
enum status weights_parse(struct weights *weights, struct bytes file, struct error *err) MUST_CHECK;

#endif
