// subjects.h: several photographs of a patient say little more than one does. Tests that suppose independent
// trials are given one for each patient. Subjects are numbers (analysis_subject). Pure functions.
#ifndef SKINSIGHT_MONITOR_COMPARISON_SUBJECTS_H
#define SKINSIGHT_MONITOR_COMPARISON_SUBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Which item is the first of its subject.
void subjects_mark_first(const uint64_t *subjects, size_t count, bool *is_first);
// How many there are. The array becomes ordered.
size_t subjects_count(uint64_t *subjects, size_t count);

#endif
