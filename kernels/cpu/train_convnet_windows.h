// train_convnet_windows.h: what a convolution multiplies its filters with: the window of each place of a
// grid, as a row of operands, float or bf16. Any thread.
#ifndef SKINSIGHT_KERNELS_CPU_TRAIN_CONVNET_WINDOWS_H
#define SKINSIGHT_KERNELS_CPU_TRAIN_CONVNET_WINDOWS_H

#include "kernels/cpu/train_convnet.h"

// Taps of one direction that a window has: its line i * step + first + j takes tap tap + j * tap_step,
// j < count.
struct taps {
    int first, count, tap, tap_step;
};

struct convnet_windows {
    const float *in;            // maps one behind the other
    int height, width, columns; // of a map
    int grid_height, grid_width, step;
    struct taps y, x;
};

static inline int windows_depth(const struct convnet_windows *windows)
{
    return windows->y.count * windows->x.count * windows->columns;
}

// Those that a filter sees in its input.
struct convnet_windows windows_forward(const struct convnet_filter *filter, const float *in);
// The map's rows are the windows.
bool windows_lie(const struct convnet_windows *windows);
// Rows first .. end - 1, counted through the images, one behind the other; ops: as bf16, NULL: as floats.
void windows_gather(const struct convnet_windows *windows, const struct vector_ops *ops, int first, int end,
                    void *rows);

#endif
