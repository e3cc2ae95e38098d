// storage.h: the type in which a device keeps a tensor's values: that of the products that read them. Read by
// the C and the CUDA compiler alike.
#ifndef SKINSIGHT_KERNELS_STORAGE_H
#define SKINSIGHT_KERNELS_STORAGE_H

#include <stddef.h>

#include "kernels/network/precision.h"

enum storage {
    STORE_FP32 = PRECISION_FP32,
    STORE_FP16 = PRECISION_FP16,
    STORE_BF16 = PRECISION_BF16,
    STORE_UINT8 = PRECISION_INT8, // with a scale and a zero for each row
    STORAGE_COUNT = PRECISION_COUNT
};

static inline size_t storage_size(enum storage storage)
{
    return storage == STORE_FP32 ? 4 : storage == STORE_UINT8 ? 1 : 2;
}

#endif
