// tuning.h: the choices of library.h in a small text file: one line for each family of products, of any
// device and version of the library: device, version, family and choice, parted by tabs. The last line for a
// family counts.
//
// Thread: one.
#ifndef SKINSIGHT_KERNELS_CUDA_TUNING_H
#define SKINSIGHT_KERNELS_CUDA_TUNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct library_choice {
    bool library; // else our own product
    uint64_t algorithm[8];
};

enum { TUNING_MAX_ENTRIES = 256, TUNING_FAMILY_SIZE = 64 };

struct tuning_entry {
    char family[TUNING_FAMILY_SIZE];
    struct library_choice choice;
};

struct tuning {
    char path[512]; // empty: nowhere to keep it
    char device[96];
    size_t version; // of the library
    struct tuning_entry entries[TUNING_MAX_ENTRIES];
    int count;
};

// Reads what the file has for this device and version; a missing file is an empty one, lines that can't be
// read are passed over.
void tuning_load(struct tuning *tuning, const char *device, size_t version);
// NULL when there is none.
const struct library_choice *tuning_find(const struct tuning *tuning, const char *family);
// Adds the choice, and appends it to the file where that can be written.
void tuning_add(struct tuning *tuning, const char *family, const struct library_choice *choice);
// Differs where device, version or entries do.
uint32_t tuning_digest(const struct tuning *tuning);

#endif
