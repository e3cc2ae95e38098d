// jitter.c: brightness, contrast, saturation and hue as Pillow's ImageEnhance and torchvision's adjust_hue
// compute them: in float, truncated to bytes. The order of the operations decides bits.
#include "kernels/image/augmentation.h"

static uint8_t clip(int value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

// From `from` to `to` by factor, which may go beyond both.
static uint8_t blend(int from, int to, float factor)
{
    float value = (float)from + factor * (float)(to - from);
    return value <= 0.0f ? 0 : value >= 255.0f ? 255 : (uint8_t)value;
}

// ITU-R 601-2 with 16 fraction bits.
static int grey(const uint8_t *pixel)
{
    return (pixel[0] * 19595 + pixel[1] * 38470 + pixel[2] * 7471 + 0x8000) >> 16;
}

// All bytes from one level by factor.
static void blend_all(uint8_t *view, size_t pixels, int from, float factor)
{
    uint8_t table[256];
    for (int i = 0; i < 256; i++)
        table[i] = blend(from, i, factor);
    for (size_t i = 0; i < 3 * pixels; i++)
        view[i] = table[view[i]];
}

// Of the picture in grey.
static int mean_level(const uint8_t *view, size_t pixels)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < pixels; i++)
        sum += (uint64_t)grey(view + 3 * i);
    return (int)((double)sum / (double)pixels + 0.5);
}

static void change_saturation(uint8_t *view, size_t pixels, float factor)
{
    for (size_t i = 0; i < pixels; i++) {
        uint8_t *pixel = view + 3 * i;
        int level = grey(pixel);
        for (int c = 0; c < 3; c++)
            pixel[c] = blend(level, pixel[c], factor);
    }
}

// Hue and saturation as bytes; the value is the largest channel.
static void find_hue(const uint8_t *pixel, int most, int least, int *hue, int *saturation)
{
    float range = (float)(most - least);
    float red = (float)(most - pixel[0]) / range, green = (float)(most - pixel[1]) / range;
    float blue = (float)(most - pixel[2]) / range;
    float turn;
    if (pixel[0] == most)
        turn = blue - green;
    else if (pixel[1] == most)
        turn = (float)(2.0 + (double)red - (double)blue);
    else
        turn = (float)(4.0 + (double)green - (double)red);
    double whole = (double)turn / 6.0 + 1.0; // from 5/6 to 11/6, so fmod is a subtraction
    turn = (float)(whole >= 1.0 ? whole - 1.0 : whole);
    *hue = clip((int)((double)turn * 255.0));
    *saturation = clip((int)((double)(range / (float)most) * 255.0));
}

// round() of what is not negative, without its call.
static int round_up_half(double value)
{
    int whole = (int)value;
    return whole + (value - whole >= 0.5);
}

// What follows from each byte of hue and of saturation alone.
struct hue_tables {
    uint8_t sixth[256];
    float rest[256], share[256];
};

static void fill_tables(struct hue_tables *tables)
{
    for (int i = 0; i < 256; i++) {
        int sixth = (int)((double)i * 6.0 / 255.0);
        tables->sixth[i] = (uint8_t)(sixth % 6);
        tables->rest[i] = (float)((double)i * 6.0 / 255.0 - (double)sixth);
        tables->share[i] = (float)((double)i / 255.0);
    }
}

static void set_hue(uint8_t *pixel, const struct hue_tables *tables, int hue, int saturation, int value)
{
    // Which of value, least (p), falling (q) and rising (t) channel is red, green and blue in each sixth of a
    // turn.
    static const uint8_t places[6][3] = {{0, 3, 1}, {2, 0, 1}, {1, 0, 3}, {1, 2, 0}, {3, 1, 0}, {0, 1, 2}};
    float rest = tables->rest[hue], share = tables->share[saturation], fallen = share * rest;
    double v = value;
    const uint8_t levels[4] = {(uint8_t)value, clip(round_up_half(v * (1.0 - (double)share))),
                               clip(round_up_half(v * (1.0 - (double)fallen))),
                               clip(round_up_half(v * (1.0 - (double)share * (1.0 - (double)rest))))};
    const uint8_t *place = places[tables->sixth[hue]];
    for (int c = 0; c < 3; c++)
        pixel[c] = levels[place[c]];
}

// A picture goes through bytes of hue, saturation and value even where the hue stays: that rounds.
static void change_hue(uint8_t *view, size_t pixels, double turn)
{
    struct hue_tables tables;
    uint8_t shift = (uint8_t)(int32_t)(turn * 255);
    fill_tables(&tables);
    for (size_t i = 0; i < pixels; i++) {
        uint8_t *pixel = view + 3 * i;
        int most = pixel[0], least = pixel[0], hue = 0, saturation = 0;
        for (int c = 1; c < 3; c++) {
            most = pixel[c] > most ? pixel[c] : most;
            least = pixel[c] < least ? pixel[c] : least;
        }
        if (most == least)
            continue; // grey has no hue
        find_hue(pixel, most, least, &hue, &saturation);
        if (saturation == 0)
            pixel[0] = pixel[1] = pixel[2] = (uint8_t)most;
        else
            set_hue(pixel, &tables, (uint8_t)(hue + shift), saturation, most);
    }
}

void augmentation_jitter(uint8_t *view, int size, enum jitter kind, double factor)
{
    size_t pixels = (size_t)size * (size_t)size;
    switch (kind) {
    case JITTER_BRIGHTNESS:
        blend_all(view, pixels, 0, (float)factor);
        break;
    case JITTER_CONTRAST:
        blend_all(view, pixels, mean_level(view, pixels), (float)factor);
        break;
    case JITTER_SATURATION:
        change_saturation(view, pixels, (float)factor);
        break;
    default:
        change_hue(view, pixels, factor);
        break;
    }
}
