// winograd_simd.h: the vectorised transforms of conv_ops.h's Winograd tiles; a part of conv_ops_simd.h. The
// matrices stand in tests/support/conv_ops_plain.c. `size` is a tile's, a constant wherever a function is
// inlined; a line has size + 2 points.

// One line of places into points.
SIMD_INLINE void winograd_points(int size, const simd d[WINOGRAD_SIDE], simd t[WINOGRAD_SIDE])
{
    if (size == 2) {
        t[0] = d[0] - d[2];
        t[1] = d[1] + d[2];
        t[2] = d[2] - d[1];
        t[3] = d[1] - d[3];
        return;
    }
    simd four = simd_set(4.0f), minus_five = simd_set(-5.0f);
    simd even = simd_fma(-four, d[2], d[4]), odd = simd_fma(-four, d[1], d[3]);
    simd even2 = d[4] - d[2], odd2 = d[3] - d[1];
    odd2 += odd2;
    t[0] = simd_fma(four, d[0], simd_fma(minus_five, d[2], d[4]));
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = even2 + odd2;
    t[4] = even2 - odd2;
    t[5] = simd_fma(four, d[1], simd_fma(minus_five, d[3], d[5]));
}

// One line of points into places.
SIMD_INLINE void winograd_places(int size, const simd m[WINOGRAD_SIDE], simd y[WINOGRAD_TILE])
{
    if (size == 2) {
        y[0] = m[0] + m[1] + m[2];
        y[1] = m[1] - m[2] - m[3];
        return;
    }
    simd sum = m[1] + m[2], difference = m[1] - m[2], sum2 = m[3] + m[4], difference2 = m[3] - m[4];
    y[0] = m[0] + sum + sum2;
    y[1] = simd_fma(simd_set(2.0f), difference2, difference);
    y[2] = simd_fma(simd_set(4.0f), sum2, sum);
    y[3] = simd_fma(simd_set(8.0f), difference2, difference) + m[5];
}

// inside: the whole window lies in the map.
SIMD_INLINE void winograd_in_columns(const struct winograd_tile *w, int size, int column, int count,
                                     bool inside)
{
    simd lines[WINOGRAD_SIDE][WINOGRAD_SIDE];
    int side = size + 2;
#pragma GCC unroll 6
    for (int i = 0; i < side; i++) {
        int y = w->y - 1 + i;
        bool there = inside || (y >= 0 && y < w->height);
        const float *line = at(w->in, w->in_stride, there ? y * w->width : 0) + column;
        simd places[WINOGRAD_SIDE];
#pragma GCC unroll 6
        for (int j = 0; j < side; j++) {
            int x = w->x - 1 + j;
            places[j] = there && (inside || (x >= 0 && x < w->width)) ? load(at(line, w->in_stride, x), count)
                                                                      : simd_zero();
        }
        winograd_points(size, places, lines[i]);
    }
#pragma GCC unroll 6
    for (int j = 0; j < side; j++) {
        simd down[WINOGRAD_SIDE], points[WINOGRAD_SIDE];
#pragma GCC unroll 6
        for (int i = 0; i < side; i++)
            down[i] = lines[i][j];
        winograd_points(size, down, points);
#pragma GCC unroll 6
        for (int i = 0; i < side; i++)
            store(place(w->out, w->out_stride, i * side + j) + column, points[i], count);
    }
}

SIMD_INLINE void winograd_in_sized(const struct winograd_tile *w, int size)
{
    bool inside = w->y >= 1 && w->x >= 1 && w->y + size < w->height && w->x + size < w->width;
    FOR_VECTORS(column, count, w->columns)
    {
        if (inside && count == SIMD_LANES)
            winograd_in_columns(w, size, column, SIMD_LANES, true);
        else
            winograd_in_columns(w, size, column, count, false);
    }
}

static void winograd_in(const struct winograd_tile *w)
{
    if (w->size == 2)
        winograd_in_sized(w, 2);
    else
        winograd_in_sized(w, WINOGRAD_TILE);
}

// A line of places with what follows the convolution.
SIMD_INLINE void winograd_finish(const struct winograd_tile *w, int size, int y,
                                 const simd values[WINOGRAD_TILE], int column, int count)
{
    for (int x = w->x; x < w->x + size && x < w->width; x++) {
        simd value = values[x - w->x];
        if (w->residual)
            value += load(at(w->residual, w->residual_stride, y * w->width + x) + column, count);
        store(place(w->out, w->out_stride, y * w->width + x) + column, activate(w->activation, value), count);
    }
}

SIMD_INLINE void winograd_out_sized(const struct winograd_tile *w, int size)
{
    int side = size + 2;
    FOR_VECTORS(column, count, w->columns)
    {
        simd lines[WINOGRAD_TILE][WINOGRAD_SIDE], bias = simd_load(w->bias + column);
#pragma GCC unroll 6
        for (int j = 0; j < side; j++) {
            simd points[WINOGRAD_SIDE], down[WINOGRAD_TILE];
#pragma GCC unroll 6
            for (int i = 0; i < side; i++)
                points[i] = simd_load(at(w->in, w->in_stride, i * side + j) + column);
            winograd_places(size, points, down);
#pragma GCC unroll 4
            for (int i = 0; i < size; i++)
                lines[i][j] = down[i];
        }
        for (int i = 0; i < size && w->y + i < w->height; i++) {
            simd values[WINOGRAD_TILE];
            winograd_places(size, lines[i], values);
#pragma GCC unroll 4
            for (int j = 0; j < size; j++)
                values[j] += bias;
            winograd_finish(w, size, w->y + i, values, column, count);
        }
    }
}

static void winograd_out(const struct winograd_tile *w)
{
    if (w->size == 2)
        winograd_out_sized(w, 2);
    else
        winograd_out_sized(w, WINOGRAD_TILE);
}
