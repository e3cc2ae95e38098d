// picture.h: what the simulated cameras make of a lesion, as the features of a terminal record. No pixels are
// drawn: each channel's values follow a logistic distribution, whose shares of the 16 bins are computed and
// then shaken a little, as a photograph's are. docs/SIMULATION.md has the formulas.
#ifndef SKINSIGHT_MONITOR_SIMULATE_PICTURE_H
#define SKINSIGHT_MONITOR_SIMULATE_PICTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/prediction.h"
#include "monitor/simulate/draws.h"

struct camera {
    const char *name;
    double level;     // mean of the green channel on skin of type II, 0 to 1
    double red, blue; // by how much the other channels are brighter than green
    double contrast, sharpness;
    double dermatoscope; // how often one is attached
    double bytes;        // of a file, the median
};

// skin_type: 1 to 6. Fills all but entropy_nats, which is the answer's.
void picture_draw(struct draws *draws, const struct camera *camera, int skin_type, bool swapped,
                  struct features *features);
int64_t picture_bytes(struct draws *draws, const struct camera *camera); // of its file

#endif
