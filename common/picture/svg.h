// svg.h: drawings inside a page of html.h: shapes with coordinates in CSS pixels, x to the right, y down.
// Numbers are written with two decimals; one that is not finite is a bug of the caller and asserts. Colours
// and attributes are ours ("#2e6e9e"), texts are escaped.
#ifndef SKINSIGHT_COMMON_PICTURE_SVG_H
#define SKINSIGHT_COMMON_PICTURE_SVG_H

#include "common/picture/html.h"

struct svg_point {
    double x, y;
};

struct svg_box {
    double x, y, width, height;
};

struct svg_stroke {
    const char *colour;
    double width;
    bool dashed;
};

enum svg_anchor { SVG_START, SVG_MIDDLE, SVG_END };

// label is what a reader without pictures is told.
void svg_begin(struct html *page, double width, double height, const char *label);
void svg_end(struct html *page);
void svg_rectangle(struct html *page, struct svg_box box, const char *fill);
void svg_line(struct html *page, struct svg_point from, struct svg_point to, struct svg_stroke stroke);
void svg_polyline(struct html *page, const struct svg_point *points, size_t count, struct svg_stroke stroke);
void svg_circle(struct html *page, struct svg_point centre, double radius, const char *fill);
void svg_ring(struct html *page, struct svg_point centre, double radius, struct svg_stroke stroke);
// Filled a quarter, so that what lies below stays visible.
void svg_area(struct html *page, const struct svg_point *points, size_t count, const char *fill);
// The text's base line begins, is centred or ends at the point.
void svg_text(struct html *page, struct svg_point at, enum svg_anchor anchor, const char *format, ...)
    PRINTF_LIKE(4, 5);
// The same, turned to read from below.
void svg_text_upwards(struct html *page, struct svg_point at, const char *text);

#endif
