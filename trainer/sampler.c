// sampler.c: the three orders, drawn from counter_random.h.
#include "trainer/sampler.h"

#include <stdlib.h>

#include "common/base/counter_random.h"
#include "common/base/memory.h"
#include "common/records/lesion.h"
#include "trainer/streams.h"

// An image's weight is 1 / (images of its class): that is a class drawn evenly, then an image of it evenly.
static void draw_weighted(const struct sampler *sampler, const struct random_stream *stream, size_t *order)
{
    size_t *members = memory_alloc(sampler->count * sizeof *members); // grouped by class
    size_t begin[LESION_CLASSES + 1] = {0};
    int classes[LESION_CLASSES], class_count = 0;
    size_t used = 0;
    for (int label = 0; label < LESION_CLASSES; label++) {
        begin[label] = used;
        for (size_t i = 0; i < sampler->count; i++)
            if (sampler->labels[i] == label)
                members[used++] = i;
        if (used > begin[label])
            classes[class_count++] = label;
    }
    begin[LESION_CLASSES] = used;
    for (size_t i = 0; i < sampler->count; i++) {
        int label = classes[counter_random_below(stream, 2 * i, (uint64_t)class_count)];
        size_t size = begin[label + 1] - begin[label];
        order[i] = members[begin[label] + counter_random_below(stream, 2 * i + 1, size)];
    }
    free(members);
}

void sampler_epoch(const struct sampler *sampler, int epoch, size_t *order)
{
    const struct random_stream stream = {sampler->seed, STREAM_SAMPLER + ((uint64_t)epoch << 32)};
    if (sampler->kind == SAMPLER_WEIGHTED) {
        draw_weighted(sampler, &stream, order);
        return;
    }
    for (size_t i = 0; i < sampler->count; i++)
        order[i] = i;
    for (size_t i = sampler->count - 1; sampler->kind == SAMPLER_SHUFFLE && i > 0; i--) { // Fisher and Yates
        size_t other = (size_t)counter_random_below(&stream, i, i + 1), image = order[i];
        order[i] = order[other];
        order[other] = image;
    }
}
