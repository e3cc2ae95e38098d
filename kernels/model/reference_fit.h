// reference_fit.h: what a model has learnt (ood.h), from embeddings of the images it was trained on and of
// others. Pure arithmetic, in double; any thread.
//
// Means are those of the training part's classes. The covariance is the one within the classes: each
// embedding less its class's mean, all classes together, shrunk towards a multiple of the identity as Ledoit
// and Wolf choose it ("A well-conditioned estimator for large-dimensional covariance matrices", 2004), so
// that it has an inverse whatever the number of images. W is the transposed inverse of its Cholesky factor.
// The distances are of images that the model has not learnt from: those it has learnt lie too near.
#ifndef SKINSIGHT_KERNELS_MODEL_REFERENCE_FIT_H
#define SKINSIGHT_KERNELS_MODEL_REFERENCE_FIT_H

#include "common/base/status.h"
#include "kernels/model/ood.h"

struct embedded_part {
    const float *embeddings; // (count, width), finite
    const int *labels;       // (count), enum lesion_class; NULL: not known
    size_t count;            // > 0
};

// *shrinkage: the identity's share of the covariance, 0 to 1. REJECTED: the embeddings of no class differ
// from each other.
enum status reference_fit(const struct embedded_part *training, const struct embedded_part *validation,
                          int width, struct ood_reference **reference, double *shrinkage,
                          struct error *err) MUST_CHECK;

#endif
