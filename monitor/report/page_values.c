// page_values.c: values of a report's document as texts, cells and tables.
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/moment.h"
#include "common/base/text.h"
#include "monitor/report/page_parts.h"

enum { COLUMNS_MOST = 24, ROWS_MOST = 5000, NAME_SIZE = 101 };

static const cJSON *field(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static bool is_time(const char *name)
{
    static const char *const names[] = {"at", "since", "from", "to", "time", "cohort", "registered_at"};
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

// A day alone where the time of day is midnight.
static void time_text(double value, char text[PAGE_VALUE_SIZE])
{
    moment_format(value >= 0 && value < 9e15 ? (int64_t)value : -1, text);
    char *midnight = strstr(text, "T00:00:00.000Z");
    if (midnight)
        *midnight = '\0';
}

static void number_text(const char *name, double value, char text[PAGE_VALUE_SIZE])
{
    if (is_time(name) && value >= 1e11) // a moment, not a count of days
        time_text(value, text);
    else if (value == floor(value) && fabs(value) < 1e9)
        snprintf(text, PAGE_VALUE_SIZE, "%.0f", value);
    else
        snprintf(text, PAGE_VALUE_SIZE, "%.4g", value);
}

// Texts one after the other, as many as fit.
struct joined {
    char *text;
    size_t used;
};

static bool join(struct joined *joined, const char *before, const char *text)
{
    size_t gap = joined->used ? strlen(before) : 0, size = strlen(text);
    if (joined->used + gap + size >= PAGE_VALUE_SIZE)
        return false;
    memcpy(joined->text + joined->used, before, gap);
    memcpy(joined->text + joined->used + gap, text, size + 1);
    joined->used += gap + size;
    return true;
}

// "[low, high]" as "low to high", other lists with commas.
static void list_text(const cJSON *list, char text[PAGE_VALUE_SIZE])
{
    const char *between = cJSON_GetArraySize(list) == 2 && cJSON_IsNumber(list->child) ? " to " : ", ";
    struct joined joined = {text, 0};
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        char one[PAGE_VALUE_SIZE];
        page_value_text(NULL, item, one);
        if (!join(&joined, between, one))
            return;
    }
}

// "name value, name value".
static void fields_text(const cJSON *object, char text[PAGE_VALUE_SIZE])
{
    struct joined joined = {text, 0};
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        char title[PAGE_VALUE_SIZE], one[PAGE_VALUE_SIZE];
        page_title(item->string, title);
        page_value_text(item->string, item, one);
        if (!join(&joined, ", ", title) || !join(&joined, " ", one))
            return;
    }
}

static void estimate_text(const cJSON *object, char text[PAGE_VALUE_SIZE])
{
    const cJSON *estimate = field(object, "estimate"), *low = field(object, "low");
    const cJSON *high = field(object, "high"), *n = field(object, "n");
    int used = snprintf(text, PAGE_VALUE_SIZE, "%.4g", estimate->valuedouble);
    if (cJSON_IsNumber(low) && cJSON_IsNumber(high))
        used += snprintf(text + used, (size_t)(PAGE_VALUE_SIZE - used), " (%.4g to %.4g)", low->valuedouble,
                         high->valuedouble);
    if (cJSON_IsNumber(n))
        snprintf(text + used, (size_t)(PAGE_VALUE_SIZE - used), ", n %.0f", n->valuedouble);
}

void page_value_text(const char *name, const cJSON *value, char text[PAGE_VALUE_SIZE])
{
    strcpy(text, "-");
    if (cJSON_IsNumber(value))
        number_text(name, value->valuedouble, text);
    else if (cJSON_IsString(value))
        text_cut(value->valuestring, text, PAGE_VALUE_SIZE);
    else if (cJSON_IsBool(value))
        strcpy(text, cJSON_IsTrue(value) ? "yes" : "no");
    else if (cJSON_IsArray(value) && value->child)
        list_text(value, text);
    else if (cJSON_IsNumber(field(value, "estimate")))
        estimate_text(value, text);
    else if (cJSON_IsObject(value) && value->child && !field(value, "estimate"))
        fields_text(value, text);
}

void page_value_cell(struct html *page, const char *name, const cJSON *value)
{
    char text[PAGE_VALUE_SIZE];
    const cJSON *reason = field(value, "reason"), *n = field(value, "n");
    if (cJSON_IsString(reason) && !cJSON_IsNumber(field(value, "estimate"))) {
        if (cJSON_IsNumber(n))
            html_thin(page, "not enough evidence: %s, n %.0f", reason->valuestring, n->valuedouble);
        else
            html_thin(page, "not enough evidence: %s", reason->valuestring);
        return;
    }
    page_value_text(name, value, text);
    if (cJSON_IsString(value) && strcmp(text, "insufficient") == 0)
        html_thin(page, "not enough evidence");
    else if (cJSON_IsString(value) || cJSON_IsBool(value))
        html_cell(page, "%s", text);
    else
        html_number(page, "%s", text);
}

void page_title(const char *name, char text[PAGE_VALUE_SIZE])
{
    text_cut(name, text, PAGE_VALUE_SIZE);
    for (char *at = text; *at; at++)
        if (*at == '_')
            *at = ' ';
    text[0] = (char)toupper((unsigned char)text[0]);
}

// A table within a cell: nobody could read it.
static bool is_table(const cJSON *value)
{
    return cJSON_IsObject(value) && cJSON_IsObject(value->child);
}

// The columns are the fields of all rows, in the order in which they are seen first. What is a table itself
// stands in the JSON, or in one of the document's tables.
static size_t find_columns(const cJSON *list, const char *columns[COLUMNS_MOST])
{
    size_t count = 0;
    const cJSON *row, *item;
    cJSON_ArrayForEach(row, list) cJSON_ArrayForEach(item, row)
    {
        size_t i = 0;
        if (is_table(item))
            continue;
        while (i < count && strcmp(columns[i], item->string) != 0)
            i++;
        if (i == count && count < COLUMNS_MOST)
            columns[count++] = item->string;
    }
    return count;
}

static void list_table(struct html *page, const cJSON *list)
{
    const char *columns[COLUMNS_MOST], *headings[COLUMNS_MOST + 1] = {NULL};
    char titles[COLUMNS_MOST][PAGE_VALUE_SIZE], caption[PAGE_VALUE_SIZE];
    size_t count = find_columns(list, columns), shown = 0;
    for (size_t i = 0; i < count; i++) {
        page_title(columns[i], titles[i]);
        headings[i] = titles[i];
    }
    page_title(list->string, caption);
    html_table_begin(page, caption, headings);
    const cJSON *row;
    cJSON_ArrayForEach(row, list)
    {
        if (shown++ == ROWS_MOST)
            break;
        html_row_begin(page);
        for (size_t i = 0; i < count; i++)
            page_value_cell(page, columns[i], field(row, columns[i]));
        html_row_end(page);
    }
    html_table_end(page);
    if (cJSON_GetArraySize(list) > ROWS_MOST)
        html_element(page, "p", "The first %d of %d rows; the JSON has all of them.", ROWS_MOST,
                     cJSON_GetArraySize(list));
}

static bool is_plain(const cJSON *value)
{
    return !cJSON_IsObject(value) || field(value, "estimate") || field(value, "reason");
}

static void object_row(struct html *page, const char *before, const cJSON *item)
{
    char outer[NAME_SIZE], inner[NAME_SIZE], name[PAGE_VALUE_SIZE], title[PAGE_VALUE_SIZE];
    text_cut(before, outer, sizeof outer);
    text_cut(item->string, inner, sizeof inner);
    snprintf(name, sizeof name, "%s%s%s", outer, *outer ? ", " : "", inner);
    page_title(name, title);
    html_row_begin(page);
    html_cell(page, "%s", title);
    page_value_cell(page, item->string, item);
    html_row_end(page);
}

static bool is_list_of_objects(const cJSON *value)
{
    return cJSON_IsArray(value) && cJSON_IsObject(value->child);
}

static void object_table(struct html *page, const cJSON *object)
{
    static const char *const headings[] = {"Figure", "Value", NULL};
    char caption[PAGE_VALUE_SIZE];
    const cJSON *item, *inner;
    page_title(object->string, caption);
    html_table_begin(page, caption, headings);
    cJSON_ArrayForEach(item, object)
    {
        if (is_list_of_objects(item))
            continue;
        if (is_plain(item))
            object_row(page, "", item);
        else
            cJSON_ArrayForEach(inner, item) object_row(page, item->string, inner);
    }
    html_table_end(page);
    cJSON_ArrayForEach(item, object) if (is_list_of_objects(item)) list_table(page, item);
}

void page_key_table(struct html *page, const cJSON *value)
{
    if (is_list_of_objects(value))
        list_table(page, value);
    else if (cJSON_IsObject(value) && value->child)
        object_table(page, value);
}
