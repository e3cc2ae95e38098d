// memory_plan.c: best fit, the place that has to grow least. See memory_plan.h.
#include "kernels/memory_plan.h"

#include <assert.h>

size_t memory_round_up(size_t value, size_t to)
{
    return (value + to - 1) / to * to;
}

// The free place that has to grow least, or a new one.
static int best_place(const struct memory_plan *plan, int step, size_t size)
{
    int best = plan->count;
    size_t best_growth = size;
    for (int place = 0; place < plan->count; place++) {
        size_t growth = size > plan->sizes[place] ? size - plan->sizes[place] : 0;
        if (plan->busy_until[place] < step && growth < best_growth) {
            best = place;
            best_growth = growth;
        }
    }
    return best;
}

void memory_plan_place(struct memory_plan *plan, struct memory_value *value, int step,
                       const struct memory_value *over)
{
    if (value->place != MEMORY_NOWHERE)
        return;
    if (over && over->last_step == step && over->size == value->size)
        value->place = over->place;
    else
        value->place = best_place(plan, step, value->size);
    assert(value->place < MEMORY_PLACES_MAX);
    if (value->place == plan->count)
        plan->sizes[plan->count++] = 0;
    if (value->size > plan->sizes[value->place])
        plan->sizes[value->place] = value->size;
    plan->busy_until[value->place] = value->last_step;
}

size_t memory_plan_lay_out(struct memory_plan *plan, size_t alignment, size_t gap)
{
    size_t at = 0;
    for (int place = 0; place < plan->count; place++) {
        plan->offsets[place] = at;
        at += memory_round_up(plan->sizes[place], alignment) + gap;
    }
    return at;
}
