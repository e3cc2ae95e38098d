// reference.h: the file reference.safetensors of a model directory: what the model has learnt (ood.h), read
// and written. docs/FORMATS.md has its tensors. No state, any thread.
#ifndef SKINSIGHT_KERNELS_MODEL_REFERENCE_H
#define SKINSIGHT_KERNELS_MODEL_REFERENCE_H

#include "common/base/digest.h"
#include "common/base/status.h"
#include "kernels/model/ood.h"
#include "kernels/model/weights.h"

#define REFERENCE_FILE "reference.safetensors"

// The file, refused where its SHA-256 is another one, or where it is not of embeddings of this width.
// REJECTED or FATAL; the sentence names the path.
enum status reference_read(const char *path, const struct digest *sha256, int width,
                           struct ood_reference **reference, struct error *err) MUST_CHECK;
// From tensors that are open. REJECTED names the one that is absent, has another shape or a value that can't
// be.
enum status reference_from_weights(const struct weights *weights, int width, struct ood_reference **reference,
                                   struct error *err) MUST_CHECK;
// Through a temporary name, flushed and renamed; sha256: of what lies on the disk. FATAL.
enum status reference_write(const struct ood_reference *reference, const char *path, struct digest *sha256,
                            struct error *err) MUST_CHECK;

#endif
