// overlay.h: the picture of what the model looked at: the network's view with the attention map over it.
#ifndef SKINSIGHT_KERNELS_IMAGE_OVERLAY_H
#define SKINSIGHT_KERNELS_IMAGE_OVERLAY_H

#include <stdint.h>

#include "common/base/status.h"
#include "common/picture/image.h"

// Draws map over view into *out (size x size, the caller releases it). view: size * size * 3 bytes of RGB.
// map: map_height * map_width values, rows first, scaled so that its least value leaves the picture as it is
// and its greatest covers it to 70 % with the brightest colour (a flat map changes nothing), enlarged
// bilinearly. The arithmetic after scaling is in integers, so the same view and map give the same bytes.
// REJECTED: a value of the map is not finite, or a side is not within 1..4096. FATAL: no memory. Any thread.
enum status overlay_draw(const uint8_t *view, int size, const float *map, int map_height, int map_width,
                         struct image *out, struct error *err) MUST_CHECK;

enum { OVERLAY_SHARE_MAX = 1023 }; // a step changes no channel by more than one grey level

// The colour of a share from 0 (least attention) to OVERLAY_SHARE_MAX (most): dark blue over green to light
// yellow, its lightness rising evenly, so that it also reads in grey and with colour-blind eyes.
void overlay_colour(int share, uint8_t colour[3]);

#endif
