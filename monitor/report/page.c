// page.c: a report's document as a page. It knows the head, the alarms, series and tables; every other key is
// shown as the table that it is.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "monitor/report/page_parts.h"
#include "monitor/report/report.h"

static const double days_of_year = 365.25;

static const cJSON *field(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = field(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

static void draw_head(struct html *page, const cJSON *document)
{
    char from[PAGE_VALUE_SIZE], to[PAGE_VALUE_SIZE], time[PAGE_VALUE_SIZE];
    const cJSON *as_of = field(document, "as_of"), *reference = field(document, "reference");
    page_value_text("from", field(document, "from"), from);
    page_value_text("to", field(document, "to"), to);
    page_value_text("time", field(as_of, "time"), time);
    html_element(page, "p", "Analyses from %s until before %s (UTC). Model: %s. Site: %s.", from, to,
                 *text_of(document, "model_version") ? text_of(document, "model_version") : "all",
                 *text_of(document, "site") ? text_of(document, "site") : "all");
    html_element(page, "p", "As it was known at %s, from %d partitions.", time,
                 cJSON_GetArraySize(field(as_of, "offsets")));
    if (cJSON_IsObject(reference))
        html_element(page, "p", "Compared with the reference %s (%.12s).", text_of(reference, "id"),
                     text_of(reference, "sha256"));
    html_element(page, "p",
                 "In brackets: 95 %% intervals. Hatched: not enough evidence for a number. Hollow: labels of "
                 "that day are still coming in.");
}

static void alarm_row(struct html *page, const cJSON *alarm)
{
    static const char *const columns[] = {"value", "limit", "n", "since", "arl0_days", "delay_days"};
    html_row_begin(page);
    html_cell(page, "%s", text_of(alarm, "name"));
    page_value_cell(page, "state", field(alarm, "state"));
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        page_value_cell(page, columns[i], field(alarm, columns[i]));
    html_cell(page, "%s", cJSON_IsTrue(field(alarm, "plain")) ? "plain rule" : "calibrated");
    html_row_end(page);
}

// False alarms a year that the alarms of one kind declare, and how many of them say so.
static double expected_alarms(const cJSON *alarms, bool plain, int *count)
{
    const cJSON *alarm;
    double sum = 0;
    *count = 0;
    cJSON_ArrayForEach(alarm, alarms)
    {
        const cJSON *days = field(alarm, "arl0_days");
        if ((cJSON_IsTrue(field(alarm, "plain")) != 0) != plain || !cJSON_IsNumber(days) ||
            days->valuedouble <= 0)
            continue;
        sum += days_of_year / days->valuedouble;
        (*count)++;
    }
    return sum;
}

static void draw_alarms(struct html *page, const cJSON *document)
{
    static const char *const headings[] = {"Alarm",
                                           "State",
                                           "Value",
                                           "Limit",
                                           "n",
                                           "Since",
                                           "Days between false alarms",
                                           "Days until a shift is seen",
                                           "Kind",
                                           NULL};
    const cJSON *alarms = field(document, "alarms"), *alarm;
    int count;
    if (cJSON_GetArraySize(alarms) == 0)
        return;
    html_element(page, "h2", "Alarms");
    cJSON_ArrayForEach(alarm, alarms) if (strcmp(text_of(alarm, "state"), "critical") == 0)
        html_warning(page, "Critical: %s", text_of(alarm, "name"));
    html_table_begin(page, "Every alarm with the false alarms that it declares", headings);
    cJSON_ArrayForEach(alarm, alarms) alarm_row(page, alarm);
    html_table_end(page);
    double expected = expected_alarms(alarms, false, &count);
    html_element(page, "p", "The %d calibrated alarms together declare %.1f false alarms a year.", count,
                 expected);
    expected = expected_alarms(alarms, true, &count);
    if (count > 0)
        html_element(page, "p", "The %d plain rules beside them: %.1f false alarms a year, as measured.",
                     count, expected);
}

static bool is_known(const char *name)
{
    static const char *const names[] = {"schema",        "id",   "kind",   "as_of",  "from",   "to",
                                        "model_version", "site", "series", "tables", "alarms", "reference"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static void draw_keys(struct html *page, const cJSON *document)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, document)
    {
        char title[PAGE_VALUE_SIZE];
        if (is_known(item->string) || !item->child)
            continue;
        page_title(item->string, title);
        html_element(page, "h2", "%s", title);
        page_key_table(page, item);
    }
}

static void draw_table(struct html *page, const cJSON *table)
{
    enum { COLUMNS_MOST = 24 };
    const char *headings[COLUMNS_MOST + 1] = {NULL};
    const cJSON *item, *row, *rows = field(table, "rows");
    int columns = 0;
    cJSON_ArrayForEach(item, field(table, "columns")) if (columns < COLUMNS_MOST && cJSON_IsString(item))
        headings[columns++] = item->valuestring;
    html_table_begin(page, text_of(table, "title"), headings);
    cJSON_ArrayForEach(row, rows)
    {
        int cells = 0;
        html_row_begin(page);
        cJSON_ArrayForEach(item, row) if (cells < columns) page_value_cell(page, headings[cells++], item);
        html_row_end(page);
    }
    html_table_end(page);
}

static void draw_foot(struct html *page, const cJSON *document)
{
    const char *id = text_of(document, "id");
    html_element(page, "h2", "Where this comes from");
    if (*id)
        html_element(page, "p",
                     "Report %s. skinsight-monitor report --as-of %s makes it again from the same records.",
                     id, id);
    else
        html_element(page, "p", "A live page, not published: it can't be made again later.");
    html_element(page, "p",
                 "Every number is one of the JSON document's (skinsight.report.v1). Not for decisions about "
                 "a single patient.");
}

enum status report_page(const cJSON *document, struct buffer *out, struct error *err)
{
    struct html page;
    char title[PAGE_VALUE_SIZE], kind[PAGE_VALUE_SIZE];
    const cJSON *table;
    page_title(text_of(document, "kind"), kind);
    snprintf(title, sizeof title, "%.100s report", kind);
    html_begin(&page, out, title, err);
    html_open(&page, "main", "");
    draw_head(&page, document);
    draw_alarms(&page, document);
    draw_keys(&page, document);
    page_charts(&page, document);
    cJSON_ArrayForEach(table, field(document, "tables")) draw_table(&page, table);
    draw_foot(&page, document);
    html_close(&page, "main");
    return html_end(&page);
}
