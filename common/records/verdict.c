// verdict.c: the order of opinions, and which of them tie.
#include "common/records/verdict.h"

#include <string.h>

_Static_assert(FEEDBACK_LABELS <= 32, "a bit for each label");

void verdict_init(struct verdict *verdict)
{
    *verdict = (struct verdict){.labels = 0};
}

// Above 0: a outranks b; 0: they tie.
static int compare(const struct opinion *a, const struct opinion *b)
{
    if (a->certainty != b->certainty)
        return a->certainty < b->certainty ? 1 : -1; // the strongest is the first
    return (a->reviewed_at > b->reviewed_at) - (a->reviewed_at < b->reviewed_at);
}

bool verdict_add(struct verdict *verdict, const struct opinion *opinion)
{
    int order = verdict->labels == 0 ? 1 : compare(opinion, &verdict->best);
    unsigned label = 1u << opinion->label;
    if (order < 0)
        return false;
    verdict->labels = order > 0 ? label : verdict->labels | label;
    if (order == 0 && strcmp(opinion->feedback_id, verdict->best.feedback_id) >= 0)
        return false;
    verdict->best = *opinion;
    return true;
}

bool verdict_is_conflict(const struct verdict *verdict)
{
    return (verdict->labels & (verdict->labels - 1)) != 0;
}
