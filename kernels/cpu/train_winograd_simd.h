// train_winograd_simd.h: the vectorised transforms that training adds to conv_ops.h's Winograd tiles; a part
// of train_conv_ops_simd.h. The matrices are those of conv_ops_plain.c and test_winograd.c, some of them
// transposed. `size` is a constant wherever a function is inlined.

// One line of a filter into points.
SIMD_INLINE void filter_points(int size, const simd g[3], simd t[WINOGRAD_SIDE])
{
    simd near = g[0] + g[2];
    if (size == 2) {
        simd half = simd_set(0.5f);
        t[0] = g[0];
        t[1] = half * (near + g[1]);
        t[2] = half * (near - g[1]);
        t[3] = g[2];
        return;
    }
    simd far = simd_fma(g[0], simd_set(1.0f / 24), g[2] * simd_set(1.0f / 6));
    simd middle = g[1] * simd_set(1.0f / 12);
    t[0] = g[0] * simd_set(0.25f);
    t[1] = (near + g[1]) * simd_set(-1.0f / 6);
    t[2] = (near - g[1]) * simd_set(-1.0f / 6);
    t[3] = far + middle;
    t[4] = far - middle;
    t[5] = g[2];
}

SIMD_INLINE void winograd_filters_sized(const struct winograd_filters *f, int size)
{
    int side = size + 2;
    for (int column = 0; column < f->columns; column += SIMD_LANES) {
        simd lines[3][WINOGRAD_SIDE];
#pragma GCC unroll 3
        for (int i = 0; i < 3; i++) {
            simd line[3];
#pragma GCC unroll 3
            for (int j = 0; j < 3; j++)
                line[j] = simd_load(f->taps + (3 * i + j) * f->tap_stride + column);
            filter_points(size, line, lines[i]);
        }
#pragma GCC unroll 6
        for (int j = 0; j < side; j++) {
            simd points[WINOGRAD_SIDE];
            filter_points(size, (const simd[]){lines[0][j], lines[1][j], lines[2][j]}, points);
#pragma GCC unroll 6
            for (int i = 0; i < side; i++)
                simd_store(f->points + (size_t)(i * side + j) * f->point_stride + column, points[i]);
        }
    }
}

static void winograd_filters(const struct winograd_filters *filters)
{
    if (filters->size == 2)
        winograd_filters_sized(filters, 2);
    else
        winograd_filters_sized(filters, WINOGRAD_TILE);
}

// A line of gradients by points into those by taps.
SIMD_INLINE void filter_taps(const simd t[WINOGRAD_SIDE], simd g[3])
{
    simd sixth = simd_set(1.0f / 6), near = (t[1] + t[2]) * sixth, far = t[3] + t[4];
    g[0] = simd_fma(t[0], simd_set(0.25f), simd_fma(far, simd_set(1.0f / 24), -near));
    g[1] = simd_fma(t[2] - t[1], sixth, (t[3] - t[4]) * simd_set(1.0f / 12));
    g[2] = simd_fma(far, sixth, t[5] - near);
}

static void winograd_taps(const float *points, size_t point_stride, int columns, float *taps,
                          size_t tap_stride)
{
    FOR_VECTORS(column, count, columns)
    {
        simd lines[3][WINOGRAD_SIDE];
#pragma GCC unroll 6
        for (int j = 0; j < WINOGRAD_SIDE; j++) {
            simd down[WINOGRAD_SIDE], line[3];
#pragma GCC unroll 6
            for (int i = 0; i < WINOGRAD_SIDE; i++)
                down[i] = load(points + (size_t)(i * WINOGRAD_SIDE + j) * point_stride + column, count);
            filter_taps(down, line);
#pragma GCC unroll 3
            for (int i = 0; i < 3; i++)
                lines[i][j] = line[i];
        }
#pragma GCC unroll 3
        for (int i = 0; i < 3; i++) {
            simd line[3];
            filter_taps(lines[i], line);
#pragma GCC unroll 3
            for (int j = 0; j < 3; j++)
                store(taps + (size_t)(3 * i + j) * tap_stride + column, line[j], count);
        }
    }
}

// A line of gradients by places into those by points.
SIMD_INLINE void slope_points(const simd y[WINOGRAD_TILE], simd t[WINOGRAD_SIDE])
{
    simd even = y[0] + y[2], odd = y[1] + y[3];
    simd even2 = simd_fma(simd_set(4.0f), y[2], y[0]), odd2 = simd_fma(simd_set(8.0f), y[3], y[1] + y[1]);
    t[0] = y[0];
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = even2 + odd2;
    t[4] = even2 - odd2;
    t[5] = y[3];
}

static void winograd_slopes(const struct winograd_tile *w)
{
    size_t in = w->in_stride / sizeof(float), out = w->out_stride / sizeof(float);
    FOR_VECTORS(column, count, w->columns)
    {
        simd lines[WINOGRAD_TILE][WINOGRAD_SIDE];
#pragma GCC unroll 4
        for (int i = 0; i < WINOGRAD_TILE; i++) {
            simd places[WINOGRAD_TILE];
#pragma GCC unroll 4
            for (int j = 0; j < WINOGRAD_TILE; j++) {
                int y = w->y + i, x = w->x + j;
                places[j] = y < w->height && x < w->width
                                ? load(w->in + (size_t)(y * w->width + x) * in + column, count)
                                : simd_zero();
            }
            slope_points(places, lines[i]);
        }
#pragma GCC unroll 6
        for (int j = 0; j < WINOGRAD_SIDE; j++) {
            simd points[WINOGRAD_SIDE];
            slope_points((const simd[]){lines[0][j], lines[1][j], lines[2][j], lines[3][j]}, points);
#pragma GCC unroll 6
            for (int i = 0; i < WINOGRAD_SIDE; i++)
                store(w->out + (size_t)(i * WINOGRAD_SIDE + j) * out + column, points[i], count);
        }
    }
}
