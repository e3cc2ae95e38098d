// chart.c: axes with round numbers, curves and bars.
#include "common/picture/chart.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/memory.h"
#include "common/picture/svg.h"

enum { LEFT = 64, RIGHT = 16, TOP = 34, BOTTOM = 46, TICKS = 5, LEGEND_STEP = 18, HATCH_STEP = 8 };

static const char ink[] = "currentColor", faint[] = "#88909a55";

// Where values lie in the drawing.
struct frame {
    struct svg_box box;
    struct chart_axis x, y;
};

const char *chart_colour(size_t index)
{
    static const char *const colours[] = {"#2e6e9e", "#c8642b", "#3f8f5f", "#7a5aa6", "#a63d57", "#6b7280"};
    return colours[index % (sizeof colours / sizeof colours[0])];
}

// The least of 1, 2 or 5 times a power of ten that is at least `rough`.
static double round_step(double rough)
{
    double power = pow(10, floor(log10(rough)));
    double share = rough / power;
    return power * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
}

static void see(struct chart_axis *axis, double value)
{
    if (!isfinite(value))
        return;
    axis->low = fmin(axis->low, value);
    axis->high = fmax(axis->high, value);
}

// From what was seen (low > high: nothing) to an axis with a length.
static void settle(struct chart_axis *axis)
{
    if (!(axis->low <= axis->high))
        axis->low = axis->high = 0;
    if (axis->dates) { // from the first point to the last
        axis->high += axis->low == axis->high ? 24 * 3600e3 : 0;
        return;
    }
    if (axis->low == axis->high) {
        double around = axis->low == 0 ? 1 : fabs(axis->low) / 2;
        axis->high += around;
        axis->low -= axis->low == 0 ? 0 : around;
    }
    double step = round_step((axis->high - axis->low) / TICKS);
    axis->low = floor(axis->low / step + 1e-9) * step;
    axis->high = ceil(axis->high / step - 1e-9) * step;
}

static double share_of(const struct chart_axis *axis, double value)
{
    return fmin(fmax((value - axis->low) / (axis->high - axis->low), 0), 1);
}

static double place_x(const struct frame *frame, double value)
{
    return frame->box.x + frame->box.width * share_of(&frame->x, value);
}

static double place_y(const struct frame *frame, double value)
{
    return frame->box.y + frame->box.height * (1 - share_of(&frame->y, value));
}

// As many decimals as the step has.
static int decimals_of(double step)
{
    int decimals = (int)ceil(-log10(step) - 1e-9);
    return decimals < 0 ? 0 : decimals > 9 ? 9 : decimals;
}

static void draw_y_axis(struct html *page, const struct frame *frame)
{
    double step = round_step((frame->y.high - frame->y.low) / TICKS);
    double right = frame->box.x + frame->box.width;
    for (int i = 0; i <= 2 * TICKS; i++) {
        double value = (ceil(frame->y.low / step - 1e-9) + i) * step;
        if (value > frame->y.high + step * 1e-6)
            break;
        double y = place_y(frame, value);
        svg_line(page, (struct svg_point){frame->box.x, y}, (struct svg_point){right, y},
                 (struct svg_stroke){faint, 1, false});
        svg_text(page, (struct svg_point){frame->box.x - 6, y + 4}, SVG_END, "%.*f", decimals_of(step),
                 value);
    }
    svg_text_upwards(page, (struct svg_point){14, frame->box.y + frame->box.height / 2}, frame->y.label);
}

static const double hour_ms = 3600e3, day_ms = 24 * 3600e3;

// The step between two marks of a time axis: at most 7 of them.
static double date_step(double length)
{
    static const double days[] = {1, 2, 7, 14, 28, 91, 182, 364, 728, 1820};
    if (length <= 2 * day_ms)
        return length <= 6 * hour_ms ? hour_ms : 12 * hour_ms;
    for (size_t i = 0; i < sizeof days / sizeof *days; i++)
        if (length / (days[i] * day_ms) <= 7)
            return days[i] * day_ms;
    return length / 7;
}

static void draw_date_axis(struct html *page, const struct frame *frame)
{
    double step = date_step(frame->x.high - frame->x.low), bottom = frame->box.y + frame->box.height;
    for (double at = ceil(frame->x.low / step) * step; at <= frame->x.high; at += step) {
        char text[32];
        struct tm tm;
        const time_t seconds = (time_t)(at / 1000);
        gmtime_r(&seconds, &tm);
        strftime(text, sizeof text, step < day_ms ? "%m-%d %H:%M" : "%Y-%m-%d", &tm);
        svg_text(page, (struct svg_point){place_x(frame, at), bottom + 16}, SVG_MIDDLE, "%s", text);
    }
}

static void draw_x_axis(struct html *page, const struct frame *frame)
{
    if (frame->x.dates) {
        draw_date_axis(page, frame);
        return;
    }
    double step = round_step((frame->x.high - frame->x.low) / TICKS);
    double bottom = frame->box.y + frame->box.height;
    for (int i = 0; i <= 2 * TICKS; i++) {
        double value = (ceil(frame->x.low / step - 1e-9) + i) * step;
        if (value > frame->x.high + step * 1e-6)
            break;
        svg_text(page, (struct svg_point){place_x(frame, value), bottom + 16}, SVG_MIDDLE, "%.*f",
                 decimals_of(step), value);
    }
}

static struct frame begin_chart(struct html *page, const struct chart *chart)
{
    double width = chart->width > 0 ? chart->width : 640, height = chart->height > 0 ? chart->height : 360;
    struct frame frame = {.x = chart->x, .y = chart->y};
    frame.box = (struct svg_box){LEFT, TOP, width - LEFT - RIGHT, height - TOP - BOTTOM};
    svg_begin(page, width, height, chart->title);
    svg_text(page, (struct svg_point){LEFT, 16}, SVG_START, "%s", chart->title);
    return frame;
}

static void end_chart(struct html *page, const struct frame *frame)
{
    double bottom = frame->box.y + frame->box.height;
    svg_line(page, (struct svg_point){frame->box.x, bottom},
             (struct svg_point){frame->box.x + frame->box.width, bottom}, (struct svg_stroke){ink, 1, false});
    svg_text(page, (struct svg_point){frame->box.x + frame->box.width / 2, bottom + 36}, SVG_MIDDLE, "%s",
             frame->x.label);
    svg_end(page);
}

// One line of the legend, at the right above the curves.
static void draw_key(struct html *page, const struct frame *frame, int line, const char *name,
                     const char *colour)
{
    double right = frame->box.x + frame->box.width, y = frame->box.y + 12 + line * LEGEND_STEP;
    svg_rectangle(page, (struct svg_box){right - 12, y - 9, 10, 10}, colour);
    svg_text(page, (struct svg_point){right - 18, y}, SVG_END, "%s", name);
}

// Diagonals over the field from x to right.
static void draw_hatching(struct html *page, const struct frame *frame, double x, double right)
{
    const struct svg_box box = {x, frame->box.y, right - x, frame->box.height};
    for (double at = HATCH_STEP; at < box.width + box.height; at += HATCH_STEP)
        svg_line(page, (struct svg_point){box.x + fmax(0, at - box.height), box.y + fmin(at, box.height)},
                 (struct svg_point){box.x + fmin(at, box.width), box.y + fmax(0, at - box.width)},
                 (struct svg_stroke){faint, 1, false});
}

// Hatches from the middle before each point without a value to the middle behind it.
static void draw_gaps(struct html *page, const struct frame *frame, const struct chart_series *series)
{
    for (size_t i = 0; i < series->count; i++) {
        if (isfinite(series->y[i]) || !isfinite(series->x[i]))
            continue;
        double here = place_x(frame, series->x[i]), left = here, right = here;
        if (i > 0 && isfinite(series->x[i - 1]))
            left = (place_x(frame, series->x[i - 1]) + here) / 2;
        if (i + 1 < series->count && isfinite(series->x[i + 1]))
            right = (place_x(frame, series->x[i + 1]) + here) / 2;
        if (left < right)
            draw_hatching(page, frame, left, right);
    }
}

// The band in pieces, as the curve: out along its lower end and back along the upper one.
static void draw_band(struct html *page, const struct frame *frame, const struct chart_series *series)
{
    struct svg_point *points = memory_alloc((2 * series->count + 1) * sizeof *points);
    size_t first = 0;
    for (size_t i = 0; i <= series->count; i++) {
        if (i < series->count && isfinite(series->x[i]) && isfinite(series->low[i]) &&
            isfinite(series->high[i]))
            continue;
        size_t used = 0;
        for (size_t k = first; k < i; k++)
            points[used++] = (struct svg_point){place_x(frame, series->x[k]), place_y(frame, series->low[k])};
        for (size_t k = i; k > first; k--)
            points[used++] =
                (struct svg_point){place_x(frame, series->x[k - 1]), place_y(frame, series->high[k - 1])};
        if (used > 2)
            svg_area(page, points, used, series->colour);
        first = i + 1;
    }
    free(points);
}

static void draw_dot(struct html *page, const struct chart_series *series, size_t index,
                     struct svg_point point)
{
    if (series->hollow && series->hollow[index])
        svg_ring(page, point, 3, (struct svg_stroke){series->colour, 1.5, false});
    else
        svg_circle(page, point, 2.5, series->colour);
}

// One curve, in pieces where values are missing.
static void draw_series(struct html *page, const struct frame *frame, const struct chart_series *series)
{
    struct svg_point *points = memory_alloc((series->count + 1) * sizeof *points);
    const struct svg_stroke stroke = {series->colour, series->dashed ? 1.2 : 2, series->dashed};
    size_t used = 0;
    for (size_t i = 0; i <= series->count; i++) {
        bool there = i < series->count && isfinite(series->x[i]) && isfinite(series->y[i]);
        if (there) {
            points[used] = (struct svg_point){place_x(frame, series->x[i]), place_y(frame, series->y[i])};
            if (series->dots)
                draw_dot(page, series, i, points[used]);
            used++;
        } else {
            if (used > 1)
                svg_polyline(page, points, used, stroke);
            used = 0;
        }
    }
    free(points);
}

void chart_lines(struct html *page, const struct chart *chart, const struct chart_series *series,
                 size_t count)
{
    struct frame frame = begin_chart(page, chart);
    struct chart_axis x = {chart->x.label, INFINITY, -INFINITY, chart->x.dates};
    struct chart_axis y = {chart->y.label, INFINITY, -INFINITY, false};
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < series[i].count; k++) {
            see(&x, series[i].x[k]);
            see(&y, series[i].y[k]);
            see(&y, series[i].low ? series[i].low[k] : NAN);
            see(&y, series[i].high ? series[i].high[k] : NAN);
        }
    settle(&x);
    settle(&y);
    frame.x = chart->x.low == chart->x.high ? x : chart->x;
    frame.y = chart->y.low == chart->y.high ? y : chart->y;
    draw_x_axis(page, &frame);
    draw_y_axis(page, &frame);
    int line = 0;
    for (size_t i = 0; i < count; i++) {
        if (series[i].hatched)
            draw_gaps(page, &frame, &series[i]);
        if (series[i].low && series[i].high)
            draw_band(page, &frame, &series[i]);
        draw_series(page, &frame, &series[i]);
        if (series[i].name)
            draw_key(page, &frame, line++, series[i].name, series[i].colour);
    }
    end_chart(page, &frame);
}

static void draw_bar(struct html *page, const struct frame *frame, const struct chart_group *group, int bar,
                     struct svg_box column)
{
    double value = group->values[bar];
    if (!isfinite(value))
        return;
    double zero = place_y(frame, 0), end = place_y(frame, value);
    column.y = fmin(zero, end);
    column.height = fabs(zero - end);
    svg_rectangle(page, column, group->colours[bar]);
    if (group->low[bar] == 0 && group->high[bar] == 0)
        return;
    double x = column.x + column.width / 2;
    svg_line(page, (struct svg_point){x, place_y(frame, group->low[bar])},
             (struct svg_point){x, place_y(frame, group->high[bar])}, (struct svg_stroke){ink, 1.2, false});
}

static void draw_group(struct html *page, const struct frame *frame, const struct chart_group *group,
                       int bars, struct svg_box place)
{
    double width = place.width * 0.8 / bars, top = frame->box.y + frame->box.height;
    for (int i = 0; i < bars; i++) {
        draw_bar(page, frame, group, i,
                 (struct svg_box){.x = place.x + place.width * 0.1 + width * i, .width = width * 0.92});
        if (isfinite(group->values[i]))
            top = fmin(top, place_y(frame, fmax(group->values[i], group->high[i])));
    }
    double middle = place.x + place.width / 2;
    svg_text(page, (struct svg_point){middle, frame->box.y + frame->box.height + 16}, SVG_MIDDLE, "%s",
             group->label);
    if (group->note)
        svg_text(page, (struct svg_point){middle, top - 5}, SVG_MIDDLE, "%s", group->note);
    else if (bars == 1 && isfinite(group->values[0]))
        svg_text(page, (struct svg_point){middle, top - 5}, SVG_MIDDLE, "%.4g", group->values[0]);
}

void chart_bars(struct html *page, const struct chart *chart, const struct chart_group *groups, size_t count,
                int bars, const char *const *names)
{
    assert(1 <= bars && bars <= CHART_BARS_MOST);
    struct frame frame = begin_chart(page, chart);
    struct chart_axis y = {.label = chart->y.label};
    for (size_t i = 0; i < count; i++)
        for (int k = 0; k < bars; k++) {
            see(&y, groups[i].values[k]);
            see(&y, groups[i].high[k]);
            see(&y, groups[i].low[k]);
        }
    settle(&y);
    frame.y = chart->y.low == chart->y.high ? y : chart->y;
    draw_y_axis(page, &frame);
    for (size_t i = 0; i < count; i++) {
        double width = frame.box.width / (double)count;
        draw_group(page, &frame, &groups[i], bars,
                   (struct svg_box){.x = frame.box.x + width * (double)i, .width = width});
    }
    for (int i = 0; names && i < bars; i++)
        draw_key(page, &frame, i, names[i], count > 0 ? groups[0].colours[i] : ink);
    end_chart(page, &frame);
}
