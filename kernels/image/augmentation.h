// augmentation.h: what training does to a picture before the network sees it, so that it never sees the same
// one twice: resize, random crop, flips, rotation, colours, normalising, erasing, in this order.
//
// Given the same draws each step gives the bytes that torchvision's transforms give on images of Pillow 13:
// Resize, RandomResizedCrop, RandomHorizontalFlip, RandomVerticalFlip, RandomRotation (nearest, black
// outside), ColorJitter, ToTensor with Normalize, RandomErasing (0). The draws are functions of a counter:
// nothing has to be remembered to make them again. No state, any thread.
#ifndef SKINSIGHT_KERNELS_IMAGE_AUGMENTATION_H
#define SKINSIGHT_KERNELS_IMAGE_AUGMENTATION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/counter_random.h"
#include "common/base/status.h"
#include "common/picture/image.h"

enum { AUGMENTATION_MARGIN = 32 }; // pictures are resized to this much more than the network's side

struct picture_area {
    int top, left, height, width;
};

enum jitter { JITTER_BRIGHTNESS, JITTER_CONTRAST, JITTER_SATURATION, JITTER_HUE, JITTER_COUNT };

// One picture's draws. All of it zero is not "nothing is done": see augmentation_none.
struct augmentation {
    struct picture_area crop; // of the resized picture
    bool flip_across, flip_down;
    double angle; // degrees, against the clock
    bool jitter;  // false: colours stay
    enum jitter order[JITTER_COUNT];
    double factors[JITTER_COUNT]; // brightness, contrast, saturation: 1 leaves it; hue: share of a turn, 0
    struct picture_area erased;   // of the view; height 0: nothing
};

// The centre of the network's size, nothing else: what evaluation does (preprocess.h).
struct augmentation augmentation_none(int size);
// Scale 0.8 to 1 and ratio 3/4 to 4/3 of the crop, flips by halves, 0 to 360 degrees, brightness, contrast
// and saturation 0.8 to 1.2, hue -0.1 to 0.1 in drawn order, erasing by halves, scale 0.02 to 0.33, ratio 0.3
// to 3.3. counter: another one for each picture of the whole training. At most 2^58.
struct augmentation augmentation_draw(const struct random_stream *stream, uint64_t counter, int size);

// source: the picture resized to size + AUGMENTATION_MARGIN on both sides (augmentation_resize). view: size *
// size * 3 bytes. FATAL: no memory.
enum status augmentation_view(const struct image *source, const struct augmentation *augmentation, int size,
                              uint8_t *view, struct error *err) MUST_CHECK;
// Fills the erased area of a view with the bytes nearest to mean (0 to 1), what erasing leaves there: for who
// sees bytes.
void augmentation_erase(const struct augmentation *augmentation, int size, const float mean[3],
                        uint8_t *view);
// view -> (size * size, 3) floats by preprocess_table's table, the erased area 0.
void augmentation_normalise(const uint8_t *view, int size, const float table[3 * 256],
                            const struct augmentation *augmentation, float *output);

// Any picture to side x side into *resized, which the caller releases. FATAL: no memory.
enum status augmentation_resize(const struct image *source, int side, struct image *resized,
                                struct error *err) MUST_CHECK;

// The steps of augmentation_view, for tests. Pictures are size x size.
enum status augmentation_crop(const struct image *source, const struct picture_area *area, int size,
                              uint8_t *view, struct error *err) MUST_CHECK;
void augmentation_flip(uint8_t *view, int size, bool across, bool down);
void augmentation_rotate(const uint8_t *view, int size, double angle, uint8_t *rotated);
void augmentation_jitter(uint8_t *view, int size, enum jitter kind, double factor);

#endif
