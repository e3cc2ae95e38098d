// reader.c: draws the point, and says what follows from it.
#include "monitor/simulate/reader.h"

#include <math.h>

// Distance of a class's corner from the origin, in standard deviations. With the shares of primary care, and
// melanoma's threshold where it finds 0.90 of them, 0.95 of the others are below.
static const double separation = 2.35;
static const double hidden = 20; // by which a hidden melanoma's logit is lower: far below the threshold

enum { QUANTILES = 21 };
// Of the distance to the nearest corner where nothing is strange, every 5 %.
static const double distance_quantiles[QUANTILES] = {0,      1.6277, 1.8265, 1.9636, 2.0744, 2.1725, 2.2625,
                                                     2.3480, 2.4307, 2.5123, 2.5947, 2.6777, 2.7635, 2.8535,
                                                     2.9503, 3.0557, 3.1761, 3.3191, 3.5019, 3.7802, 6.4928};
static const double distance_far = 4.3194; // at 0.99

void reader_init(struct reader *reader, const double shares[LESION_CLASSES], double urgent)
{
    for (int i = 0; i < LESION_CLASSES; i++)
        reader->learnt[i] = draws_ln(shares[i]);
    reader->urgent = urgent;
}

// Linear between those quantiles and the one that is far, so that far is also what lies above 0.99.
static double quantile_of(double distance)
{
    const double steps = QUANTILES - 1, before_last = distance_quantiles[QUANTILES - 2];
    if (distance >= distance_quantiles[QUANTILES - 1])
        return 1;
    if (distance >= distance_far)
        return 0.99 + 0.01 * (distance - distance_far) / (distance_quantiles[QUANTILES - 1] - distance_far);
    if (distance >= before_last)
        return 0.95 + 0.04 * (distance - before_last) / (distance_far - before_last);
    int i = 1;
    while (distance >= distance_quantiles[i])
        i++;
    double low = distance_quantiles[i - 1];
    return (i - 1 + (distance - low) / (distance_quantiles[i] - low)) / steps;
}

// point: in standard deviations.
static void fill_ood(const double point[LESION_CLASSES], double strangeness, struct reading *reading)
{
    double square = 0, nearest = point[0];
    for (int i = 0; i < LESION_CLASSES; i++) {
        square += point[i] * point[i];
        if (point[i] > nearest)
            nearest = point[i];
    }
    square += separation * separation - 2 * separation * nearest;
    double distance = strangeness * sqrt(square > 0 ? square : 0);
    reading->ood.distance = (float)distance;
    reading->ood.quantile = (float)quantile_of(distance);
    reading->far = distance > distance_far;
}

static void sort_classes(struct reading *reading)
{
    for (int i = 0; i < LESION_CLASSES; i++) {
        int at = i;
        for (; at > 0 && reading->probabilities[reading->order[at - 1]] < reading->probabilities[i]; at--)
            reading->order[at] = reading->order[at - 1];
        reading->order[at] = (enum lesion_class)i;
    }
}

// The probabilities of the logits as they are written, so that whoever computes them again finds the same.
static void fill_probabilities(struct reading *reading)
{
    double most = reading->logits[0], sum = 0, powers[LESION_CLASSES], entropy = 0;
    for (int i = 1; i < LESION_CLASSES; i++)
        if (reading->logits[i] > most)
            most = reading->logits[i];
    for (int i = 0; i < LESION_CLASSES; i++)
        sum += powers[i] = draws_exp(reading->logits[i] - most);
    double log_sum = most + draws_ln(sum);
    for (int i = 0; i < LESION_CLASSES; i++) {
        double probability = powers[i] / sum;
        reading->probabilities[i] = (float)probability;
        entropy += probability * (log_sum - reading->logits[i]);
    }
    reading->entropy_nats = (float)(entropy > 0 ? entropy : 0);
    reading->ood.energy = (float)-log_sum;
}

// The rules of the simulated clinic's policy.
static void decide(const struct reader *reader, struct reading *reading)
{
    const float *probabilities = reading->probabilities;
    reading->malignant = probabilities[LESION_MEL] + probabilities[LESION_BCC] + probabilities[LESION_SCC];
    reading->low_confidence = probabilities[reading->order[0]] < 0.5f;
    if (probabilities[LESION_MEL] >= reader->urgent)
        reading->action = ACTION_URGENT_REFERRAL;
    else if (reading->malignant >= 0.2f || probabilities[LESION_AK] >= 0.3f || reading->low_confidence ||
             reading->far)
        reading->action = ACTION_ROUTINE_REFERRAL;
    else
        reading->action = ACTION_MONITOR;
}

void reader_read(const struct reader *reader, struct draws *draws, enum lesion_class truth,
                 const struct legibility *legibility, struct reading *reading)
{
    double point[LESION_CLASSES];
    for (int i = 0; i < LESION_CLASSES; i++)
        point[i] = draws_normal(draws);
    point[truth] += separation * legibility->clarity;
    for (int i = 0; i < LESION_CLASSES; i++)
        reading->logits[i] = (float)(reader->learnt[i] + separation * point[i]);
    if (legibility->hides_melanoma)
        reading->logits[LESION_MEL] -= (float)hidden;
    fill_ood(point, legibility->strangeness, reading);
    fill_probabilities(reading);
    sort_classes(reading);
    decide(reader, reading);
}
