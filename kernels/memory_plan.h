// memory_plan.h: where the values lie that a plan's steps pass on. A value has a place from the step that
// writes it to the last one that reads it; then the next value gets that place. The offsets are those of one
// block of memory, the backend's.
//
// Thread: the one that prepares the plan.
#ifndef SKINSIGHT_KERNELS_MEMORY_PLAN_H
#define SKINSIGHT_KERNELS_MEMORY_PLAN_H

#include <stddef.h>

enum { MEMORY_PLACES_MAX = 1024 }; // training keeps most of its values

struct memory_value {
    size_t size;
    int last_step; // that reads it
    int place;     // MEMORY_NOWHERE: no step has written it yet
};
enum { MEMORY_NOWHERE = -1 };

struct memory_plan { // zeroed: an empty one
    size_t offsets[MEMORY_PLACES_MAX], sizes[MEMORY_PLACES_MAX];
    int busy_until[MEMORY_PLACES_MAX]; // step
    int count;
};

// Gives the value that `step` writes a place, unless it has one; asked in the steps' order. over: a value
// whose elements the step reads each before it writes the same one; its place is taken where nobody reads it
// later. NULL: none.
void memory_plan_place(struct memory_plan *plan, struct memory_value *value, int step,
                       const struct memory_value *over);
// When all have a place: sets the offsets, multiples of `alignment` plus `gap` bytes for each place before.
// Returns how much memory that is.
size_t memory_plan_lay_out(struct memory_plan *plan, size_t alignment, size_t gap);

size_t memory_round_up(size_t value, size_t to);

#endif
