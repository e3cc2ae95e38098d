// ood.h: how far an answer lies from what its model has learnt. Pure arithmetic; any thread.
//
// The distance is Mahalanobis's, of the embedding to the nearest class mean (Lee et al., "A simple unified
// framework for detecting out-of-distribution samples and adversarial attacks", 2018): the covariance is the
// one within the classes, all classes together. Its root W comes with the model, so a distance is one product
// and one sum of squares for each class: |W^T x - W^T mean|. Sums are double.
#ifndef SKINSIGHT_KERNELS_MODEL_OOD_H
#define SKINSIGHT_KERNELS_MODEL_OOD_H

#include "common/records/prediction.h"

enum { OOD_QUANTILES = 101, OOD_WIDTH_MOST = 4096 };

// What a model has learnt, as the embeddings of its training part tell it.
struct ood_reference {
    int width;                      // of the embedding; 1 to OOD_WIDTH_MOST
    float *whitening;               // W (width, width): W W^T is the inverse of the covariance
    float *class_means;             // (LESION_CLASSES, width); zeros for a class without images
    float counts[LESION_CLASSES];   // images behind each mean; 0: the class has none, and nothing is near it
    float distances[OOD_QUANTILES]; // quantiles 0, 0.01 ... 1 of the validation part's distances, ascending
    // What ood_reference_finish makes.
    int *first_columns;     // (width): where each row of W begins that is not zero; ours is a triangle
    double *whitened_means; // (LESION_CLASSES, width): W^T mean
};

struct ood_reference *ood_reference_new(int width);       // all zeros
void ood_reference_free(struct ood_reference *reference); // NULL is allowed
// Once W, means and counts are there, before the first distance. At least one class has images.
void ood_reference_finish(struct ood_reference *reference);

// -log sum exp(logits), in double.
float ood_energy(const float logits[LESION_CLASSES]);
// embedding: (width), finite.
float ood_distance(const struct ood_reference *reference, const float *embedding);
// Where a distance lies among the reference's, by linear interpolation: 0 below the first, 1 from the last
// on.
float ood_quantile(const struct ood_reference *reference, float distance);

#endif
