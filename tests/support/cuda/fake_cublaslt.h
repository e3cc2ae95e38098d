// fake_cublaslt.h: what a test may set and ask of the cuBLASLt that fake_cublaslt.c plays.
#ifndef SKINSIGHT_TESTS_SUPPORT_CUDA_FAKE_CUBLASLT_H
#define SKINSIGHT_TESTS_SUPPORT_CUDA_FAKE_CUBLASLT_H

#include <stdbool.h>
#include <stddef.h>

// What it proposes, in this order, as algorithm[0] of a choice.
enum fake_algorithm {
    FAKE_SPLITS = 1, // adds parts of k in another order
    FAKE_FEW_ROWS,   // its check refuses the rows of 64 images
    FAKE_NOT_FIVE,   // its check and the product refuse five images of mini_vit.h
    FAKE_STRICT,     // its check takes everything, the product operands at 256 bytes only
    FAKE_GOOD
};

struct fake_cublaslt {
    size_t version;
    bool refuses; // every product
    bool faults;  // every product ends as on a device that has failed
    long products, splits, violations, handles;
    char violation[96]; // the first thing that the documentation does not allow
};
extern struct fake_cublaslt fake_cublaslt;

#endif
