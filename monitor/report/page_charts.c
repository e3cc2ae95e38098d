// page_charts.c: the document's series as charts over days. Series of one chart share an axis; the table
// under it has a row for each moment of any of them.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/picture/chart.h"
#include "monitor/report/page_parts.h"

enum { SERIES_MOST = 12, POINTS_MOST = 4000 }; // of a chart; what is more stands in the JSON alone

// One series of the document, its lists as arrays of doubles (count each, NaN for null).
struct curve {
    char name[PAGE_VALUE_SIZE], unit[PAGE_VALUE_SIZE];
    size_t count, next; // next: how far the table has come
    double *at, *y, *low, *high, *limit, *n;
    bool *hollow;
};

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

// NULL: the series has no such list of that length.
static double *numbers_of(const cJSON *series, const char *name, size_t count)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(series, name), *item;
    if (!cJSON_IsArray(list) || (size_t)cJSON_GetArraySize(list) != count)
        return NULL;
    double *values = memory_alloc((count + 1) * sizeof *values);
    size_t used = 0;
    cJSON_ArrayForEach(item, list) values[used++] = cJSON_IsNumber(item) ? item->valuedouble
                                                    : cJSON_IsTrue(item) ? 1
                                                                         : NAN;
    return values;
}

static void release_curve(struct curve *curve)
{
    free(curve->at);
    free(curve->y);
    free(curve->low);
    free(curve->high);
    free(curve->limit);
    free(curve->n);
    free(curve->hollow);
}

// Times that rise, and as many values.
static bool is_drawable(const struct curve *curve)
{
    if (!curve->at || !curve->y)
        return false;
    for (size_t i = 0; i < curve->count; i++)
        if (!isfinite(curve->at[i]) || (i > 0 && curve->at[i] <= curve->at[i - 1]))
            return false;
    return true;
}

static bool read_curve(const cJSON *series, struct curve *curve)
{
    int count = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(series, "at"));
    *curve = (struct curve){0};
    if (count > POINTS_MOST)
        return false;
    curve->count = (size_t)count;
    text_cut(text_of(series, "name"), curve->name, sizeof curve->name);
    text_cut(text_of(series, "unit"), curve->unit, sizeof curve->unit);
    curve->at = numbers_of(series, "at", curve->count);
    curve->y = numbers_of(series, "y", curve->count);
    curve->low = numbers_of(series, "low", curve->count);
    curve->high = numbers_of(series, "high", curve->count);
    curve->limit = numbers_of(series, "limit", curve->count);
    curve->n = numbers_of(series, "n", curve->count);
    double *hollow = numbers_of(series, "hollow", curve->count);
    if (hollow) {
        curve->hollow = memory_alloc((curve->count + 1) * sizeof *curve->hollow);
        for (size_t i = 0; i < curve->count; i++)
            curve->hollow[i] = hollow[i] == 1;
    }
    free(hollow);
    if (is_drawable(curve))
        return true;
    release_curve(curve);
    return false;
}

static void draw(struct html *page, const char *title, const struct curve *curves, size_t count)
{
    struct chart_series shown[2 * SERIES_MOST];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const struct curve *curve = &curves[i];
        shown[used++] = (struct chart_series){.name = curve->name,
                                              .colour = chart_colour(i),
                                              .x = curve->at,
                                              .y = curve->y,
                                              .count = curve->count,
                                              .dots = true,
                                              .low = curve->low,
                                              .high = curve->high,
                                              .hollow = curve->hollow,
                                              .hatched = i == 0};
        if (curve->limit)
            shown[used++] = (struct chart_series){.name = count == 1 ? "limit" : NULL,
                                                  .colour = chart_colour(i),
                                                  .x = curve->at,
                                                  .y = curve->limit,
                                                  .count = curve->count,
                                                  .dashed = true};
    }
    const struct chart chart = {
        .title = title, .x = {.label = "day (UTC)", .dates = true}, .y = {.label = curves[0].unit}};
    html_open(page, "figure", "");
    chart_lines(page, &chart, shown, used);
    html_close(page, "figure");
}

static void value_cell(struct html *page, const struct curve *curve, size_t index)
{
    char text[PAGE_VALUE_SIZE];
    if (!isfinite(curve->y[index])) {
        if (curve->n && isfinite(curve->n[index]))
            html_thin(page, "not enough evidence, n %.0f", curve->n[index]);
        else
            html_thin(page, "not enough evidence");
        return;
    }
    int used = snprintf(text, sizeof text, "%.4g", curve->y[index]);
    if (curve->low && curve->high && isfinite(curve->low[index]) && isfinite(curve->high[index]))
        used += snprintf(text + used, sizeof text - (size_t)used, " (%.4g to %.4g)", curve->low[index],
                         curve->high[index]);
    if (curve->limit && isfinite(curve->limit[index]))
        used += snprintf(text + used, sizeof text - (size_t)used, ", limit %.4g", curve->limit[index]);
    if (curve->n && isfinite(curve->n[index]))
        used += snprintf(text + used, sizeof text - (size_t)used, ", n %.0f", curve->n[index]);
    if (curve->hollow && curve->hollow[index])
        snprintf(text + used, sizeof text - (size_t)used, ", not mature");
    html_number(page, "%s", text);
}

// The least moment that no row has shown yet; NaN: none.
static double next_moment(const struct curve *curves, size_t count)
{
    double least = NAN;
    for (size_t i = 0; i < count; i++)
        if (curves[i].next < curves[i].count)
            least = fmin(least, curves[i].at[curves[i].next]);
    return least;
}

static void draw_table(struct html *page, const char *title, struct curve *curves, size_t count)
{
    const char *headings[SERIES_MOST + 2] = {"Day"};
    for (size_t i = 0; i < count; i++)
        headings[i + 1] = curves[i].name;
    html_table_begin(page, title, headings);
    for (double at = next_moment(curves, count); isfinite(at); at = next_moment(curves, count)) {
        char text[PAGE_VALUE_SIZE];
        const cJSON moment = {.type = cJSON_Number, .valuedouble = at};
        page_value_text("at", &moment, text);
        html_row_begin(page);
        html_cell(page, "%s", text);
        for (size_t i = 0; i < count; i++)
            if (curves[i].next < curves[i].count && curves[i].at[curves[i].next] == at)
                value_cell(page, &curves[i], curves[i].next++);
            else
                html_cell(page, "-");
        html_row_end(page);
    }
    html_table_end(page);
}

// The chart of the series that the first one begins; those after it with its title belong to it.
static void page_chart(struct html *page, const cJSON *first)
{
    struct curve curves[SERIES_MOST];
    size_t count = 0, left_out = 0;
    char title[PAGE_VALUE_SIZE];
    text_cut(text_of(first, "chart"), title, sizeof title);
    for (const cJSON *series = first; series; series = series->next) {
        if (strcmp(text_of(series, "chart"), text_of(first, "chart")) != 0)
            continue;
        if (count < SERIES_MOST && read_curve(series, &curves[count]))
            count++;
        else
            left_out++;
    }
    if (count > 0) {
        draw(page, title, curves, count);
        draw_table(page, title, curves, count);
    }
    if (left_out > 0)
        html_element(page, "p", "%s: %zu more series stand in the JSON.", title, left_out);
    for (size_t i = 0; i < count; i++)
        release_curve(&curves[i]);
}

void page_charts(struct html *page, const cJSON *document)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(document, "series"), *series, *before;
    cJSON_ArrayForEach(series, list)
    {
        for (before = list->child; before != series; before = before->next)
            if (strcmp(text_of(before, "chart"), text_of(series, "chart")) == 0)
                break;
        if (before == series) // the first of its chart
            page_chart(page, series);
    }
}
