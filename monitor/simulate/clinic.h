// clinic.h: the simulated clinic: who comes when, what the picture is like, what the model says of it, and
// what the lesion truly is. docs/SIMULATION.md is its definition; whoever simulates the same clinic in
// another way needs that page alone.
//
//     clinic_init -> clinic_next ... (one image each time, by time) -> until it is over
//
// Everything about an image is a function of the seed and its number, and changes with no other option than
// those that are about it. What is planted is planted into images from plant_day on. No memory of its own;
// any thread, one user at a time.
#ifndef SKINSIGHT_MONITOR_SIMULATE_CLINIC_H
#define SKINSIGHT_MONITOR_SIMULATE_CLINIC_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/lesion.h"
#include "common/records/prediction.h"
#include "monitor/simulate/reader.h"

enum clinic_mix { CLINIC_PRIMARY, CLINIC_ISIC, CLINIC_MIXES };

enum clinic_plant {
    PLANT_NONE,
    PLANT_MELANOMA_SHARE,   // a quarter more melanomas
    PLANT_PREVALENCE,       // half as many again of each malignant class
    PLANT_CAMERA,           // the largest site gets a camera that nobody has seen
    PLANT_SWAPPED_CHANNELS, // red and blue are swapped
    PLANT_MISSED_MELANOMA,  // sensitivity falls from 0.90 to 0.80
    CLINIC_PLANTS
};

struct clinic_options {
    uint64_t seed;
    int64_t start; // Unix ms, midnight UTC of the first day
    int days, images_per_day;
    enum clinic_mix mix;
    enum clinic_plant plant;
    int plant_day; // the first day is 0
};

enum { CLINIC_SITES = 4 };
extern const char *const clinic_sites[CLINIC_SITES];

// Why an analysis fails. Those of the last two are sent again and then succeed.
enum clinic_failure {
    CLINIC_FAILS_NOT,
    CLINIC_UNDECODABLE,
    CLINIC_EXPIRED,
    CLINIC_UNAVAILABLE,
};

// One image. Whole numbers are -1 where the clinic did not say.
struct clinic_image {
    uint64_t number; // from 0
    uint64_t visit;  // images of one patient at one time
    int64_t submitted;
    int site;
    const char *device, *place; // place: on the body; NULL where the clinic did not say
    int dermatoscope, skin_type, age_decade;
    bool planted;
    enum lesion_class truth;
    enum clinic_failure failure;
    struct features features;
    int64_t bytes; // of the file
    struct reading reading;
    int took_ms[MOMENT_COUNT]; // from the moment before to this one; the first from submitted
};

struct clinic {
    struct clinic_options options;
    struct reader reader;
    double shares[LESION_CLASSES];  // of the classes
    double planted[LESION_CLASSES]; // the same once something is planted
    uint64_t images, visits;        // given so far
    double clock_h;                 // hours since start, of the newest visit
    // Of that visit:
    int left; // images still to come
    int site, skin_type, age_decade;
    bool is_planted;
};

void clinic_init(struct clinic *clinic, const struct clinic_options *options);
// False: the days are over.
bool clinic_next(struct clinic *clinic, struct clinic_image *image);

// The kinds of things that have draws of their own.
enum clinic_purpose {
    DRAWS_OF_VISIT = 0x736b696e,
    DRAWS_OF_IMAGE,
    DRAWS_OF_LABEL = DRAWS_OF_VISIT + 3,
    DRAWS_OF_NAMES = 0x6e616d65, // and the numbers behind it: one for each enum names_kind
};

#endif
