// arms.c: keeps answers, and finds the images that both arms have.
#include "monitor/comparison/arms.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "monitor/labels/labelled.h"

static enum status refuse(struct error *err)
{
    return error_set(err, STATUS_REJECTED,
                     "a model gave more than %d answers in that time: ask for a shorter one",
                     ARM_ANSWERS_MOST);
}

static enum status add_failure(struct arm *arm, const struct analysis *analysis, struct error *err)
{
    if (arm->failed_count == ARM_ANSWERS_MOST)
        return refuse(err);
    if (arm->failed_count == arm->failed_capacity) {
        arm->failed_capacity = arm->failed_capacity ? 2 * arm->failed_capacity : 256;
        arm->failed = memory_realloc(arm->failed, arm->failed_capacity * sizeof *arm->failed);
    }
    arm->failed[arm->failed_count++] = (struct arm_failure){analysis->at, analysis_subject(analysis)};
    return STATUS_OK;
}

enum status arms_add(struct arms *arms, int number, const struct analysis *analysis, struct error *err)
{
    struct arm *arm = &arms->arm[number];
    if (*analysis->error_code)
        return add_failure(arm, analysis, err);
    if (arm->count == ARM_ANSWERS_MOST)
        return refuse(err);
    if (arm->count == arm->capacity) {
        arm->capacity = arm->capacity ? 2 * arm->capacity : 256;
        arm->answers = memory_realloc(arm->answers, arm->capacity * sizeof *arm->answers);
    }
    int64_t consumed = analysis->moments[MOMENT_CONSUMED], published = analysis->moments[MOMENT_PUBLISHED];
    bool computed = !analysis->cache_hit && !analysis->replayed && consumed >= 0 && published >= consumed;
    arm->answers[arm->count++] = (struct arm_answer){
        .at = analysis->at,
        .reviewed_at = analysis->truth.reviewed_at,
        .image = text_number(*analysis->image_sha256 ? analysis->image_sha256 : analysis->request_id),
        .subject = analysis_subject(analysis),
        .melanoma = analysis->probabilities[LESION_MEL],
        .latency_ms = computed ? (float)(published - consumed) : NAN,
        .said = (uint8_t)analysis->class,
        .action = (uint8_t)analysis->action,
        .truth = analysis_is_labelled(analysis) ? (int8_t)analysis->truth.label : -1,
        .atypical = analysis->truth.atypical == 1,
    };
    return STATUS_OK;
}

void arms_release(struct arms *arms)
{
    for (int i = 0; i < ARMS; i++) {
        free(arms->arm[i].answers);
        free(arms->arm[i].failed);
    }
    *arms = (struct arms){0};
}

static int by_image(const void *left, const void *right)
{
    const struct arm_answer *a = *(struct arm_answer *const *)left, *b = *(struct arm_answer *const *)right;
    int order = (a->image > b->image) - (a->image < b->image);
    return order ? order : (a > b) - (a < b); // their places are in the order of time
}

static const struct arm_answer **sorted_by_image(const struct arm *arm)
{
    const struct arm_answer **sorted = memory_alloc((arm->count + 1) * sizeof *sorted);
    for (size_t i = 0; i < arm->count; i++)
        sorted[i] = &arm->answers[i];
    qsort(sorted, arm->count, sizeof *sorted, by_image);
    return sorted;
}

static int by_review(const void *left, const void *right)
{
    const struct arm_pair *a = left, *b = right;
    int order = (a->reviewed_at > b->reviewed_at) - (a->reviewed_at < b->reviewed_at);
    uint64_t image_a = a->answers[ARM_A]->image, image_b = b->answers[ARM_A]->image;
    return order ? order : (image_a > image_b) - (image_a < image_b);
}

// false: their labels differ.
static bool join(const struct arm_answer *a, const struct arm_answer *b, struct arm_pair *pair)
{
    if (a->truth >= 0 && b->truth >= 0 && a->truth != b->truth)
        return false;
    const struct arm_answer *known = a->truth >= 0 ? a : b;
    *pair = (struct arm_pair){{a, b}, known->truth, a->atypical || b->atypical, known->reviewed_at};
    return true;
}

// The first answer to another image behind this one.
static size_t next_image(const struct arm_answer **sorted, size_t count, size_t at)
{
    uint64_t image = sorted[at]->image;
    while (at < count && sorted[at]->image == image)
        at++;
    return at;
}

struct arm_pairs arms_pair(const struct arms *arms)
{
    const struct arm *of_a = &arms->arm[ARM_A], *of_b = &arms->arm[ARM_B];
    const struct arm_answer **a = sorted_by_image(of_a), **b = sorted_by_image(of_b);
    size_t most = of_a->count < of_b->count ? of_a->count : of_b->count;
    struct arm_pairs pairs = {.items = memory_alloc((most + 1) * sizeof *pairs.items)};
    for (size_t i = 0, j = 0; i < of_a->count && j < of_b->count;) {
        if (a[i]->image < b[j]->image) {
            i = next_image(a, of_a->count, i);
        } else if (a[i]->image > b[j]->image) {
            j = next_image(b, of_b->count, j);
        } else {
            bool joined = join(a[i], b[j], &pairs.items[pairs.count]);
            pairs.count += joined;
            pairs.contradictory += !joined;
            i = next_image(a, of_a->count, i);
            j = next_image(b, of_b->count, j);
        }
    }
    qsort(pairs.items, pairs.count, sizeof *pairs.items, by_review);
    free(a);
    free(b);
    return pairs;
}

bool arms_are_paired(const struct arms *arms, const struct arm_pairs *pairs)
{
    size_t of_a = arms->arm[ARM_A].count, of_b = arms->arm[ARM_B].count;
    size_t smaller = of_a < of_b ? of_a : of_b;
    return smaller > 0 && 2 * (pairs->count + pairs->contradictory) >= smaller;
}
