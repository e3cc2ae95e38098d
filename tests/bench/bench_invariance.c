// bench_invariance.c: counts the bits in which an image's results differ when it is computed in a batch from
// those when it is computed alone: the long form of tests/kernels/test_batch_invariance.c.
//
//     bench_invariance ARCHITECTURE PRECISION[,...] THREADS [FOLDER [LARGEST [FULL]]]
//
// 100 images (the first JPEGs of FOLDER; "-": noise), alone on one thread, then in batches of every size from
// 1 to LARGEST (64) on one plan for LARGEST. For each size every image is computed once and every slot is
// used, the neighbours change from size to size; FULL: for each size every image in every slot. Logits and
// attention maps are compared. Random weights. Exit code 1 when a bit differs.
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/picture/image.h"
#include "kernels/backend.h"
#include "kernels/image/preprocess.h"
#include "kernels/model/random_weights.h"

enum { IMAGES = 100, CLASSES = 8, LARGEST = 64, SEED = 1 };

struct bench {
    const char *architecture;
    struct network *network;
    struct weights *weights;
    uint8_t *views[IMAGES];
    int threads, largest;
    bool full;
};

// One value set an image: logits, then its maps.
struct results {
    float *logits, *maps;
    size_t map_size;
};

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        fprintf(stderr, "bench_invariance: %s\n", err->message);
        exit(2);
    }
}

static int is_jpeg(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".jpg") == 0;
}

static void read_views(struct bench *bench, const char *folder, size_t view_size)
{
    struct dirent **entries = NULL;
    struct error err = {"the folder has fewer than 100 JPEGs"};
    struct preprocessing preprocessing = {.resize = bench->network->image_size * 8 / 7,
                                          .crop = bench->network->image_size};
    int count = scandir(folder, &entries, is_jpeg, alphasort);
    must(count < IMAGES ? STATUS_FATAL : STATUS_OK, &err);
    for (int i = 0; i < count; i++) {
        if (i < IMAGES) {
            struct image image;
            struct buffer bytes;
            char *path = memory_format("%s/%s", folder, entries[i]->d_name);
            buffer_init(&bytes, 64 << 20);
            must(file_read(path, &bytes, &err), &err);
            must(jpeg_decode(buffer_bytes(&bytes), 100000000, &image, &err), &err);
            bench->views[i] = memory_alloc(view_size);
            must(preprocess_view(&image, &preprocessing, bench->views[i], &err), &err);
            image_release(&image);
            buffer_release(&bytes);
            free(path);
        }
        free(entries[i]);
    }
    free(entries);
}

static void make_views(struct bench *bench, size_t view_size)
{
    for (int i = 0; i < IMAGES; i++) {
        bench->views[i] = memory_alloc(view_size);
        for (size_t j = 0; j < view_size; j++)
            bench->views[i][j] = (uint8_t)(random_weights_bits((uint64_t)i, "view", j) >> 56);
    }
}

static struct plan *prepare(const struct bench *bench, struct backend *backend, enum precision precision,
                            int max_batch)
{
    struct error err;
    struct plan *plan;
    struct plan_options options = {.precision = precision, .max_batch = max_batch, .attention = EXPLAIN_LAST};
    must(backend_prepare(backend, bench->network, bench->weights, &options, &plan, &err), &err);
    return plan;
}

static void results_init(struct results *results, const struct plan *plan, int images)
{
    size_t count = (size_t)images;
    results->map_size = (size_t)plan->heads * (size_t)plan->map_height * (size_t)plan->map_width;
    results->logits = memory_alloc(count * CLASSES * sizeof(float));
    results->maps = memory_alloc(count * results->map_size * sizeof(float));
}

static void results_release(struct results *results)
{
    free(results->logits);
    free(results->maps);
}

// Slot i of the batch holds image (first + i) % IMAGES.
static void run(const struct bench *bench, struct plan *plan, int first, int count, struct results *results)
{
    struct error err;
    const uint8_t *views[LARGEST];
    for (int i = 0; i < count; i++)
        views[i] = bench->views[(first + i) % IMAGES];
    struct inference inference = {.logits = results->logits, .attention = results->maps};
    must(plan_run(plan, views, count, &inference, &err), &err);
}

static int64_t differing_bits(const float *a, const float *b, size_t count)
{
    int64_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t x, y;
        memcpy(&x, &a[i], sizeof x);
        memcpy(&y, &b[i], sizeof y);
        bits += __builtin_popcount(x ^ y);
    }
    return bits;
}

static int64_t compare(const struct results *alone, int image, const struct results *batch, int slot)
{
    size_t map = alone->map_size;
    return differing_bits(alone->logits + image * CLASSES, batch->logits + slot * CLASSES, CLASSES) +
           differing_bits(alone->maps + (size_t)image * map, batch->maps + (size_t)slot * map, map);
}

// Every image alone, on one thread.
static void run_alone(const struct bench *bench, enum precision precision, struct results *alone)
{
    struct error err;
    struct backend *backend;
    must(backend_open(&backend, "cpu", 1, &err), &err);
    struct plan *plan = prepare(bench, backend, precision, 1);
    results_init(alone, plan, IMAGES);
    for (int i = 0; i < IMAGES; i++) {
        struct results one = {.logits = alone->logits + i * CLASSES,
                              .maps = alone->maps + (size_t)i * alone->map_size};
        run(bench, plan, i, 1, &one);
    }
    plan_free(plan);
    backend_close(backend);
}

static int64_t check(const struct bench *bench, enum precision precision)
{
    struct error err;
    struct backend *backend;
    struct results alone, batch;
    int64_t compared = 0, bits = 0, begun_ms = clock_monotonic_ms();
    run_alone(bench, precision, &alone);
    must(backend_open(&backend, "cpu", bench->threads, &err), &err);
    struct plan *plan = prepare(bench, backend, precision, bench->largest);
    results_init(&batch, plan, bench->largest);
    for (int size = 1; size <= bench->largest; size++) {
        int step = bench->full ? 1 : size;
        for (int first = 0; first < IMAGES; first += step) {
            int from = first + size * 37; // other neighbours for each size
            run(bench, plan, from, size, &batch);
            for (int slot = 0; slot < size; slot++)
                bits += compare(&alone, (from + slot) % IMAGES, &batch, slot);
            compared += size;
        }
    }
    printf("%s %s, %d threads, %d images, sizes 1-%d, %s: %" PRId64
           " results of %zu values compared, %" PRId64 " differing bits, %.0f s\n",
           bench->architecture, precision_names[precision], bench->threads, IMAGES, bench->largest,
           bench->full ? "every image in every slot" : "every image and every slot once", compared,
           CLASSES + alone.map_size, bits, (double)(clock_monotonic_ms() - begun_ms) / 1e3);
    fflush(stdout);
    results_release(&alone);
    results_release(&batch);
    plan_free(plan);
    backend_close(backend);
    return bits;
}

int main(int argc, char **argv)
{
    struct error err;
    int64_t bits = 0;
    if (argc < 4) {
        fputs("usage: bench_invariance ARCHITECTURE PRECISION[,...] THREADS [FOLDER [LARGEST [FULL]]]\n",
              stderr);
        return 2;
    }
    struct bench bench = {.architecture = argv[1],
                          .threads = atoi(argv[3]),
                          .largest = argc > 5 ? atoi(argv[5]) : LARGEST,
                          .full = argc > 6};
    if (bench.largest < 1 || bench.largest > LARGEST)
        bench.largest = LARGEST;
    must(network_build(&bench.network, bench.architecture, CLASSES, &err), &err);
    bench.weights = weights_new();
    random_weights_fill(bench.weights, bench.network, SEED);
    size_t view_size = (size_t)bench.network->image_size * (size_t)bench.network->image_size * 3;
    if (argc > 4 && strcmp(argv[4], "-") != 0)
        read_views(&bench, argv[4], view_size);
    else
        make_views(&bench, view_size);
    for (char *name = strtok(argv[2], ","); name; name = strtok(NULL, ",")) {
        enum precision precision;
        (void)error_set(&err, STATUS_REJECTED, "'%.32s' is not a precision", name);
        must(precision_parse(name, &precision) ? STATUS_OK : STATUS_REJECTED, &err);
        bits += check(&bench, precision);
    }
    for (int i = 0; i < IMAGES; i++)
        free(bench.views[i]);
    weights_close(bench.weights);
    network_free(bench.network);
    return bits > 0;
}
