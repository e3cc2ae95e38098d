// test_simulate.c: the simulated clinic has the shares, rates, delays and calibration that docs/SIMULATION.md
// gives, what is planted changes what it says and nothing else, and its records are records. Every limit is
// at least four standard deviations of what is compared; the seeds are fixed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/feedback.h"
#include "monitor/simulate/clinic.h"
#include "monitor/simulate/draws.h"
#include "monitor/simulate/labels.h"
#include "monitor/simulate/names.h"
#include "monitor/simulate/records.h"

enum { DAYS = 28, PER_DAY = 2000, DAY_MS = 24 * 3600 * 1000 };
static const int64_t monday = 1767571200000; // 2026-01-05

static struct clinic_options options_of(enum clinic_plant plant)
{
    return (struct clinic_options){
        .seed = 42, .start = monday, .days = DAYS, .images_per_day = PER_DAY, .plant = plant, .plant_day = 0};
}

// |seen - wanted| <= 4 deviations.
static void assert_near(double seen, double wanted, double deviation, const char *what)
{
    if (!(fabs(seen - wanted) <= 4 * deviation))
        fail_msg("%s: %g instead of %g, where the standard deviation is %g", what, seen, wanted, deviation);
}

static void assert_share(double count, double n, double share, const char *what)
{
    assert_near(count / n, share, sqrt(share * (1 - share) / n), what);
}

static void exponentials_and_logarithms_are_those_of_the_c_library(void **state)
{
    (void)state;
    struct draws draws;
    for (int i = 0; i < 1000; i++) {
        draws_begin(&draws, 1, 99, (uint64_t)i);
        double x = 1400 * draws_uniform(&draws) - 700, y = ldexp(1 + draws_uniform(&draws), i - 500);
        assert_true(fabs(draws_exp(x) / (double)expl(x) - 1) < 1e-15);
        assert_true(fabs(draws_ln(y) - (double)logl(y)) <= 5e-16 * fmax(fabs((double)logl(y)), 1e-3));
    }
    assert_true(draws_ln(1) == 0);
    assert_true(draws_exp(0) == 1);
}

static void normals_have_the_normal_distribution(void **state)
{
    (void)state;
    enum { N = 40000 };
    static const double quantiles[] = {-2.3263478740, -1.2815515655, 0, 0.6744897502, 1.9599639845};
    static const double shares[] = {0.01, 0.1, 0.5, 0.75, 0.975};
    int below[5] = {0};
    double sum = 0, square = 0;
    for (int i = 0; i < N; i += 2) {
        struct draws draws;
        draws_begin(&draws, 5, 98, (uint64_t)i);
        for (int k = 0; k < 2; k++) {
            double x = draws_normal(&draws);
            sum += x;
            square += x * x;
            for (int q = 0; q < 5; q++)
                below[q] += x < quantiles[q];
        }
    }
    assert_near(sum / N, 0, 1 / sqrt(N), "mean");
    assert_near(square / N, 1, sqrt(2.0 / N), "variance");
    for (int q = 0; q < 5; q++)
        assert_share(below[q], N, shares[q], "quantile");
}

struct tally {
    int images, visits, melanomas, flagged, false_alarms, referred, failed, far;
    int classes[LESION_CLASSES], sites[CLINIC_SITES], weekdays[7];
    double expected[LESION_CLASSES], variance[LESION_CLASSES];
    double brightness, red, blue;
};

static struct tally count(const struct clinic_options *options)
{
    struct tally tally = {0};
    struct clinic clinic;
    struct clinic_image image;
    clinic_init(&clinic, options);
    while (clinic_next(&clinic, &image)) {
        bool melanoma = image.truth == LESION_MEL, urgent = image.reading.action == ACTION_URGENT_REFERRAL;
        tally.images++;
        tally.melanomas += melanoma;
        tally.flagged += melanoma && urgent;
        tally.false_alarms += !melanoma && urgent;
        tally.referred += image.reading.action != ACTION_MONITOR;
        tally.far += image.reading.ood.quantile > 0.99f;
        assert_int_equal(image.reading.ood.quantile > 0.99f, image.reading.far);
        tally.failed += image.failure != CLINIC_FAILS_NOT;
        tally.classes[image.truth]++;
        tally.sites[image.site]++;
        tally.weekdays[(image.submitted - monday) / DAY_MS % 7]++;
        for (int i = 0; i < LESION_CLASSES; i++) {
            double p = image.reading.probabilities[i];
            tally.expected[i] += p;
            tally.variance[i] += p * (1 - p);
        }
        for (int i = 0; i < FEATURES_BINS; i++) {
            tally.red += image.features.histogram_r[i] * (i + 0.5) / FEATURES_BINS;
            tally.blue += image.features.histogram_b[i] * (i + 0.5) / FEATURES_BINS;
        }
        tally.brightness += image.features.brightness;
    }
    tally.visits = (int)clinic.visits - 1; // the last one came after the end
    return tally;
}

static void shares_and_rates_are_those_of_the_page(void **state)
{
    (void)state;
    static const double classes[] = {0.03, 0.62, 0.05, 0.07, 0.17, 0.02, 0.02, 0.02};
    static const double sites[] = {0.4, 0.3, 0.2, 0.1};
    static const double weekdays[] = {1.25, 1.2, 1.15, 1.15, 1.1, 0.7, 0.45};
    struct clinic_options options = options_of(PLANT_NONE);
    struct tally tally = count(&options);
    double visits = DAYS * PER_DAY / 1.3;
    assert_near(tally.visits, visits, sqrt(visits), "visits");
    for (int i = 0; i < LESION_CLASSES; i++)
        assert_share(tally.classes[i], tally.images, classes[i], lesion_codes[i]);
    // A visit's images are of one site and one day: 1 image stands for E[n^2] / E[n] = 2 / 1.3 independent
    // ones.
    for (int i = 0; i < CLINIC_SITES; i++)
        assert_near((double)tally.sites[i] / tally.images, sites[i],
                    sqrt(sites[i] * (1 - sites[i]) * 2 / 1.3 / tally.images), "site");
    for (int i = 0; i < 7; i++)
        assert_near(tally.weekdays[i], weekdays[i] * PER_DAY * DAYS / 7,
                    sqrt(weekdays[i] * PER_DAY * DAYS / 7 * 2 / 1.3), "weekday");
    assert_share(tally.failed, tally.images, 0.004, "failures");
    assert_share(tally.far, tally.images, 0.01, "far images");
}

// At the threshold, by an integration of 10 million melanomas and 2 million lesions with NumPy.
static void the_model_finds_nine_of_ten_melanomas_and_is_calibrated(void **state)
{
    (void)state;
    static const double specificity[] = {[CLINIC_PRIMARY] = 0.9517, [CLINIC_ISIC] = 0.9514};
    for (int mix = 0; mix < CLINIC_MIXES; mix++) {
        struct clinic_options options = options_of(PLANT_NONE);
        options.mix = (enum clinic_mix)mix;
        struct tally tally = count(&options);
        assert_share(tally.flagged, tally.melanomas, 0.90, "sensitivity");
        assert_share(tally.false_alarms, tally.images - tally.melanomas, 1 - specificity[mix],
                     "false alarms");
        for (int i = 0; i < LESION_CLASSES; i++)
            assert_near(tally.classes[i], tally.expected[i], sqrt(tally.variance[i]), lesion_codes[i]);
    }
}

static void what_is_planted_shows(void **state)
{
    (void)state;
    struct clinic_options options = options_of(PLANT_NONE);
    struct tally before = count(&options);
    struct clinic_options many = options; // melanomas: sensitivity to one in a hundred
    many.mix = CLINIC_ISIC;
    struct tally unmissed = count(&many);
    many.plant = PLANT_MISSED_MELANOMA;
    struct tally missed = count(&many);
    assert_share(missed.flagged, unmissed.flagged, 8 / 9.0, "melanomas that are still found");
    assert_int_equal(missed.false_alarms, unmissed.false_alarms);
    options.plant = PLANT_MELANOMA_SHARE;
    struct tally more = count(&options);
    assert_int_equal(more.images, before.images);
    assert_share(more.melanomas, more.images, 0.0375, "melanomas");
    assert_share(more.classes[LESION_NV], more.images, 0.62 * (1 - 0.0375) / 0.97, "nevi");
    options.plant = PLANT_PREVALENCE;
    struct tally prevalent = count(&options);
    assert_share(prevalent.melanomas, prevalent.images, 0.045, "melanomas");
    assert_share(prevalent.classes[LESION_BKL], prevalent.images, 0.17 * (1 - 0.255) / 0.83, "keratoses");
    options.plant = PLANT_SWAPPED_CHANNELS;
    struct tally swapped = count(&options);
    // Bins are changed by the shaking alone, whose mean is 1.
    assert_true(fabs(swapped.red - before.blue) < 1e-3 * before.blue);
    assert_true(fabs(swapped.blue - before.red) < 1e-3 * before.red);
    assert_true(before.red > 1.2 * before.blue);
    assert_true(swapped.flagged < 0.85 * before.flagged);
}

static void a_change_begins_on_its_day_and_changes_nothing_else(void **state)
{
    (void)state;
    struct clinic_options options = options_of(PLANT_NONE), changed = options_of(PLANT_CAMERA);
    options.images_per_day = changed.images_per_day = 100;
    changed.plant_day = 7;
    struct clinic a, b;
    struct clinic_image image, other;
    clinic_init(&a, &options);
    clinic_init(&b, &changed);
    int planted = 0;
    while (clinic_next(&a, &image)) {
        assert_true(clinic_next(&b, &other));
        bool is_changed = image.submitted >= monday + 7LL * DAY_MS && image.site == 0;
        assert_int_equal(other.planted, is_changed);
        assert_int_equal(strcmp(other.device, "dermscan_5") == 0, is_changed);
        assert_int_equal(image.submitted, other.submitted);
        assert_int_equal(image.truth, other.truth);
        assert_int_equal(memcmp(&image.features, &other.features, sizeof image.features) != 0, is_changed);
        planted += is_changed;
    }
    assert_false(clinic_next(&b, &other));
    assert_true(planted > 500); // of 21 days of 40
}

// ---- labels ----

struct labelled {
    int referred, monitored, referred_labelled, monitored_labelled;
    int low_digests; // of the referred and labelled: the image's begins with 0 to 7
    double cancer_delay, benign_delay;
    int cancers, benign;
};

static bool is_cancer(enum lesion_class lesion)
{
    return lesion == LESION_MEL || lesion == LESION_BCC || lesion == LESION_SCC;
}

static void note_label(uint64_t seed, const struct clinic_image *image, int64_t labelled_at,
                       struct labelled *seen)
{
    bool referred = image->reading.action != ACTION_MONITOR;
    char digest[DIGEST_TEXT_SIZE];
    names_digest(seed, NAMES_IMAGE, image->number, digest);
    seen->referred += referred;
    seen->monitored += !referred;
    seen->referred_labelled += referred && labelled_at >= 0;
    seen->monitored_labelled += !referred && labelled_at >= 0;
    seen->low_digests += referred && labelled_at >= 0 && digest[0] < '8';
    if (labelled_at <= image->submitted) // never, or early
        return;
    double weeks = (double)(labelled_at - records_answered_at(image)) / (7.0 * DAY_MS);
    if (is_cancer(image->truth)) {
        seen->cancer_delay += weeks;
        seen->cancers++;
    } else {
        seen->benign_delay += weeks;
        seen->benign++;
    }
}

static void labels_come_late_and_mostly_for_the_referred(void **state)
{
    (void)state;
    struct clinic_options options = options_of(PLANT_NONE);
    struct clinic clinic;
    struct clinic_image image;
    struct labels labels;
    struct labelled seen = {0};
    struct error err;
    int64_t labelled_at;
    clinic_init(&clinic, &options);
    labels_init(&labels, options.seed, 0.8, 0.02);
    while (clinic_next(&clinic, &image)) {
        assert_int_equal(labels_add(&labels, &image, records_answered_at(&image), &labelled_at, &err),
                         STATUS_OK);
        note_label(options.seed, &image, labelled_at, &seen);
    }
    assert_share(seen.referred_labelled, seen.referred, 0.8, "referred");
    assert_share(seen.monitored_labelled, seen.monitored, 0.02, "monitored");
    assert_share(seen.low_digests, seen.referred_labelled, 0.5, "names say nothing of labels");
    // An exponential's deviation is its mean.
    assert_near(seen.cancer_delay / seen.cancers, 1.5, 1.5 / sqrt(seen.cancers), "weeks to a cancer's label");
    assert_near(seen.benign_delay / seen.benign, 6, 6 / sqrt(seen.benign), "weeks to another label");
    labels_release(&labels);
}

struct arrivals {
    int count, finals, mistaken, strays, early, corrections, twins;
    int64_t newest;
};

static void note_arrival(const struct labels *labels, const struct label *label, struct arrivals *seen)
{
    struct feedback feedback, read;
    struct buffer text;
    struct error err;
    buffer_init(&text, 4096);
    labels_record(labels, label, &feedback);
    assert_int_equal(feedback_write(&feedback, &text, &err), STATUS_OK);
    assert_int_equal(feedback_parse(buffer_bytes(&text), label->at, &read, &err), STATUS_OK);
    buffer_release(&text);
    assert_true(label->at >= seen->newest);
    seen->newest = label->at;
    seen->count++;
    seen->finals += label->kind == LABEL_FINAL;
    seen->mistaken += label->kind == LABEL_MISTAKEN;
    seen->strays += label->kind == LABEL_STRAY;
    seen->early += label->early;
    seen->corrections += *read.supersedes != '\0';
    seen->twins += label->at > label->reviewed_at;
    if (label->kind != LABEL_STRAY && !label->early) {
        char request_id[JOB_REQUEST_ID_SIZE];
        names_uuid(labels->seed, NAMES_REQUEST, label->image, request_id);
        assert_string_equal(read.request_id, request_id);
    }
}

static void some_labels_are_corrected_doubled_early_or_strays(void **state)
{
    (void)state;
    struct clinic_options options = options_of(PLANT_NONE);
    struct clinic clinic;
    struct clinic_image image;
    struct labels labels;
    struct label label;
    struct arrivals seen = {0};
    struct error err;
    int64_t labelled_at, labelled = 0;
    clinic_init(&clinic, &options);
    labels_init(&labels, options.seed, 1, 1);
    while (clinic_next(&clinic, &image)) {
        assert_int_equal(labels_add(&labels, &image, records_answered_at(&image), &labelled_at, &err),
                         STATUS_OK);
        labelled++;
    }
    while (labels_take(&labels, INT64_MAX, &label))
        note_arrival(&labels, &label, &seen);
    assert_int_equal(seen.count, seen.finals + seen.mistaken + seen.strays);
    assert_int_equal(seen.finals, labelled + seen.twins);
    assert_int_equal(seen.mistaken, seen.corrections);
    assert_share(seen.mistaken, (double)labelled, 0.01, "corrected");
    assert_share(seen.twins, (double)labelled, 0.01, "doubled");
    assert_share(seen.early, (double)labelled, 0.005, "early");
    assert_share(seen.strays, (double)labelled, 0.002, "strays");
    labels_release(&labels);
}

// ---- records ----

static void check_prediction(const struct clinic_image *image, const struct prediction *record)
{
    double sum = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        sum += exp(record->provenance.logits[i]);
    for (int i = 0; i < LESION_CLASSES; i++) {
        int class = 0;
        while (strcmp(lesion_names[class], record->result.differential[i].class) != 0)
            class ++;
        double p = exp(record->provenance.logits[class]) / sum;
        assert_true(fabs(record->result.differential[i].probability - p) < 1e-6);
        assert_true(i == 0 || record->result.differential[i].probability <=
                                  record->result.differential[i - 1].probability);
    }
    assert_true(fabs(record->provenance.ood.energy + log(sum)) < 1e-5);
    assert_int_equal(record->provenance.moments[MOMENT_PUBLISHED], records_answered_at(image));
    assert_true(record->result.abstained == (record->result.abstain_reasons.count > 0));
    assert_true(!record->result.abstained || image->reading.action != ACTION_MONITOR);
}

static void records_are_what_readers_take(void **state)
{
    (void)state;
    struct clinic_options options = options_of(PLANT_NONE);
    struct clinic clinic;
    struct clinic_image image;
    struct buffer text;
    struct prediction record;
    struct error err;
    int errors = 0, again = 0;
    clinic_init(&clinic, &options);
    buffer_init(&text, 64 << 10);
    for (int i = 0; i < 2000 && clinic_next(&clinic, &image); i++)
        for (int attempt = 0; attempt < records_count(&image); attempt++) {
            buffer_clear(&text);
            assert_int_equal(records_write(options.seed, &image, attempt, &text, &err), STATUS_OK);
            assert_true(text.size < 4000);
            assert_int_equal(prediction_parse(buffer_bytes(&text), &record, &err), STATUS_OK);
            bool is_error = image.failure != CLINIC_FAILS_NOT && attempt == 0;
            assert_int_equal(record.error.code != NULL, is_error);
            if (!is_error)
                check_prediction(&image, &record);
            errors += is_error;
            again += attempt;
            prediction_release(&record);
        }
    assert_true(errors > 0 && again > 0 && again < errors);
    buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponentials_and_logarithms_are_those_of_the_c_library),
        cmocka_unit_test(normals_have_the_normal_distribution),
        cmocka_unit_test(shares_and_rates_are_those_of_the_page),
        cmocka_unit_test(the_model_finds_nine_of_ten_melanomas_and_is_calibrated),
        cmocka_unit_test(what_is_planted_shows),
        cmocka_unit_test(a_change_begins_on_its_day_and_changes_nothing_else),
        cmocka_unit_test(labels_come_late_and_mostly_for_the_referred),
        cmocka_unit_test(some_labels_are_corrected_doubled_early_or_strays),
        cmocka_unit_test(records_are_what_readers_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
