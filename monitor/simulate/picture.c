// picture.c: level, contrast and sharpness are drawn; the histograms follow from them.
#include "monitor/simulate/picture.h"

#include <math.h>

static double within(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

// Shares of a logistic distribution in the bins, each times 1 +- 0.15, then summing to 1. The outermost bins
// take what lies beyond 0 and 1.
static void draw_histogram(struct draws *draws, double mean, double deviation, float histogram[FEATURES_BINS])
{
    enum { SHAKES = 4 };                           // 16 bits each, of one draw
    double scale = deviation / 1.8137993642342178; // pi / sqrt(3)
    // 1 / (1 + e^((mean - edge) / scale)), whose power shrinks by the same factor from edge to edge
    double power = draws_exp(within(mean / scale, -600, 600));
    double factor = draws_exp(within(-1 / (FEATURES_BINS * scale), -600, 600));
    double below = 0, sum = 0, shares[FEATURES_BINS];
    uint64_t shakes = 0;
    for (int bin = 0; bin < FEATURES_BINS; bin++) {
        if (bin % SHAKES == 0)
            shakes = draws_bits(draws);
        power *= factor;
        double upto = bin + 1 < FEATURES_BINS ? 1 / (1 + power) : 1;
        shares[bin] = (upto - below) * (0.85 + 0.3 * (double)(shakes & 0xffff) * 0x1p-16);
        sum += shares[bin];
        shakes >>= 16;
        below = upto;
    }
    for (int bin = 0; bin < FEATURES_BINS; bin++)
        histogram[bin] = (float)(shares[bin] / sum);
}

void picture_draw(struct draws *draws, const struct camera *camera, int skin_type, bool swapped,
                  struct features *features)
{
    double green = camera->level - 0.03 * (skin_type - 2) + 0.06 * draws_normal(draws);
    green = within(green, 0.05, 0.85);
    double red = green + camera->red, blue = green + camera->blue;
    double contrast = within(camera->contrast * draws_exp(0.25 * draws_normal(draws)), 0.02, 0.5);
    double sharpness = camera->sharpness * draws_exp(0.5 * draws_normal(draws));
    if (swapped) {
        double kept = red;
        red = blue;
        blue = kept;
    }
    features->brightness = (float)(0.299 * red + 0.587 * green + 0.114 * blue);
    features->contrast = (float)contrast;
    features->sharpness = (float)sharpness;
    draw_histogram(draws, red, contrast, features->histogram_r);
    draw_histogram(draws, green, contrast, features->histogram_g);
    draw_histogram(draws, blue, contrast, features->histogram_b);
}

int64_t picture_bytes(struct draws *draws, const struct camera *camera)
{
    return (int64_t)(camera->bytes * draws_exp(0.3 * draws_normal(draws)));
}
