// clinic.c: visits come as a Poisson process whose rate changes by the hour and the day of the week; each
// brings one to three images.
#include "monitor/simulate/clinic.h"

#include <math.h>
#include <string.h>

#include "monitor/simulate/draws.h"
#include "monitor/simulate/picture.h"

enum { DAY_H = 24, HOUR_MS = 3600 * 1000, IMAGES_OF_VISIT = 3, SKIN_TYPES = 6, DECADES = 10, PLACES = 8 };

const char *const clinic_sites[CLINIC_SITES] = {"north", "harbour", "lakeside", "old_town"};
static const double site_shares[CLINIC_SITES] = {0.4, 0.3, 0.2, 0.1};

// The last one is PLANT_CAMERA's.
enum { CAMERAS = 5, NEW_CAMERA = CAMERAS - 1 };
static const struct camera cameras[CAMERAS] = {
    {"iphone_15_pro", 0.58, 0.12, -0.06, 0.12, 0.0020, 0.3, 2.4e6},
    {"galaxy_s24", 0.60, 0.10, -0.05, 0.13, 0.0026, 0.3, 2.9e6},
    {"dermlite_dl5", 0.64, 0.14, -0.03, 0.15, 0.0040, 1, 1.8e6},
    {"fotofinder_d2", 0.66, 0.13, -0.04, 0.16, 0.0050, 1, 3.5e6},
    {"dermscan_5", 0.74, 0.09, -0.02, 0.19, 0.0085, 1, 5.2e6},
};
static const double camera_shares[CLINIC_SITES][NEW_CAMERA] = {
    {0.2, 0.1, 0.4, 0.3}, {0.5, 0.3, 0.1, 0.1}, {0.1, 0.4, 0.5, 0}, {0, 0, 0.2, 0.8}};

static const double skin_shares[SKIN_TYPES] = {0.12, 0.35, 0.30, 0.12, 0.07, 0.04};
static const double decade_shares[DECADES] = {0.02, 0.04, 0.08, 0.12, 0.15, 0.18, 0.18, 0.14, 0.07, 0.02};
static const char *const places[PLACES] = {"face",      "scalp",     "upper_back", "lower_back",
                                           "upper_arm", "lower_leg", "abdomen",    "hand"};
static const double place_shares[PLACES] = {0.20, 0.05, 0.22, 0.13, 0.12, 0.13, 0.10, 0.05};

static const double class_shares[CLINIC_MIXES][LESION_CLASSES] = {
    [CLINIC_PRIMARY] = {0.03, 0.62, 0.05, 0.07, 0.17, 0.02, 0.02, 0.02},
    [CLINIC_ISIC] = {4522 / 25331.0, 12875 / 25331.0, 3323 / 25331.0, 867 / 25331.0, 2624 / 25331.0,
                     239 / 25331.0, 253 / 25331.0, 628 / 25331.0},
};
// Where 0.90 of the melanomas are above.
static const double urgent_from[CLINIC_MIXES] = {[CLINIC_PRIMARY] = 0.054266, [CLINIC_ISIC] = 0.285683};

// Images of one visit: 1.3 on the average.
static const double visit_shares[IMAGES_OF_VISIT] = {0.75, 0.20, 0.05};
static const double images_of_visit = 1.3;
// From Monday on; the mean is 1.
static const double weekday_rates[7] = {1.25, 1.2, 1.15, 1.15, 1.1, 0.7, 0.45};
// From midnight (UTC) on; the sum is 1.
static const double hour_shares[DAY_H] = {
    [6] = 0.004, [7] = 0.04,  [8] = 0.10,  [9] = 0.12,  [10] = 0.12, [11] = 0.10,  [12] = 0.06, [13] = 0.08,
    [14] = 0.11, [15] = 0.11, [16] = 0.08, [17] = 0.05, [18] = 0.02, [19] = 0.004, [20] = 0.002};

// Median, and the 99th percentile's ratio to it as the normal's 2.326 standard deviations.
static const struct {
    double median_ms, spread;
} durations[MOMENT_COUNT] = {
    [MOMENT_CONSUMED] = {40, 0.39},  [MOMENT_FETCHED] = {5, 0.5},     [MOMENT_DECODED] = {30, 0.298},
    [MOMENT_BATCHED] = {8, 0.5},     [MOMENT_INFERRED] = {95, 0.196}, [MOMENT_POSTPROCESSED] = {10, 0.472},
    [MOMENT_PUBLISHED] = {5, 0.472},
};

static const double failure_shares[] = {[CLINIC_FAILS_NOT] = 0.996,
                                        [CLINIC_UNDECODABLE] = 0.002,
                                        [CLINIC_EXPIRED] = 0.001,
                                        [CLINIC_UNAVAILABLE] = 0.001};

// The shares of the classes in which `factor` of each of `classes` becomes more, at the cost of all others.
static void grow(double shares[LESION_CLASSES], const bool grows[LESION_CLASSES], double factor)
{
    double grown = 0, others = 0;
    for (int i = 0; i < LESION_CLASSES; i++) {
        if (grows[i])
            grown += shares[i] *= factor;
        else
            others += shares[i];
    }
    for (int i = 0; i < LESION_CLASSES; i++)
        if (!grows[i])
            shares[i] *= (1 - grown) / others;
}

void clinic_init(struct clinic *clinic, const struct clinic_options *options)
{
    const double *shares = class_shares[options->mix];
    bool melanoma[LESION_CLASSES] = {[LESION_MEL] = true}, malignant[LESION_CLASSES];
    for (int i = 0; i < LESION_CLASSES; i++)
        malignant[i] = lesion_is_malignant(i);
    *clinic = (struct clinic){.options = *options};
    reader_init(&clinic->reader, shares, urgent_from[options->mix]);
    memcpy(clinic->shares, shares, sizeof clinic->shares);
    memcpy(clinic->planted, shares, sizeof clinic->planted);
    if (options->plant == PLANT_MELANOMA_SHARE)
        grow(clinic->planted, melanoma, 1.25);
    else if (options->plant == PLANT_PREVALENCE)
        grow(clinic->planted, malignant, 1.5);
}

// Moves the clock on by a unit exponential of the rate's integral.
static void move_clock(struct clinic *clinic, double left)
{
    enum { EPOCH_WEEKDAY = 3 }; // 1970-01-01 was a Thursday
    const struct clinic_options *options = &clinic->options;
    int64_t first_weekday = options->start / HOUR_MS / DAY_H + EPOCH_WEEKDAY;
    double visits_per_day = options->images_per_day / images_of_visit;
    while (clinic->clock_h < options->days * (double)DAY_H) {
        int64_t hour = (int64_t)clinic->clock_h;
        double rate =
            visits_per_day * weekday_rates[(first_weekday + hour / DAY_H) % 7] * hour_shares[hour % DAY_H];
        double to_come = ((double)(hour + 1) - clinic->clock_h) * rate;
        if (left < to_come) {
            clinic->clock_h += left / rate;
            return;
        }
        left -= to_come;
        clinic->clock_h = (double)(hour + 1);
    }
}

// False: the days are over.
static bool begin_visit(struct clinic *clinic)
{
    struct draws draws;
    draws_begin(&draws, clinic->options.seed, DRAWS_OF_VISIT, clinic->visits++);
    move_clock(clinic, draws_exponential(&draws));
    clinic->left = 1 + draws_index(&draws, visit_shares, IMAGES_OF_VISIT);
    clinic->site = draws_index(&draws, site_shares, CLINIC_SITES);
    clinic->skin_type = 1 + draws_index(&draws, skin_shares, SKIN_TYPES);
    clinic->age_decade = 10 * draws_index(&draws, decade_shares, DECADES);
    clinic->is_planted =
        clinic->options.plant != PLANT_NONE && clinic->clock_h >= clinic->options.plant_day * (double)DAY_H;
    return clinic->clock_h < clinic->options.days * (double)DAY_H;
}

static void draw_context(const struct clinic *clinic, struct draws *draws, const struct camera *camera,
                         struct clinic_image *image)
{
    image->site = clinic->site;
    image->device = camera->name;
    image->dermatoscope = draws_happens(draws, camera->dermatoscope);
    image->place = places[draws_index(draws, place_shares, PLACES)];
    image->skin_type = clinic->skin_type;
    image->age_decade = clinic->age_decade;
    if (draws_happens(draws, 0.2)) // many clinics do not note it
        image->skin_type = -1;
    if (draws_happens(draws, 0.02))
        image->place = NULL;
}

static const struct camera *draw_camera(const struct clinic *clinic, struct draws *draws, bool is_new)
{
    int camera = draws_index(draws, camera_shares[clinic->site], NEW_CAMERA);
    return &cameras[is_new ? NEW_CAMERA : camera];
}

static void draw_durations(struct draws *draws, struct clinic_image *image)
{
    for (int i = 0; i < MOMENT_COUNT; i++)
        image->took_ms[i] =
            (int)(durations[i].median_ms * draws_exp(durations[i].spread * draws_normal(draws)) + 0.5);
}

bool clinic_next(struct clinic *clinic, struct clinic_image *image)
{
    if (clinic->left == 0 && !begin_visit(clinic))
        return false;
    clinic->left--;
    enum clinic_plant plant = clinic->is_planted ? clinic->options.plant : PLANT_NONE;
    bool new_camera = plant == PLANT_CAMERA && clinic->site == 0, swapped = plant == PLANT_SWAPPED_CHANNELS;
    struct draws draws;
    draws_begin(&draws, clinic->options.seed, DRAWS_OF_IMAGE, clinic->images);
    *image = (struct clinic_image){
        .number = clinic->images++,
        .visit = clinic->visits - 1,
        .submitted = clinic->options.start + (int64_t)(clinic->clock_h * HOUR_MS),
        .planted = new_camera || (clinic->is_planted && plant != PLANT_CAMERA),
    };
    image->truth = (enum lesion_class)draws_index(
        &draws, clinic->is_planted ? clinic->planted : clinic->shares, LESION_CLASSES);
    // Of 0.90 a ninth is missed.
    bool hides = draws_happens(&draws, 1 / 9.0) && plant == PLANT_MISSED_MELANOMA;
    const struct legibility legibility = {.clarity = swapped      ? 0.7
                                                     : new_camera ? 0.9
                                                                  : 1,
                                          .strangeness = swapped      ? 1.3
                                                         : new_camera ? 1.15
                                                                      : 1,
                                          .hides_melanoma = hides && image->truth == LESION_MEL};
    const struct camera *camera = draw_camera(clinic, &draws, new_camera);
    draw_context(clinic, &draws, camera, image);
    image->failure = (enum clinic_failure)draws_index(&draws, failure_shares, CLINIC_UNAVAILABLE + 1);
    draw_durations(&draws, image);
    reader_read(&clinic->reader, &draws, image->truth, &legibility, &image->reading);
    picture_draw(&draws, camera, clinic->skin_type, swapped, &image->features);
    image->features.entropy_nats = image->reading.entropy_nats;
    image->bytes = picture_bytes(&draws, camera);
    return true;
}
