// test_html.c: report pages are well-formed whatever the texts hold, and charts put values where they belong.
// HTML written with these functions is well-formed XML but for its first line and empty elements of the head,
// so the test walks the tags itself.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/picture/chart.h"
#include "common/picture/svg.h"

static struct buffer out;
static struct html page;
static struct error err;

static void begin(void)
{
    buffer_release(&out);
    buffer_init(&out, 1 << 20);
    html_begin(&page, &out, "A <title> & more", &err);
}

static const char *end(void)
{
    assert_int_equal(html_end(&page), STATUS_OK);
    assert_int_equal(buffer_append(&out, "", 1, &err), STATUS_OK);
    return (const char *)out.data;
}

static bool is_void(const char *name)
{
    return strcmp(name, "meta") == 0 || strcmp(name, "img") == 0;
}

// Every begin tag has its end tag, in order, and no quote or tag is left open.
static void check_tags(const char *text)
{
    static char stack[64][32];
    int depth = 0;
    text = strstr(text, "<html");
    assert_non_null(text);
    for (const char *at = strchr(text, '<'); at; at = strchr(at, '<')) {
        char name[32];
        bool closes = at[1] == '/';
        assert_int_equal(sscanf(at + 1 + closes, "%31[a-z0-9]", name), 1);
        const char *last = strchr(at, '>');
        assert_non_null(last);
        assert_true(!memchr(at + 1, '<', (size_t)(last - at - 1)));
        if (closes) {
            assert_true(depth > 0);
            assert_string_equal(stack[--depth], name);
        } else if (last[-1] != '/' && !is_void(name)) {
            assert_true(depth < 64);
            strcpy(stack[depth++], name);
        }
        at = last;
    }
    assert_int_equal(depth, 0);
}

static void texts_are_escaped(void **state)
{
    (void)state;
    begin();
    html_element(&page, "p", "%s", "<script>alert(\"x\")</script> \xff\x01 \xc3\xa9 & so");
    html_warning(&page, "%d < %d", 1, 2);
    static const char *const headings[] = {"a", "<b>", NULL};
    html_table_begin(&page, "<c>", headings);
    html_row_begin(&page);
    html_cell(&page, "%s", "</td>");
    html_number(&page, "%.1f", 2.5);
    html_thin(&page, "%s", "n < 50");
    html_shaded(&page, NAN, "none");
    html_shaded(&page, 2, "all");
    html_row_end(&page);
    html_table_end(&page);
    const char *text = end();
    check_tags(text);
    assert_non_null(strstr(text, "<h1>A &lt;title&gt; &amp; more</h1>"));
    assert_non_null(strstr(text,
                           "<p>&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; \xef\xbf\xbd\xef\xbf\xbd "
                           "\xc3\xa9 &amp; so</p>"));
    assert_non_null(strstr(text, "<p class=\"warning\">1 &lt; 2</p>"));
    assert_non_null(strstr(text, "<td class=\"n\">2.5</td>"));
    assert_non_null(strstr(text, "<td class=\"thin\">n &lt; 50</td>"));
    assert_non_null(strstr(text, "aria-label=\"&lt;c&gt;\"><table><caption>&lt;c&gt;</caption>"));
    assert_non_null(strstr(text, "content=\"default-src 'none'"));
    assert_non_null(strstr(text, "rgba(46,110,158,0.00)\">none"));
    assert_non_null(strstr(text, "rgba(46,110,158,0.85);color:#fff\">all"));
    assert_null(strstr(text, "<script"));
}

static void pictures_are_in_the_page(void **state)
{
    (void)state;
    begin();
    html_picture(&page, "image/png", (struct bytes){(const uint8_t *)"foobar", 6}, 120, "a \"lesion\"");
    const char *text = end();
    check_tags(text);
    assert_non_null(strstr(text, "<img width=\"120\" alt=\"a &quot;lesion&quot;\" "
                                 "src=\"data:image/png;base64,Zm9vYmFy\">")); // RFC 4648, section 10
}

static void a_page_beyond_the_limit_leaves_nothing(void **state)
{
    (void)state;
    struct buffer small;
    buffer_init(&small, 2000);
    assert_int_equal(buffer_append(&small, "before", 6, &err), STATUS_OK);
    html_begin(&page, &small, "title", &err);
    for (int i = 0; i < 100; i++)
        html_element(&page, "p", "more and more");
    assert_int_equal(html_end(&page), STATUS_REJECTED);
    assert_int_equal(small.size, 6);
    buffer_release(&small);
}

static void curves_lie_where_their_values_are(void **state)
{
    (void)state;
    const double x[] = {0, 1, 2, 3, 4}, y[] = {0, 0.5, NAN, 1, 2};
    const struct chart chart = {
        "ROC", {"false", 0, 4, false}, {"true", 0, 1, false}, 480, 280}; // the field is 400 x 200
    const struct chart_series series[] = {{"model", chart_colour(0), x, y, 5, .dots = true},
                                          {NULL, chart_colour(1), x, x, 5, .dashed = true}};
    begin();
    chart_lines(&page, &chart, series, 2);
    const char *text = end();
    check_tags(text);
    // 64 + 400 * x / 4 and 34 + 200 * (1 - y); beyond the axis: at its end
    assert_non_null(strstr(text, "<polyline points=\"64.00,234.00 164.00,134.00\""));
    assert_non_null(strstr(text, "<polyline points=\"364.00,34.00 464.00,34.00\""));
    assert_non_null(strstr(text, "<circle cx=\"164.00\" cy=\"134.00\""));
    assert_non_null(strstr(text, "stroke-dasharray"));
    assert_non_null(strstr(text, ">model</text>"));
    assert_non_null(strstr(text, ">0.2</text>"));
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        count++;
    return count;
}

static void days_have_dates_bands_rings_and_hatched_gaps(void **state)
{
    (void)state;
    // 2026-11-01 to 2026-11-05: a day is 100 pixels.
    const double first = 1793491200e3, day = 86400e3;
    const double x[] = {first, first + day, first + 2 * day, first + 3 * day, first + 4 * day};
    const double y[] = {0.5, 0.5, NAN, 0.5, 0.5};
    const double low[] = {0.25, 0.25, NAN, 0.25, 0.25}, high[] = {0.75, 0.75, NAN, 0.75, 0.75};
    const bool hollow[] = {false, false, false, false, true};
    const struct chart chart = {"rate", {"day", .dates = true}, {"share", 0, 1, false}, 480, 280};
    const struct chart_series series = {
        "model", "#00b", x, y, 5, .dots = true, .low = low, .high = high, .hollow = hollow, .hatched = true};
    begin();
    chart_lines(&page, &chart, &series, 1);
    const char *text = end();
    check_tags(text);
    assert_non_null(strstr(text, "<text x=\"64.00\" y=\"250.00\" text-anchor=\"middle\">2026-11-01</text>"));
    assert_non_null(strstr(text, "<text x=\"464.00\" y=\"250.00\" text-anchor=\"middle\">2026-11-05</text>"));
    assert_non_null(strstr(text, "<polygon points=\"64.00,184.00 164.00,184.00 164.00,84.00 64.00,84.00\""));
    assert_non_null(
        strstr(text, "<polygon points=\"364.00,184.00 464.00,184.00 464.00,84.00 364.00,84.00\""));
    assert_int_equal(count_of(text, "<circle"), 4);
    assert_int_equal(count_of(text, "fill=\"none\" stroke=\"#00b\" stroke-width=\"1.50\""), 1); // the ring
    // From 214 to 314, half a day on both sides: diagonals every 8 pixels of 100 + 200.
    assert_non_null(strstr(text, "<line x1=\"214.00\" y1=\"42.00\" x2=\"222.00\" y2=\"34.00\""));
    assert_non_null(strstr(text, "<line x1=\"310.00\" y1=\"234.00\" x2=\"314.00\" y2=\"230.00\""));
}

static void bars_begin_at_zero(void **state)
{
    (void)state;
    const struct chart chart = {"counts", {.label = "class"}, {.label = "images"}, 480, 280};
    struct chart_group groups[] = {{.label = "MEL", .values = {50}, .colours = {"#b00"}},
                                   {.label = "NV", .values = {100}, .colours = {"#00b"}, .note = "most"},
                                   {.label = "none", .values = {NAN}, .colours = {"#0b0"}}};
    begin();
    chart_bars(&page, &chart, groups, 3, 1, NULL);
    const char *text = end();
    check_tags(text);
    assert_non_null(strstr(text, "y=\"134.00\"")); // half of the field's height
    assert_non_null(strstr(text, "height=\"100.00\" fill=\"#b00\""));
    assert_non_null(strstr(text, "height=\"200.00\" fill=\"#00b\""));
    assert_null(strstr(text, "#0b0"));
    assert_non_null(strstr(text, ">most</text>"));
    assert_non_null(strstr(text, ">50</text>"));
}

static void intervals_and_names_are_drawn(void **state)
{
    (void)state;
    const struct chart chart = {"sensitivity", {.label = "class"}, {"share", 0, 1, false}, 480, 280};
    struct chart_group group = {.label = "MEL",
                                .values = {0.5, 0.75},
                                .low = {0.25, 0},
                                .high = {0.75, 0},
                                .colours = {"#b00", "#00b"}};
    static const char *const names[] = {"ViT", "ResNet & co"};
    begin();
    chart_bars(&page, &chart, &group, 1, 2, names);
    const char *text = end();
    check_tags(text);
    assert_non_null(strstr(text, "y1=\"184.00\""));
    assert_non_null(strstr(text, "y2=\"84.00\""));
    assert_non_null(strstr(text, "ResNet &amp; co"));
}

static void nothing_to_draw_is_still_a_chart(void **state)
{
    (void)state;
    const struct chart chart = {.title = "empty", .x = {.label = "x"}, .y = {.label = "y"}};
    const double value[] = {7};
    const struct chart_series one = {"one", "#000", value, value, 1, .dots = true};
    begin();
    chart_lines(&page, &chart, NULL, 0);
    chart_lines(&page, &chart, &one, 1);
    chart_bars(&page, &chart, NULL, 0, 1, NULL);
    check_tags(end());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_escaped),
        cmocka_unit_test(pictures_are_in_the_page),
        cmocka_unit_test(a_page_beyond_the_limit_leaves_nothing),
        cmocka_unit_test(curves_lie_where_their_values_are),
        cmocka_unit_test(days_have_dates_bands_rings_and_hatched_gaps),
        cmocka_unit_test(bars_begin_at_zero),
        cmocka_unit_test(intervals_and_names_are_drawn),
        cmocka_unit_test(nothing_to_draw_is_still_a_chart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
