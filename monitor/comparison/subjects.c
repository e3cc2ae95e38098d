// subjects.c: sorts, and looks at neighbours.
#include "monitor/comparison/subjects.h"

#include <stdlib.h>

#include "common/base/memory.h"

struct placed {
    uint64_t subject;
    size_t place;
};

static int by_subject(const void *left, const void *right)
{
    const struct placed *a = left, *b = right;
    int order = (a->subject > b->subject) - (a->subject < b->subject);
    return order ? order : (a->place > b->place) - (a->place < b->place);
}

void subjects_mark_first(const uint64_t *subjects, size_t count, bool *is_first)
{
    struct placed *sorted = memory_alloc((count + 1) * sizeof *sorted);
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct placed){subjects[i], i};
    qsort(sorted, count, sizeof *sorted, by_subject);
    for (size_t i = 0; i < count; i++)
        is_first[sorted[i].place] = i == 0 || sorted[i].subject != sorted[i - 1].subject;
    free(sorted);
}

static int by_number(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

size_t subjects_count(uint64_t *subjects, size_t count)
{
    size_t found = 0;
    qsort(subjects, count, sizeof *subjects, by_number);
    for (size_t i = 0; i < count; i++)
        found += i == 0 || subjects[i] != subjects[i - 1];
    return found;
}
