// svg.c: shapes as markup.
#include "common/picture/svg.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void add_number(struct html *page, const char *name, double value)
{
    assert(isfinite(value));
    html_markup(page, " %s=\"%.2f\"", name, value);
}

static void add_stroke(struct html *page, struct svg_stroke stroke)
{
    html_markup(page, " fill=\"none\" stroke=\"%s\"", stroke.colour);
    add_number(page, "stroke-width", stroke.width);
    if (stroke.dashed)
        html_markup(page, " stroke-dasharray=\"5 4\"");
}

void svg_begin(struct html *page, double width, double height, const char *label)
{
    html_markup(page,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%.0f\" height=\"%.0f\" "
                "viewBox=\"0 0 %.0f %.0f\"><title>",
                width, height, width, height);
    html_text(page, label);
    html_markup(page, "</title>\n");
}

void svg_end(struct html *page)
{
    html_markup(page, "</svg>\n");
}

void svg_rectangle(struct html *page, struct svg_box box, const char *fill)
{
    html_markup(page, "<rect");
    add_number(page, "x", box.x);
    add_number(page, "y", box.y);
    add_number(page, "width", box.width);
    add_number(page, "height", box.height);
    html_markup(page, " fill=\"%s\"/>\n", fill);
}

void svg_line(struct html *page, struct svg_point from, struct svg_point to, struct svg_stroke stroke)
{
    html_markup(page, "<line");
    add_number(page, "x1", from.x);
    add_number(page, "y1", from.y);
    add_number(page, "x2", to.x);
    add_number(page, "y2", to.y);
    add_stroke(page, stroke);
    html_markup(page, "/>\n");
}

static void begin_points(struct html *page, const char *shape, const struct svg_point *points, size_t count)
{
    html_markup(page, "<%s points=\"", shape);
    for (size_t i = 0; i < count; i++) {
        assert(isfinite(points[i].x) && isfinite(points[i].y));
        html_markup(page, "%s%.2f,%.2f", i ? " " : "", points[i].x, points[i].y);
    }
    html_markup(page, "\"");
}

void svg_polyline(struct html *page, const struct svg_point *points, size_t count, struct svg_stroke stroke)
{
    begin_points(page, "polyline", points, count);
    add_stroke(page, stroke);
    html_markup(page, "/>\n");
}

void svg_area(struct html *page, const struct svg_point *points, size_t count, const char *fill)
{
    begin_points(page, "polygon", points, count);
    html_markup(page, " fill=\"%s\" fill-opacity=\"0.25\"/>\n", fill);
}

void svg_circle(struct html *page, struct svg_point centre, double radius, const char *fill)
{
    html_markup(page, "<circle");
    add_number(page, "cx", centre.x);
    add_number(page, "cy", centre.y);
    add_number(page, "r", radius);
    html_markup(page, " fill=\"%s\"/>\n", fill);
}

void svg_ring(struct html *page, struct svg_point centre, double radius, struct svg_stroke stroke)
{
    html_markup(page, "<circle");
    add_number(page, "cx", centre.x);
    add_number(page, "cy", centre.y);
    add_number(page, "r", radius);
    add_stroke(page, stroke);
    html_markup(page, "/>\n");
}

void svg_text(struct html *page, struct svg_point at, enum svg_anchor anchor, const char *format, ...)
{
    static const char *const anchors[] = {"start", "middle", "end"};
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        abort(); // as memory.h: there is no memory for a short text
    va_end(arguments);
    html_markup(page, "<text");
    add_number(page, "x", at.x);
    add_number(page, "y", at.y);
    html_markup(page, " text-anchor=\"%s\">", anchors[anchor]);
    html_text(page, text);
    html_markup(page, "</text>\n");
    free(text);
}

void svg_text_upwards(struct html *page, struct svg_point at, const char *text)
{
    assert(isfinite(at.x) && isfinite(at.y));
    html_markup(page, "<text text-anchor=\"middle\" transform=\"translate(%.2f %.2f) rotate(-90)\">", at.x,
                at.y);
    html_text(page, text);
    html_markup(page, "</text>\n");
}
