// compute_known.h: what a model answers to its known images (kernels/model/known_answers.h).
#ifndef SKINSIGHT_KERNELS_COMPUTE_KNOWN_H
#define SKINSIGHT_KERNELS_COMPUTE_KNOWN_H

#include "kernels/model/known_answers.h"
#include "kernels/model/weights.h"

// Fills in the logits of the seeds, as this machine's CPU backend computes them in fp32.
enum status known_answers_compute(struct known_answers *known, const struct network *network,
                                  const struct weights *weights, struct error *err) MUST_CHECK;

#endif
