// arms_scene.h: answers of two models as a test writes them. Included by tests alone, behind cmocka.h.
#ifndef SKINSIGHT_TESTS_SUPPORT_ARMS_SCENE_H
#define SKINSIGHT_TESTS_SUPPORT_ARMS_SCENE_H

#include <stdio.h>
#include <string.h>

#include "monitor/comparison/arms_report.h"
#include "tests/support/near.h"

static const int64_t start = INT64_C(1793577600000), hour = 3600 * 1000;

// What one answer is.
struct scene {
    int arm, image, patient, truth;
    bool referred, right, atypical;
    double latency_ms;
};

static inline void add(struct arms *arms, const struct scene *scene)
{
    struct analysis analysis;
    struct error err;
    char subject[32];
    analysis_init(&analysis);
    snprintf(analysis.request_id, sizeof analysis.request_id, "%d-%zu", scene->arm,
             arms->arm[scene->arm].count);
    if (scene->image >= 0)
        snprintf(analysis.image_sha256, sizeof analysis.image_sha256, "%d", scene->image);
    snprintf(subject, sizeof subject, "patient %d", scene->patient);
    analysis.subject = subject;
    analysis.at = start + (int64_t)arms->arm[scene->arm].count * hour / 10;
    analysis.moments[MOMENT_CONSUMED] = analysis.at;
    analysis.moments[MOMENT_PUBLISHED] = analysis.at + (int64_t)scene->latency_ms;
    analysis.cache_hit = analysis.replayed = false;
    memset(analysis.probabilities, 0, sizeof analysis.probabilities);
    analysis.probabilities[LESION_MEL] = scene->referred ? 0.75F : 0.25F;
    analysis.action = scene->referred ? ACTION_URGENT_REFERRAL : ACTION_MONITOR;
    analysis.class = scene->right ? scene->truth : (scene->truth + 1) % LESION_CLASSES;
    analysis.truth.label = scene->truth;
    analysis.truth.reviewed_at = start + scene->image * hour;
    analysis.truth.atypical = scene->atypical;
    if (arms_add(arms, scene->arm, &analysis, &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

// An image that both have.
static inline void add_pair(struct arms *arms, int image, int truth, bool a, bool b)
{
    for (int arm = 0; arm < ARMS; arm++) {
        bool referred = arm == ARM_A ? a : b;
        add(arms, &(struct scene){.arm = arm,
                                  .image = image,
                                  .patient = image,
                                  .truth = truth,
                                  .referred = referred,
                                  .right = true,
                                  .latency_ms = 100 + image % 7});
    }
}

static inline void compare_and_release(struct arms *arms, struct arms_comparison *comparison)
{
    arms_compare(arms, NULL, comparison);
    arms_comparison_release(comparison);
    arms_release(arms);
}

// Of each arm `found` lesions in `all` are referred, spread over time.
static inline void fill_split(struct arms *arms, int arm, int truth, int found, int all)
{
    int before = (int)arms->arm[arm].count;
    for (int i = 0; i < all; i++)
        add(arms, &(struct scene){.arm = arm,
                                  .image = 2 * (before + i) + arm,
                                  .patient = 2 * (before + i) + arm,
                                  .truth = truth,
                                  .referred = i * 7919 % all < found,
                                  .right = true,
                                  .latency_ms = 100});
}

#endif
