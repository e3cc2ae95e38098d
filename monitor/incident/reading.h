// reading.h: reading a list of single answers as an entry of the audit: how many answers of which model, site
// and time, and never which ones. The entry is on the disk before the list leaves. No state, any thread.
#ifndef SKINSIGHT_MONITOR_INCIDENT_READING_H
#define SKINSIGHT_MONITOR_INCIDENT_READING_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/audit/entry.h"

bool incident_is_list(const cJSON *document); // whether reading the report is an entry

// What the report lists. REJECTED: its model or site is no name that an entry could hold.
enum status incident_reading(const cJSON *document, struct audit_list *list, struct error *err) MUST_CHECK;

#endif
