// features.c: the table of features, and the counting.
#include "monitor/drift/features.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"

_Static_assert(DRIFT_CATEGORY_BINS >= DRIFT_NUMBER_BINS, "a tally's rows hold both");

enum {
    NUMBER_BRIGHTNESS,
    NUMBER_CONTRAST,
    NUMBER_SHARPNESS,
    NUMBER_RED,
    NUMBER_GREEN,
    NUMBER_BLUE,
    NUMBER_DISTANCE,
    NUMBER_BYTES
};
enum { CATEGORY_SITE, CATEGORY_DEVICE, CATEGORY_LOCATION, CATEGORY_SKIN, CATEGORY_DERMATOSCOPE };

const char *const drift_features[DRIFT_FEATURES] = {
    "brightness",   "contrast",       "sharpness",       "red",
    "green",        "blue",           "ood_distance",    "image_bytes",
    "site",         "capture_device", "lesion_location", "fitzpatrick_type",
    "dermatoscope", "histogram_r",    "histogram_g",     "histogram_b",
};

const char *const drift_rates[DRIFT_RATES] = {"urgent_referral", "low_confidence", "out_of_distribution"};

// ---- one analysis ----

static const float *histogram_of(const struct analysis *analysis, int channel)
{
    const float *const channels[DRIFT_HISTOGRAMS] = {
        analysis->features.histogram_r, analysis->features.histogram_g, analysis->features.histogram_b};
    return channels[channel];
}

// From 0 to 1; each value counts as the middle of its bin.
static double channel_mean(const float *histogram)
{
    double sum = 0;
    for (int i = 0; i < FEATURES_BINS; i++)
        sum += histogram[i] * (16 * i + 7.5) / 255;
    return sum;
}

double drift_number(int number, const struct analysis *analysis)
{
    switch (number) {
    case NUMBER_BRIGHTNESS:
        return analysis->features.brightness;
    case NUMBER_CONTRAST:
        return analysis->features.contrast;
    case NUMBER_SHARPNESS:
        return analysis->features.sharpness;
    case NUMBER_RED:
    case NUMBER_GREEN:
    case NUMBER_BLUE:
        return channel_mean(histogram_of(analysis, number - NUMBER_RED));
    case NUMBER_DISTANCE:
        return analysis->ood.distance;
    default:
        return analysis->image_bytes < 0 ? NAN : (double)analysis->image_bytes;
    }
}

void drift_category(int category, const struct analysis *analysis, char name[DRIFT_NAME_SIZE])
{
    const char *text = "";
    char digits[24] = "";
    switch (category) {
    case CATEGORY_SITE:
        text = analysis->site;
        break;
    case CATEGORY_DEVICE:
        text = analysis->capture_device;
        break;
    case CATEGORY_LOCATION:
        text = analysis->lesion_location;
        break;
    case CATEGORY_SKIN:
        if (analysis->fitzpatrick_type >= 0)
            snprintf(digits, sizeof digits, "%lld", (long long)analysis->fitzpatrick_type);
        text = digits;
        break;
    case CATEGORY_DERMATOSCOPE:
        text = analysis->dermatoscope_attached < 0 ? "" : analysis->dermatoscope_attached ? "yes" : "no";
        break;
    }
    text_cut(text && *text ? text : "unknown", name, DRIFT_NAME_SIZE);
}

// ---- bins ----

int drift_bin_count(const struct drift_bins *bins, int feature)
{
    return feature < DRIFT_NUMBERS ? DRIFT_NUMBER_BINS : bins->name_counts[feature - DRIFT_NUMBERS] + 1;
}

static uint8_t number_place(const double edges[DRIFT_EDGES], double value)
{
    if (!isfinite(value) || isnan(edges[0]))
        return DRIFT_ABSENT;
    if (value == edges[DRIFT_EDGES - 1]) // the last inner bin has both of its edges
        return DRIFT_NUMBER_BINS - 2;
    int place = 0;
    while (place < DRIFT_EDGES && value >= edges[place])
        place++;
    return (uint8_t)place;
}

void drift_places(const struct drift_bins *bins, const struct analysis *analysis,
                  uint8_t places[DRIFT_COUNTED])
{
    for (int i = 0; i < DRIFT_NUMBERS; i++)
        places[i] = number_place(bins->edges[i], drift_number(i, analysis));
    for (int i = 0; i < DRIFT_CATEGORIES; i++) {
        char name[DRIFT_NAME_SIZE];
        int place = 0;
        drift_category(i, analysis, name);
        while (place < bins->name_counts[i] && strcmp(name, bins->names[i][place]) != 0)
            place++;
        places[DRIFT_NUMBERS + i] = (uint8_t)place;
    }
}

// ---- counts ----

void drift_output_add(struct drift_output *output, const struct analysis *analysis)
{
    const double values[DRIFT_MEANS] = {analysis->entropy_nats, analysis->confidence};
    output->n++;
    output->said[analysis->action][analysis->class]++;
    output->classes[analysis->class]++;
    output->abstained += analysis->abstained;
    for (int i = 0; i < DRIFT_MEANS; i++) {
        output->sums[i] += values[i];
        output->squares[i] += values[i] * values[i];
    }
    output->trials[RATE_URGENT]++;
    output->events[RATE_URGENT] += analysis->action == ACTION_URGENT_REFERRAL;
    output->trials[RATE_LOW_CONFIDENCE]++;
    output->events[RATE_LOW_CONFIDENCE] += analysis->confidence < DRIFT_LOW_CONFIDENCE;
    if (!isnan(analysis->ood.quantile)) {
        output->trials[RATE_FAR]++;
        output->events[RATE_FAR] += analysis->ood.quantile > DRIFT_FAR;
    }
}

void drift_output_merge(struct drift_output *into, const struct drift_output *from)
{
    into->n += from->n;
    into->abstained += from->abstained;
    for (int i = 0; i < LESION_CLASSES; i++)
        into->classes[i] += from->classes[i];
    for (int i = 0; i < DRIFT_MEANS; i++) {
        into->sums[i] += from->sums[i];
        into->squares[i] += from->squares[i];
    }
    for (int i = 0; i < DRIFT_RATES; i++) {
        into->events[i] += from->events[i];
        into->trials[i] += from->trials[i];
    }
    for (int action = 0; action < ACTION_COUNT; action++)
        for (int i = 0; i < LESION_CLASSES; i++)
            into->said[action][i] += from->said[action][i];
}

void drift_tally_add(struct drift_tally *tally, const struct drift_bins *bins,
                     const struct analysis *analysis)
{
    uint8_t places[DRIFT_COUNTED];
    drift_places(bins, analysis, places);
    for (int i = 0; i < DRIFT_COUNTED; i++)
        if (places[i] != DRIFT_ABSENT)
            tally->counts[i][places[i]]++;
    for (int i = 0; i < DRIFT_NUMBERS; i++)
        if (places[i] != DRIFT_ABSENT) {
            double value = drift_number(i, analysis);
            tally->sums[i][places[i]] += value;
            tally->squares[i] += value * value;
        }
    for (int channel = 0; channel < DRIFT_HISTOGRAMS; channel++) {
        const float *histogram = histogram_of(analysis, channel);
        for (int i = 0; i < FEATURES_BINS && !isnan(histogram[0]); i++)
            tally->histograms[channel][i] += histogram[i];
    }
    drift_output_add(&tally->output, analysis);
}

void drift_tally_merge(struct drift_tally *into, const struct drift_tally *from)
{
    for (int i = 0; i < DRIFT_COUNTED; i++)
        for (int bin = 0; bin < DRIFT_CATEGORY_BINS; bin++)
            into->counts[i][bin] += from->counts[i][bin];
    for (int i = 0; i < DRIFT_NUMBERS; i++) {
        for (int bin = 0; bin < DRIFT_NUMBER_BINS; bin++)
            into->sums[i][bin] += from->sums[i][bin];
        into->squares[i] += from->squares[i];
    }
    for (int channel = 0; channel < DRIFT_HISTOGRAMS; channel++)
        for (int i = 0; i < FEATURES_BINS; i++)
            into->histograms[channel][i] += from->histograms[channel][i];
    drift_output_merge(&into->output, &from->output);
}
