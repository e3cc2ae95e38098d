// page_parts.h: what page.c puts a report's page together from. All of it reads the document and adds to the
// page; what is not of the form that is looked for is left out.
#ifndef SKINSIGHT_MONITOR_REPORT_PAGE_PARTS_H
#define SKINSIGHT_MONITOR_REPORT_PAGE_PARTS_H

#include <cjson/cJSON.h>

#include "common/picture/html.h"

enum { PAGE_VALUE_SIZE = 256 };

// page_values.c. A value as people read it: numbers with four digits, times as UTC, "-" for what is not
// there.
void page_value_text(const char *name, const cJSON *value, char text[PAGE_VALUE_SIZE]);
// A cell of a table: an estimate with its interval, or hatched with the reason where there is none.
void page_value_cell(struct html *page, const char *name, const cJSON *value);
// A key of the document as a table: of a list, its objects as rows; of an object, its fields as rows.
void page_key_table(struct html *page, const cJSON *value);
// "sensitivity_corrected" as "Sensitivity corrected".
void page_title(const char *name, char text[PAGE_VALUE_SIZE]);

// page_charts.c: each chart that the document's series name, and its numbers in a table under it.
void page_charts(struct html *page, const cJSON *document);

#endif
