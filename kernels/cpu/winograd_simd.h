// winograd_simd.h: the vectorised transforms of conv_ops.h's Winograd tiles; a part of conv_ops_simd.h. The
// matrices stand in tests/support/conv_ops_plain.c.

// One line of 6 places into points.
SIMD_INLINE void winograd_points(const simd d[WINOGRAD_SIDE], simd t[WINOGRAD_SIDE])
{
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

// One line of 6 points into 4 places.
SIMD_INLINE void winograd_places(const simd m[WINOGRAD_SIDE], simd y[WINOGRAD_TILE])
{
    simd sum = m[1] + m[2], difference = m[1] - m[2], sum2 = m[3] + m[4], difference2 = m[3] - m[4];
    y[0] = m[0] + sum + sum2;
    y[1] = simd_fma(simd_set(2.0f), difference2, difference);
    y[2] = simd_fma(simd_set(4.0f), sum2, sum);
    y[3] = simd_fma(simd_set(8.0f), difference2, difference) + m[5];
}

// inside: the whole window of 6 x 6 places lies in the map.
SIMD_INLINE void winograd_in_columns(const struct winograd_tile *w, int column, int count, bool inside)
{
    simd lines[WINOGRAD_SIDE][WINOGRAD_SIDE];
#pragma GCC unroll 6
    for (int i = 0; i < WINOGRAD_SIDE; i++) {
        int y = w->y - 1 + i;
        bool there = inside || (y >= 0 && y < w->height);
        const float *line = at(w->in, w->in_stride, there ? y * w->width : 0) + column;
        simd places[WINOGRAD_SIDE];
#pragma GCC unroll 6
        for (int j = 0; j < WINOGRAD_SIDE; j++) {
            int x = w->x - 1 + j;
            places[j] = there && (inside || (x >= 0 && x < w->width)) ? load(at(line, w->in_stride, x), count)
                                                                      : simd_zero();
        }
        winograd_points(places, lines[i]);
    }
#pragma GCC unroll 6
    for (int j = 0; j < WINOGRAD_SIDE; j++) {
        simd down[WINOGRAD_SIDE], points[WINOGRAD_SIDE];
#pragma GCC unroll 6
        for (int i = 0; i < WINOGRAD_SIDE; i++)
            down[i] = lines[i][j];
        winograd_points(down, points);
#pragma GCC unroll 6
        for (int i = 0; i < WINOGRAD_SIDE; i++)
            store(place(w->out, w->out_stride, i * WINOGRAD_SIDE + j) + column, points[i], count);
    }
}

static void winograd_in(const struct winograd_tile *w)
{
    bool inside = w->y >= 1 && w->x >= 1 && w->y + WINOGRAD_SIDE - 1 <= w->height &&
                  w->x + WINOGRAD_SIDE - 1 <= w->width;
    FOR_VECTORS(column, count, w->columns)
    {
        if (inside && count == SIMD_LANES)
            winograd_in_columns(w, column, SIMD_LANES, true);
        else
            winograd_in_columns(w, column, count, false);
    }
}

// A line of places with what follows the convolution.
SIMD_INLINE void winograd_finish(const struct winograd_tile *w, int y, const simd values[WINOGRAD_TILE],
                                 int column, int count)
{
    for (int x = w->x; x < w->x + WINOGRAD_TILE && x < w->width; x++) {
        simd value = values[x - w->x];
        if (w->residual)
            value += load(at(w->residual, w->residual_stride, y * w->width + x) + column, count);
        store(place(w->out, w->out_stride, y * w->width + x) + column, activate(w->activation, value), count);
    }
}

static void winograd_out(const struct winograd_tile *w)
{
    FOR_VECTORS(column, count, w->columns)
    {
        simd lines[WINOGRAD_TILE][WINOGRAD_SIDE], bias = simd_load(w->bias + column);
#pragma GCC unroll 6
        for (int j = 0; j < WINOGRAD_SIDE; j++) {
            simd points[WINOGRAD_SIDE], down[WINOGRAD_TILE];
#pragma GCC unroll 6
            for (int i = 0; i < WINOGRAD_SIDE; i++)
                points[i] = simd_load(at(w->in, w->in_stride, i * WINOGRAD_SIDE + j) + column);
            winograd_places(points, down);
#pragma GCC unroll 4
            for (int i = 0; i < WINOGRAD_TILE; i++)
                lines[i][j] = down[i];
        }
        for (int i = 0; i < WINOGRAD_TILE && w->y + i < w->height; i++) {
            simd values[WINOGRAD_TILE];
            winograd_places(lines[i], values);
#pragma GCC unroll 4
            for (int j = 0; j < WINOGRAD_TILE; j++)
                values[j] += bias;
            winograd_finish(w, w->y + i, values, column, count);
        }
    }
}
