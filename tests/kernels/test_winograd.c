// test_winograd.c: a 3 x 3 convolution by Winograd's algorithm (conv_ops.h), from places to places, against
// the definition in double: weights with heavy tails, and one place 300 times the others.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/cpu_features.h"
#include "kernels/cpu/conv_ops.h"
#include "kernels/model/random_weights.h"
#include "tests/support/plain_kernels.h"
#include "tests/support/skip.h"

enum { HEIGHT = 9, WIDTH = 10, IN = 31, OUT = 17, LOUD = 300 };

struct winograd_case {
    int size; // of a tile
    float in[HEIGHT * WIDTH * IN], weight[OUT * IN * 9];
    float point_weight[WINOGRAD_POINTS * OUT * IN], bias[32];
    float points[WINOGRAD_POINTS * IN], sums[WINOGRAD_POINTS * 32], out[HEIGHT * WIDTH * OUT];
};

// Uniform in -scale..scale.
static void fill(float *values, int count, const char *name, float scale)
{
    for (int i = 0; i < count; i++) {
        uint64_t bits = random_weights_bits(11, name, (uint64_t)i);
        values[i] = ((float)(bits >> 40) * 0x1p-23f - 1.0f) * scale;
    }
}

// The matrices G of Lavin and Gray.
static void filter_to_points(int size, const float *filter_3x3, float *points, size_t stride)
{
    static const double two[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
    static const double four[WINOGRAD_SIDE][3] = {{1.0 / 4, 0, 0},
                                                  {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                                  {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                                  {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                                  {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                                  {0, 0, 1}};
    const double(*g)[3] = size == 2 ? two : four;
    int side = size + 2;
    for (int point = 0; point < side * side; point++) {
        double sum = 0;
        for (int i = 0; i < 9; i++)
            sum += g[point / side][i / 3] * g[point % side][i % 3] * (double)filter_3x3[i];
        points[(size_t)point * stride] = (float)sum;
    }
}

static void make_case(struct winograd_case *c, int size)
{
    c->size = size;
    fill(c->in, HEIGHT * WIDTH * IN, "winograd", 2);
    for (int i = 0; i < IN; i++)
        c->in[(4 * WIDTH + 6) * IN + i] *= LOUD;
    fill(c->weight, OUT * IN * 9, "winograd.weight", 1);
    for (int i = 0; i < OUT * IN * 9; i++)
        c->weight[i] *= powf(c->weight[i], 4); // the greatest is 32 times the median
    for (int pair = 0; pair < OUT * IN; pair++)
        filter_to_points(size, c->weight + 9 * pair, c->point_weight + pair, OUT * IN);
}

static void run_tile(const struct conv_ops *ops, struct winograd_case *c, struct winograd_tile tile)
{
    tile.columns = IN;
    tile.in = c->in;
    tile.in_stride = tile.out_stride = IN * sizeof(float);
    tile.out = c->points;
    ops->winograd_in(&tile);
    memset(c->sums, 0, sizeof c->sums);
    for (int i = 0; i < (c->size + 2) * (c->size + 2) * OUT * IN; i++) {
        int point = i / (OUT * IN), out = i / IN % OUT;
        c->sums[point * 32 + out] += c->point_weight[i] * c->points[point * IN + i % IN];
    }
    tile.columns = OUT;
    tile.in = c->sums;
    tile.in_stride = 32 * sizeof(float);
    tile.out = c->out;
    tile.out_stride = OUT * sizeof(float);
    tile.bias = c->bias;
    ops->winograd_out(&tile);
}

// By the definition, in double; sizes: the same sum of the weights' magnitudes.
static double convolve(const struct winograd_case *c, int y, int x, int out, double *sizes)
{
    double sum = 0;
    *sizes = 0;
    for (int i = 0; i < IN * 9; i++) {
        int row = y - 1 + i % 9 / 3, column = x - 1 + i % 3;
        double weight = (double)c->weight[out * IN * 9 + i];
        *sizes += fabs(weight);
        if (row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH)
            sum += weight * (double)c->in[(row * WIDTH + column) * IN + i / 9];
    }
    return sum;
}

// Magnitude of what the tile of a place reads.
static double greatest_of_tile(const struct winograd_case *c, int y, int x)
{
    double greatest = 0;
    int size = c->size, side = size + 2, top = y / size * size - 1, left = x / size * size - 1;
    for (int i = 0; i < side * side * IN; i++) {
        int row = top + i / IN / side, column = left + i / IN % side;
        if (row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH)
            greatest = fmax(greatest, fabs((double)c->in[(row * WIDTH + column) * IN + i % IN]));
    }
    return greatest;
}

// Allowed: a rounding of the tile's greatest value reaches a place through the matrices 29.3 x 29.3 = 860
// times at the most, times the weights; those of 31 x 9 weights have random signs, which leaves one in the
// root of their number, 860 / 17 = 51. With tiles of 2 it is 4 x 4 = 16 times, and 1:
// there the sum's own 31 roundings count, for two more.
static void check(const struct conv_ops *ops, struct winograd_case *c)
{
    double roundings = c->size == 2 ? 3 : 51;
    for (int y = 0; y < HEIGHT; y += c->size)
        for (int x = 0; x < WIDTH; x += c->size)
            run_tile(
                ops, c,
                (struct winograd_tile){.size = c->size, .height = HEIGHT, .width = WIDTH, .y = y, .x = x});
    for (int i = 0; i < HEIGHT * WIDTH * OUT; i++) {
        int y = i / OUT / WIDTH, x = i / OUT % WIDTH;
        double sizes, expected = convolve(c, y, x, i % OUT, &sizes);
        double allowed = roundings * 0x1p-24 * sizes * greatest_of_tile(c, y, x);
        if (!(fabs((double)c->out[i] - expected) <= allowed))
            fail_msg("place %d %d, channel %d: %.9g, by definition %.9g, allowed %.3g", y, x, i % OUT,
                     (double)c->out[i], expected, allowed);
    }
}

static void winograd_is_a_convolution(void **unused)
{
    (void)unused;
    static struct winograd_case c;
    struct cpu_features features = cpu_features_get();
    for (int size = 2; size <= WINOGRAD_TILE; size += 2) {
        make_case(&c, size);
        check(&conv_ops_plain, &c);
        if (features.avx2)
            check(&conv_ops_avx2, &c);
        if (features.avx512)
            check(&conv_ops_avx512, &c);
    }
    skip_without(features.avx2, "AVX2"); // the plain transforms were run
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(winograd_is_a_convolution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
