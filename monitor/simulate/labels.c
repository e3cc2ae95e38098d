// labels.c: whose diagnosis becomes known, when, and how surely.
#include "monitor/simulate/labels.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "monitor/simulate/draws.h"
#include "monitor/simulate/names.h"

static const double week_ms = 7 * 24 * 3600 * 1000.0;
static const double cancer_weeks = 1.5, benign_weeks = 6;
static const double mistaken = 0.01, doubled = 0.01, early = 0.005, stray = 0.002;
static const double outside = 0.005, ungradable = 0.005;
enum { EARLY_MS = 10 * 60 * 1000, DAY_MS = 24 * 3600 * 1000 };

void labels_init(struct labels *labels, uint64_t seed, double referred, double monitored)
{
    *labels = (struct labels){.seed = seed, .referred = referred, .monitored = monitored};
}

void labels_release(struct labels *labels)
{
    free(labels->waiting);
    *labels = (struct labels){0};
}

// ---- the heap ----

// Two of one image and one kind never come at the same time, so the order does not depend on how the heap was
// built.
static bool comes_before(const struct label *a, const struct label *b)
{
    if (a->at != b->at)
        return a->at < b->at;
    return a->image != b->image ? a->image < b->image : a->kind < b->kind;
}

static enum status push(struct labels *labels, const struct label *label, struct error *err)
{
    if (labels->count == LABELS_WAITING_MOST)
        return error_set(err, STATUS_FATAL, "more than %d labels are on their way", LABELS_WAITING_MOST);
    if (labels->count == labels->capacity) {
        labels->capacity = labels->capacity > 0 ? 2 * labels->capacity : 1024;
        labels->waiting = memory_realloc(labels->waiting, labels->capacity * sizeof *labels->waiting);
    }
    size_t at = labels->count++;
    for (; at > 0 && comes_before(label, &labels->waiting[(at - 1) / 2]); at = (at - 1) / 2)
        labels->waiting[at] = labels->waiting[(at - 1) / 2];
    labels->waiting[at] = *label;
    return STATUS_OK;
}

bool labels_take(struct labels *labels, int64_t until, struct label *label)
{
    if (labels->count == 0 || labels->waiting[0].at > until)
        return false;
    *label = labels->waiting[0];
    struct label last = labels->waiting[--labels->count];
    size_t at = 0;
    for (;;) {
        size_t next = 2 * at + 1;
        if (next + 1 < labels->count && comes_before(&labels->waiting[next + 1], &labels->waiting[next]))
            next++;
        if (next >= labels->count || !comes_before(&labels->waiting[next], &last))
            break;
        labels->waiting[at] = labels->waiting[next];
        at = next;
    }
    labels->waiting[at] = last;
    return true;
}

// ---- what comes ----

static bool is_cancer(enum lesion_class lesion)
{
    return lesion == LESION_MEL || lesion == LESION_BCC || lesion == LESION_SCC;
}

static enum status add_mistaken(struct labels *labels, const struct label *final, int64_t at,
                                struct error *err)
{
    struct label label = *final;
    label.kind = LABEL_MISTAKEN;
    label.at = label.reviewed_at = at;
    label.label = final->label == LESION_NV ? LESION_MEL : LESION_NV;
    label.certainty = CERTAINTY_CLINICIAN;
    label.corrects = false;
    return push(labels, &label, err);
}

static enum status add_stray(struct labels *labels, const struct label *final, struct error *err)
{
    struct label label = *final;
    label.kind = LABEL_STRAY;
    label.corrects = label.early = false;
    return push(labels, &label, err);
}

static int draw_label(struct draws *draws, enum lesion_class truth)
{
    double odd = draws_uniform(draws);
    return odd < outside ? FEEDBACK_OTHER : odd < outside + ungradable ? FEEDBACK_UNGRADABLE : (int)truth;
}

static int draw_certainty(struct draws *draws, bool cancer, bool referred)
{
    double share = draws_uniform(draws);
    if (cancer || (referred && share < 0.5))
        return CERTAINTY_HISTOPATHOLOGY;
    return share < 0.9 ? CERTAINTY_FOLLOW_UP : CERTAINTY_CONSENSUS;
}

// The final label, and what the defect that was drawn adds to it.
static enum status add_defect(struct labels *labels, struct draws *draws, double defect, struct label *final,
                              int64_t halfway, struct error *err)
{
    bool twice = defect >= mistaken && defect < mistaken + doubled;
    final->corrects = defect < mistaken;
    final->reviewed_at = final->at;
    enum status status = push(labels, final, err);
    if (status == STATUS_OK && final->corrects)
        return add_mistaken(labels, final, halfway, err);
    if (status == STATUS_OK && defect >= 1 - stray)
        return add_stray(labels, final, err);
    if (status == STATUS_OK && twice) {
        final->at += (int64_t)(draws_exponential(draws) * DAY_MS) + 1; // never together with the first
        return push(labels, final, err);
    }
    return status;
}

enum status labels_add(struct labels *labels, const struct clinic_image *image, int64_t answered_at,
                       int64_t *labelled_at, struct error *err)
{
    struct draws draws;
    draws_begin(&draws, labels->seed, DRAWS_OF_LABEL, image->number);
    *labelled_at = -1;
    bool referred = image->reading.action != ACTION_MONITOR, cancer = is_cancer(image->truth);
    if (!draws_happens(&draws, referred ? labels->referred : labels->monitored))
        return STATUS_OK;
    int64_t delay = (int64_t)(draws_exponential(&draws) * (cancer ? cancer_weeks : benign_weeks) * week_ms);
    double defect = draws_uniform(&draws);
    struct label final = {.image = image->number, .kind = LABEL_FINAL};
    final.certainty = (int16_t)draw_certainty(&draws, cancer, referred);
    final.label = (int16_t)draw_label(&draws, image->truth);
    final.early = defect >= mistaken + doubled && defect < mistaken + doubled + early;
    final.at = final.early ? image->submitted - EARLY_MS : answered_at + delay;
    *labelled_at = final.at;
    return add_defect(labels, &draws, defect, &final, answered_at + delay / 2, err);
}

void labels_record(const struct labels *labels, const struct label *label, struct feedback *feedback)
{
    static const enum names_kind ids[] = {
        [LABEL_FINAL] = NAMES_FEEDBACK, [LABEL_MISTAKEN] = NAMES_CORRECTION, [LABEL_STRAY] = NAMES_STRAY};
    feedback_init(feedback);
    names_uuid(labels->seed, ids[label->kind], label->image, feedback->feedback_id);
    if (label->early)
        names_digest(labels->seed, NAMES_IMAGE, label->image, feedback->image_sha256);
    else // a stray's request has a name like its own
        names_uuid(labels->seed, label->kind == LABEL_STRAY ? NAMES_STRAY : NAMES_REQUEST, label->image,
                   feedback->request_id);
    feedback->label = label->label;
    feedback->certainty = label->certainty;
    feedback->reviewed_at = label->reviewed_at;
    snprintf(feedback->reviewed_by, sizeof feedback->reviewed_by, "reader-%d", (int)(label->image % 7));
    snprintf(feedback->lesion_id, sizeof feedback->lesion_id, "L-%" PRIu64, label->image);
    if (label->corrects)
        names_uuid(labels->seed, NAMES_CORRECTION, label->image, feedback->supersedes);
}
