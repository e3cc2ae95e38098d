// letter_list.c: an array, sorted twice: by job to compare the letters of one job, by time to show them.
#include "producer/letter_list.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

enum { FIRST_CAPACITY = 64 };

void letter_list_init(struct letter_list *list)
{
    *list = (struct letter_list){0};
}

void letter_list_release(struct letter_list *list)
{
    free(list->entries);
    *list = (struct letter_list){0};
}

enum status letter_list_add(struct letter_list *list, const struct letter *letter, bool matches,
                            struct error *err)
{
    if (!matches && !letter->killer)
        return STATUS_OK;
    if (list->count == LETTER_LIST_LIMIT)
        return error_set(err, STATUS_REJECTED, "more than %d letters match; ask for fewer, with --since say",
                         LETTER_LIST_LIMIT);
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : FIRST_CAPACITY;
        list->entries = memory_realloc(list->entries, list->capacity * sizeof *list->entries);
    }
    list->entries[list->count++] = (struct listed_letter){*letter, matches, LETTER_SEND};
    return STATUS_OK;
}

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_times(const void *left, const void *right)
{
    const struct letter *a = &((const struct listed_letter *)left)->letter;
    const struct letter *b = &((const struct listed_letter *)right)->letter;
    int order = compare_numbers(a->failed_at, b->failed_at);
    if (order == 0)
        order = compare_numbers(a->partition, b->partition);
    return order ? order : compare_numbers(a->offset, b->offset);
}

static int compare_jobs(const void *left, const void *right)
{
    const struct letter *a = &((const struct listed_letter *)left)->letter;
    const struct letter *b = &((const struct listed_letter *)right)->letter;
    int order = memcmp(&a->job, &b->job, sizeof a->job);
    return order ? order : compare_times(left, right);
}

static void sort(struct letter_list *list, int (*compare)(const void *, const void *))
{
    if (list->count > 0)
        qsort(list->entries, list->count, sizeof *list->entries, compare);
}

static void count_fates(struct letter_list *list)
{
    memset(list->counts, 0, sizeof list->counts);
    for (size_t i = 0; i < list->count; i++)
        list->counts[list->entries[i].fate]++;
}

void letter_list_select(struct letter_list *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (list->entries[i].matches)
            list->entries[kept++] = list->entries[i];
    list->count = kept;
    sort(list, compare_times);
    count_fates(list);
}

static bool is_job_topic(const struct triage_rules *rules, const char *topic)
{
    return strcmp(topic, rules->jobs_topic) == 0 || strcmp(topic, rules->urgent_jobs_topic) == 0;
}

// The letters first..end - 1 hold one job, the latest last.
static void decide_job(struct letter_list *list, size_t first, size_t end, const struct triage_rules *rules)
{
    bool killer = false, sent = false;
    for (size_t i = first; i < end; i++)
        killer |= list->entries[i].letter.killer;
    for (size_t i = end; i-- > first;) {
        struct listed_letter *entry = &list->entries[i];
        if (!entry->matches)
            continue;
        if (killer && !rules->force_killers)
            entry->fate = LETTER_KILLER;
        else if (entry->letter.value_omitted)
            entry->fate = LETTER_NO_VALUE;
        else if (!is_job_topic(rules, entry->letter.source_topic))
            entry->fate = LETTER_FOREIGN;
        else
            entry->fate = sent ? LETTER_REPEATED : LETTER_SEND;
        sent |= entry->fate == LETTER_SEND;
    }
}

void letter_list_triage(struct letter_list *list, const struct triage_rules *rules)
{
    sort(list, compare_jobs);
    for (size_t first = 0, end; first < list->count; first = end) {
        const struct digest *job = &list->entries[first].letter.job;
        for (end = first + 1; end < list->count; end++)
            if (!digest_equal(job, &list->entries[end].letter.job))
                break;
        decide_job(list, first, end, rules);
    }
    letter_list_select(list);
}

void letter_list_set_fate(struct letter_list *list, struct listed_letter *entry, enum letter_fate fate)
{
    list->counts[entry->fate]--;
    list->counts[fate]++;
    entry->fate = fate;
}
