// jitter.c: brightness, contrast, saturation and hue as Pillow's ImageEnhance and torchvision's adjust_hue
// compute them: in float, truncated to bytes. The order of the operations decides bits.
#include <math.h>

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

static void change_brightness(uint8_t *view, size_t pixels, float factor)
{
    for (size_t i = 0; i < 3 * pixels; i++)
        view[i] = blend(0, view[i], factor);
}

static void change_contrast(uint8_t *view, size_t pixels, float factor)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < pixels; i++)
        sum += (uint64_t)grey(view + 3 * i);
    int mean = (int)((double)sum / (double)pixels + 0.5);
    for (size_t i = 0; i < 3 * pixels; i++)
        view[i] = blend(mean, view[i], factor);
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
    turn = (float)fmod((double)turn / 6.0 + 1.0, 1.0);
    *hue = clip((int)((double)turn * 255.0));
    *saturation = clip((int)((double)(range / (float)most) * 255.0));
}

static void set_hue(uint8_t *pixel, int hue, int saturation, int value)
{
    // Which of value, least (p), falling (q) and rising (t) channel is red, green and blue in each sixth of a
    // turn.
    static const uint8_t places[6][3] = {{0, 3, 1}, {2, 0, 1}, {1, 0, 3}, {1, 2, 0}, {3, 1, 0}, {0, 1, 2}};
    int sixth = (int)floor((double)hue * 6.0 / 255.0);
    float rest = (float)((double)hue * 6.0 / 255.0 - (double)sixth);
    float share = (float)((double)saturation / 255.0), fallen = share * rest;
    double v = value;
    const uint8_t levels[4] = {(uint8_t)value, clip((int)round(v * (1.0 - (double)share))),
                               clip((int)round(v * (1.0 - (double)fallen))),
                               clip((int)round(v * (1.0 - (double)share * (1.0 - (double)rest))))};
    for (int c = 0; c < 3; c++)
        pixel[c] = levels[places[sixth % 6][c]];
}

// A picture goes through bytes of hue, saturation and value even where the hue stays: that rounds.
static void change_hue(uint8_t *view, size_t pixels, double turn)
{
    uint8_t shift = (uint8_t)(int32_t)(turn * 255);
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
            set_hue(pixel, (uint8_t)(hue + shift), saturation, most);
    }
}

void augmentation_jitter(uint8_t *view, int size, enum jitter kind, double factor)
{
    size_t pixels = (size_t)size * (size_t)size;
    switch (kind) {
    case JITTER_BRIGHTNESS:
        change_brightness(view, pixels, (float)factor);
        break;
    case JITTER_CONTRAST:
        change_contrast(view, pixels, (float)factor);
        break;
    case JITTER_SATURATION:
        change_saturation(view, pixels, (float)factor);
        break;
    default:
        change_hue(view, pixels, factor);
        break;
    }
}
