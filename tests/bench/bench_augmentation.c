// bench_augmentation.c: what a training picture costs: each step of augmentation and all of them, for one
// thread.
//
//     bench_augmentation FILE.jpg [SIZE]
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/file.h"
#include "kernels/image/augmentation.h"
#include "kernels/image/preprocess.h"

enum { ROUNDS = 400, MOST_SIDE = 1024 };

static uint8_t view[MOST_SIDE * MOST_SIDE * 3], turned[sizeof view];
static float floats[MOST_SIDE * MOST_SIDE * 3];
static struct image picture, resized;
static struct buffer file;
static struct augmentation draws[ROUNDS];
static float table[3 * 256];
static int size = 224;

static void check(enum status status, const struct error *err)
{
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

// Processor time of this thread, so that a busy machine matters less.
static double processor_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void decode(int i)
{
    struct error err;
    (void)i;
    image_release(&picture);
    check(jpeg_decode(buffer_bytes(&file), 1 << 26, &picture, &err), &err);
}

static void resize(int i)
{
    struct error err;
    (void)i;
    image_release(&resized);
    check(augmentation_resize(&picture, size + AUGMENTATION_MARGIN, &resized, &err), &err);
}

static void crop(int i)
{
    struct error err;
    check(augmentation_crop(&resized, &draws[i].crop, size, view, &err), &err);
}

// Each of the next on a picture that no other has changed.
static void fresh(void)
{
    for (size_t i = 0; i < 3 * (size_t)size * (size_t)size; i++)
        view[i] = turned[i];
}

static void flip(int i)
{
    augmentation_flip(view, size, draws[i].flip_across, draws[i].flip_down);
}

static void rotate(int i)
{
    augmentation_rotate(view, size, draws[i].angle, turned);
}

static void brightness(int i)
{
    fresh();
    augmentation_jitter(view, size, JITTER_BRIGHTNESS, draws[i].factors[JITTER_BRIGHTNESS]);
}

static void contrast(int i)
{
    fresh();
    augmentation_jitter(view, size, JITTER_CONTRAST, draws[i].factors[JITTER_CONTRAST]);
}

static void saturation(int i)
{
    fresh();
    augmentation_jitter(view, size, JITTER_SATURATION, draws[i].factors[JITTER_SATURATION]);
}

static void hue(int i)
{
    fresh();
    augmentation_jitter(view, size, JITTER_HUE, draws[i].factors[JITTER_HUE]);
}

static void normalise(int i)
{
    augmentation_normalise(view, size, table, &draws[i], floats);
}

static void all(int i)
{
    struct error err;
    resize(i);
    check(augmentation_view(&resized, &draws[i], size, view, &err), &err);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(int i);
    } steps[] = {{"decode", decode},       {"resize", resize},         {"crop", crop},
                 {"flips", flip},          {"rotation", rotate},       {"brightness", brightness},
                 {"contrast", contrast},   {"saturation", saturation}, {"hue", hue},
                 {"normalise", normalise}, {"resize to view", all}};
    static const float mean[] = {0.485f, 0.456f, 0.406f}, std[] = {0.229f, 0.224f, 0.225f};
    struct error err;
    const struct random_stream stream = {1, 1};
    if (argc < 2) {
        fprintf(stderr, "usage: bench_augmentation FILE.jpg [SIZE]\n");
        return 2;
    }
    if (argc > 2)
        size = atoi(argv[2]);
    if (size < 1 || size > MOST_SIDE)
        return 2;
    buffer_init(&file, 1 << 26);
    check(file_read(argv[1], &file, &err), &err);
    preprocess_table(mean, std, table);
    for (int i = 0; i < ROUNDS; i++)
        draws[i] = augmentation_draw(&stream, (uint64_t)i, size);
    for (size_t step = 0; step < sizeof steps / sizeof steps[0]; step++) {
        double start = processor_ms();
        for (int i = 0; i < ROUNDS; i++)
            steps[step].run(i);
        printf("%-16s %7.3f ms\n", steps[step].name, (processor_ms() - start) / ROUNDS);
    }
    return 0;
}
