// train_convnet_windows.c: gathers windows. See train_convnet_windows.h.
#include "kernels/cpu/train_convnet_windows.h"

#include <string.h>

struct convnet_windows windows_forward(const struct convnet_filter *filter, const float *in)
{
    struct taps taps = {-filter->padding, filter->kernel, 0, 1};
    return (struct convnet_windows){
        .in = in,
        .height = filter->height,
        .width = filter->width,
        .columns = filter->channels,
        .grid_height = filter->output_height,
        .grid_width = filter->output_width,
        .step = filter->stride,
        .y = taps,
        .x = taps,
    };
}

bool windows_lie(const struct convnet_windows *windows)
{
    return windows->y.count == 1 && windows->x.count == 1 && windows->step == 1 && windows->y.first == 0 &&
           windows->x.first == 0 && windows->grid_height == windows->height &&
           windows->grid_width == windows->width;
}

// Values as operands; returns what is behind them.
static char *put(const struct vector_ops *ops, const float *from, size_t count, char *to)
{
    if (ops)
        ops->to_bf16(from, (int)count, (uint16_t *)to);
    else
        memcpy(to, from, count * sizeof *from);
    return to + count * (ops ? sizeof(uint16_t) : sizeof *from);
}

static char *put_zeros(const struct vector_ops *ops, size_t count, char *to)
{
    size_t size = count * (ops ? sizeof(uint16_t) : sizeof(float));
    memset(to, 0, size);
    return to + size;
}

static char *gather(const struct convnet_windows *w, const struct vector_ops *ops, int row, char *to)
{
    int places = w->grid_height * w->grid_width, image = row / places, place = row % places;
    int top = place / w->grid_width * w->step + w->y.first;
    int left = place % w->grid_width * w->step + w->x.first;
    size_t columns = (size_t)w->columns;
    int begin = left < 0 ? -left : 0, end = w->width - left < w->x.count ? w->width - left : w->x.count;
    begin = begin < w->x.count ? begin : w->x.count;
    end = end > begin ? end : begin;
    for (int y = top; y < top + w->y.count; y++) {
        if (y < 0 || y >= w->height) {
            to = put_zeros(ops, (size_t)w->x.count * columns, to);
            continue;
        }
        const float *from =
            w->in + ((size_t)image * (size_t)w->height + (size_t)y) * (size_t)w->width * columns;
        to = put_zeros(ops, (size_t)begin * columns, to);
        to = put(ops, from + ((ptrdiff_t)left + begin) * (ptrdiff_t)columns, (size_t)(end - begin) * columns,
                 to);
        to = put_zeros(ops, (size_t)(w->x.count - end) * columns, to);
    }
    return to;
}

void windows_gather(const struct convnet_windows *windows, const struct vector_ops *ops, int first, int end,
                    void *rows)
{
    size_t depth = (size_t)windows_depth(windows);
    if (windows_lie(windows)) {
        put(ops, windows->in + (size_t)first * depth, (size_t)(end - first) * depth, rows);
        return;
    }
    char *to = rows;
    for (int row = first; row < end; row++)
        to = gather(windows, ops, row, to);
}
