// features.h: what the provenance of an answer says about its image: numbers for watching drift, computed on
// the network's view (224 x 224 RGB), so that all images are comparable whatever their size.
//
// luma = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), divided by 255: 0 black, 1 white.
#ifndef SKINSIGHT_WORKER_STAGES_FEATURES_H
#define SKINSIGHT_WORKER_STAGES_FEATURES_H

#include <stdint.h>

enum { FEATURES_BINS = 16 };

struct features {
    float brightness; // mean of luma
    float contrast;   // standard deviation of luma over all pixels
    // Variance of up + down + left + right - 4 * middle of luma, over the pixels that have all four
    // neighbours; 0 where there are none. Blurred images have little.
    float sharpness;
    float entropy_nats; // of the answer's probabilities, -sum p ln p: not the image's, filled with the answer
    // Share of the pixels with channel value 16 * bin .. 16 * bin + 15; each sums to 1.
    float histogram_r[FEATURES_BINS];
    float histogram_g[FEATURES_BINS];
    float histogram_b[FEATURES_BINS];
};

// Fills everything but entropy_nats, which becomes 0. view: size * size * 3 bytes of RGB, 1 <= size <= 1024.
// The sums are integers: the same view gives the same numbers on every machine. Any thread.
void features_of_view(const uint8_t *view, int size, struct features *features);

#endif
