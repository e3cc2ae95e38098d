// chart.h: the two charts that reports are made of, drawn with svg.h: curves over an axis, and groups of
// bars. A value that is not finite leaves a gap. Colours stay apart in print; what matters is told in text
// too.
#ifndef SKINSIGHT_COMMON_PICTURE_CHART_H
#define SKINSIGHT_COMMON_PICTURE_CHART_H

#include "common/picture/html.h"

// low == high: the axis takes what the values need, with 0 for bars.
struct chart_axis {
    const char *label;
    double low, high;
    bool dates; // of an x axis: values are Unix ms, marked by UTC's days or hours
};

struct chart {
    const char *title; // also what a reader without pictures is told
    struct chart_axis x, y;
    double width, height; // CSS pixels; 0: 640 x 360
};

struct chart_series {
    const char *name; // in the legend; NULL: not there
    const char *colour;
    const double *x, *y; // (count)
    size_t count;
    bool dashed;              // a reference, not a measurement
    bool dots;                // a dot at each point
    const double *low, *high; // (count) of a band around the curve; NULL: none
    const bool *hollow;       // (count) dots that are drawn as rings; NULL: none
    bool hatched;             // where y is not finite, the field is hatched
};
// Points outside of an axis that was given are drawn at its end.
void chart_lines(struct html *page, const struct chart *chart, const struct chart_series *series,
                 size_t count);

enum { CHART_BARS_MOST = 4 }; // of a group

struct chart_group {
    const char *label;                                  // below the group
    double values[CHART_BARS_MOST];                     // as many as chart_bars is told
    double low[CHART_BARS_MOST], high[CHART_BARS_MOST]; // ends of an interval; both 0: none
    const char *colours[CHART_BARS_MOST];
    const char *note; // above the group, NULL: the first bar's value where there is one bar, else nothing
};
// bars: of each group, 1 to CHART_BARS_MOST; names: (bars) in the legend, or NULL: none. The x axis has no
// numbers.
void chart_bars(struct html *page, const struct chart *chart, const struct chart_group *groups, size_t count,
                int bars, const char *const *names);

// Colours for series without a meaning of their own; index from 0, repeated after the last.
const char *chart_colour(size_t index);

#endif
