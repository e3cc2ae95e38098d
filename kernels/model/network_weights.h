// network_weights.h: whether a set of weights belongs to a network, and what makes it fit.
#ifndef SKINSIGHT_KERNELS_MODEL_NETWORK_WEIGHTS_H
#define SKINSIGHT_KERNELS_MODEL_NETWORK_WEIGHTS_H

#include "kernels/model/weights.h"
#include "kernels/network/network.h"

// Makes weights of another image size fit: positions (pos_embed) are interpolated to the network's grid,
// bicubic and antialiased, as timm does. REJECTED: they are not a class token and a square. Other tensors
// stay; what weights_at and weights_find gave before may become invalid.
enum status network_fit_weights(const struct network *network, struct weights *weights,
                                struct error *err) MUST_CHECK;

// Every parameter exists with the right shape and a float type, and every value is finite; REJECTED names the
// first tensor that does not fit and what was expected, and the architecture that would fit, where one does.
enum status network_check_weights(const struct network *network, const struct weights *weights,
                                  struct error *err) MUST_CHECK;
// The same of one name, but for type and values.
enum status network_check_shape(const struct network *network, const struct weights *weights,
                                const char *name, struct error *err) MUST_CHECK;
// The architecture whose tensors all are there in the right shapes, but perhaps for the head and positions;
// NULL: none. network_add_recognised adds to a sentence in *err what it is where it is another one.
const char *network_recognise(const struct weights *weights);
void network_add_recognised(const struct network *network, const struct weights *weights, struct error *err);

#endif
