// bench_preprocess.c: times the way from JPEG bytes to the network's normalised floats, on one core.
//
//     bench_preprocess REPEATS [--floats OUT] FILE...
//
// Prints one line a file: milliseconds of processor time for decoding, resizing and cropping, normalising,
// and all three, each the best of REPEATS. --floats writes the floats of every file one after the other, for
// comparing bits (preprocess_peers.py does).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/bytes.h"
#include "common/picture/image.h"
#include "kernels/image/preprocess.h"
#include "kernels/image/resize.h"

enum { MAX_FILE_SIZE = 64 * 1024 * 1024 };

static const int64_t max_pixels = 200 * 1000 * 1000;
static const struct preprocessing recipe = {.version = "v1",
                                            .resize = 256,
                                            .crop = 224,
                                            .mean = {0.485f, 0.456f, 0.406f},
                                            .std = {0.229f, 0.224f, 0.225f}};

struct times {
    double decode_ms, resize_ms, normalise_ms, all_ms;
};

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

static bool read_file(const char *path, struct buffer *data, struct error *err)
{
    buffer_clear(data);
    FILE *file = fopen(path, "rb");
    if (!file) {
        (void)error_set(err, STATUS_REJECTED, "can't be opened");
        return false;
    }
    uint8_t piece[64 * 1024];
    size_t size;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && (size = fread(piece, 1, sizeof piece, file)) > 0)
        status = buffer_append(data, piece, size, err);
    fclose(file);
    return status == STATUS_OK;
}

static enum status measure(struct bytes data, int repeats, const float *table, uint8_t *view, float *floats,
                           struct times *best, struct error *err)
{
    *best = (struct times){1e9, 1e9, 1e9, 1e9};
    for (int i = 0; i < repeats; i++) {
        struct image image = {0};
        double start = now_ms();
        enum status status = jpeg_decode(data, max_pixels, &image, err);
        double decoded = now_ms();
        if (status == STATUS_OK)
            status = preprocess_view(&image, &recipe, view, err);
        double resized = now_ms();
        image_release(&image);
        if (status != STATUS_OK)
            return status;
        preprocess_normalise(view, recipe.crop, table, floats);
        double end = now_ms();
        best->decode_ms = smaller(best->decode_ms, decoded - start);
        best->resize_ms = smaller(best->resize_ms, resized - decoded);
        best->normalise_ms = smaller(best->normalise_ms, end - resized);
        best->all_ms = smaller(best->all_ms, end - start);
    }
    return STATUS_OK;
}

static int measure_files(int repeats, int count, char **paths, FILE *output)
{
    static uint8_t view[224 * 224 * 3];
    static float floats[224 * 224 * 3];
    float table[3 * 256];
    preprocess_table(recipe.mean, recipe.std, table);
    struct buffer data;
    buffer_init(&data, MAX_FILE_SIZE);
    int failures = 0;
    for (int i = 0; i < count; i++) {
        struct times best;
        struct error err;
        if (!read_file(paths[i], &data, &err) ||
            measure(buffer_bytes(&data), repeats, table, view, floats, &best, &err) != STATUS_OK) {
            fprintf(stderr, "%s: %s\n", paths[i], err.message);
            failures++;
            continue;
        }
        printf("%.4f %.4f %.4f %.4f %s\n", best.decode_ms, best.resize_ms, best.normalise_ms, best.all_ms,
               paths[i]);
        if (output && fwrite(floats, sizeof floats, 1, output) != 1)
            failures++;
    }
    buffer_release(&data);
    return failures;
}

int main(int argc, char **argv)
{
    int repeats = argc > 2 ? atoi(argv[1]) : 0;
    if (repeats < 1) {
        fputs("usage: bench_preprocess REPEATS [--floats OUT] FILE...\n", stderr);
        return 2;
    }
    int first = 2;
    FILE *output = NULL;
    if (argc > 4 && strcmp(argv[2], "--floats") == 0) {
        output = fopen(argv[3], "wb");
        if (!output) {
            perror(argv[3]);
            return 1;
        }
        first = 4;
    }
    fprintf(stderr, "kernels: %s\n", resize_kernels_best()->name);
    int failures = measure_files(repeats, argc - first, argv + first, output);
    if (output && fclose(output) != 0)
        failures++;
    return failures ? 1 : 0;
}
