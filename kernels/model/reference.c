// reference.c: see reference.h.
#include "kernels/model/reference.h"

#include <math.h>

static const char means_name[] = "class_means", counts_name[] = "class_counts",
                  whitening_name[] = "whitening", distances_name[] = "distances";

// A tensor of finite floats of this shape; columns 0: one dimension.
static enum status take(const struct weights *weights, const char *name, int rows, int columns, float *values,
                        struct error *err)
{
    const struct weight *weight = weights_find(weights, name);
    int rank = columns > 0 ? 2 : 1;
    if (!weight)
        return error_set(err, STATUS_REJECTED, "there is no tensor '%s'", name);
    if (weight->dtype != DTYPE_F32 || weight->rank != rank || weight->shape[0] != rows ||
        (rank == 2 && weight->shape[1] != columns))
        return rank == 1 ? error_set(err, STATUS_REJECTED, "'%s' must be F32 of the shape (%d)", name, rows)
                         : error_set(err, STATUS_REJECTED, "'%s' must be F32 of the shape (%d, %d)", name,
                                     rows, columns);
    if (weights_first_not_finite(weights, weight) < weight->count)
        return error_set(err, STATUS_REJECTED, "'%s' holds a value that is not finite", name);
    weight_to_float(weight, values);
    return STATUS_OK;
}

static enum status check(const struct ood_reference *reference, struct error *err)
{
    int classes = 0;
    for (int i = 0; i < LESION_CLASSES; i++) {
        float count = reference->counts[i];
        if (count < 0 || count != rintf(count))
            return error_set(err, STATUS_REJECTED, "'%s' must be whole numbers of 0 or more", counts_name);
        classes += count > 0;
    }
    if (classes == 0)
        return error_set(err, STATUS_REJECTED, "'%s' names no class with images", counts_name);
    for (int i = 0; i < OOD_QUANTILES; i++)
        if (reference->distances[i] < (i > 0 ? reference->distances[i - 1] : 0))
            return error_set(err, STATUS_REJECTED, "'%s' must ascend from 0 or more", distances_name);
    return STATUS_OK;
}

enum status reference_from_weights(const struct weights *weights, int width, struct ood_reference **result,
                                   struct error *err)
{
    *result = NULL;
    if (width < 1 || width > OOD_WIDTH_MOST)
        return error_set(err, STATUS_REJECTED, "embeddings of %d values can't have a reference", width);
    struct ood_reference *reference = ood_reference_new(width);
    enum status status = take(weights, means_name, LESION_CLASSES, width, reference->class_means, err);
    if (status == STATUS_OK)
        status = take(weights, counts_name, LESION_CLASSES, 0, reference->counts, err);
    if (status == STATUS_OK)
        status = take(weights, whitening_name, width, width, reference->whitening, err);
    if (status == STATUS_OK)
        status = take(weights, distances_name, OOD_QUANTILES, 0, reference->distances, err);
    if (status == STATUS_OK)
        status = check(reference, err);
    if (status != STATUS_OK) {
        ood_reference_free(reference);
        return status;
    }
    ood_reference_finish(reference);
    *result = reference;
    return STATUS_OK;
}

enum status reference_read(const char *path, const struct digest *sha256, int width,
                           struct ood_reference **reference, struct error *err)
{
    struct weights *weights = NULL;
    *reference = NULL;
    enum status status = weights_open(&weights, path, err); // names the path
    if (status != STATUS_OK)
        return status;
    struct digest found = weights_check(weights);
    if (!digest_equal(&found, sha256))
        status = error_set(err, STATUS_REJECTED, "it is not the file the manifest names");
    if (status == STATUS_OK)
        status = reference_from_weights(weights, width, reference, err);
    if (status != STATUS_OK)
        error_prefix(err, "%s", path);
    else
        status = weights_check_unchanged(weights, err);
    if (status != STATUS_OK) {
        ood_reference_free(*reference);
        *reference = NULL;
    }
    weights_close(weights);
    return status;
}

enum status reference_write(const struct ood_reference *reference, const char *path, struct digest *sha256,
                            struct error *err)
{
    const int64_t width = reference->width, classes = LESION_CLASSES, quantiles = OOD_QUANTILES;
    struct weights *weights = weights_new(), *saved = NULL;
    weights_add(weights, means_name, 2, (const int64_t[]){classes, width}, reference->class_means);
    weights_add(weights, counts_name, 1, &classes, reference->counts);
    weights_add(weights, whitening_name, 2, (const int64_t[]){width, width}, reference->whitening);
    weights_add(weights, distances_name, 1, &quantiles, reference->distances);
    enum status status = weights_save(weights, path, err);
    weights_close(weights);
    if (status == STATUS_OK)
        status = weights_open(&saved, path, err);
    if (status == STATUS_OK)
        *sha256 = weights_check(saved);
    weights_close(saved);
    return status;
}
