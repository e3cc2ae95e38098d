// known_images.h: images made from seeds, and their answers: whether a model computes right on its device.
// An answer is compared
//   - with the one that the model's directory holds, within a tolerance that depends on the precision, and
//   - with this device's own first one, bit for bit: a flipped bit in its memory shows.
// The simulated device is compared with itself only. Thread: the device's.
#ifndef SKINSIGHT_WORKER_DEVICE_KNOWN_IMAGES_H
#define SKINSIGHT_WORKER_DEVICE_KNOWN_IMAGES_H

#include "kernels/model/known_answers.h"
#include "worker/device/engine.h"

// What is known of a device. LOST: it gives errors, or reported a fault. WRONG: it gave a wrong answer.
enum device_state { DEVICE_UNCHECKED, DEVICE_GOOD, DEVICE_LOST, DEVICE_WRONG };

struct known_images {
    struct known_answers known;
    bool has_stored;                               // known.logits came with the model
    bool has_own;                                  // own was filled in by the first check
    float own[KNOWN_ANSWERS_MOST][LESION_CLASSES]; // what this device answered first
    uint8_t *views[KNOWN_ANSWERS_MOST];
    float *maps; // of one image, not looked at; NULL: the plan gives none
};

void known_images_init(struct known_images *images, const struct engine *engine);
void known_images_release(struct known_images *images); // safe on a zeroed one

// Computes and compares all of them. Other than GOOD: err says which one failed and how.
enum device_state known_images_check(struct known_images *images, struct engine *engine, struct error *err);
// The same once, for a program that takes no jobs; the engine is opened without maps. OK where the model has
// no known answers, and on a device that is simulated.
enum status known_images_check_once(struct engine *engine, struct error *err) MUST_CHECK;

// Whether found is close enough to the stored answer; FATAL says how far off it is. Pure.
struct answer_tolerance {
    enum precision precision;
    float temperature;
};
enum status known_images_compare(const float stored[LESION_CLASSES], const float found[LESION_CLASSES],
                                 const struct answer_tolerance *tolerance, struct error *err) MUST_CHECK;

#endif
