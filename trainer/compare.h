// compare.h: two models on the same images: whether the second may take the first one's place.
//
// The verdict is the bar for approval: no worse overall, and better on the atypical lesions. Both are judged
// by the difference of the balanced accuracies and its bootstrap by lesion: no worse, where the lower end of
// the 90 % interval (one-sided 95 %) is above minus the margin; better, where that of the 95 % interval is
// above 0. A class with few lesions hardly varies when they are drawn again, so it doesn't count on the
// atypical lesions, for neither model; overall it does, and is named.
#ifndef SKINSIGHT_TRAINER_COMPARE_H
#define SKINSIGHT_TRAINER_COMPARE_H

#include "common/program/config.h"
#include "common/statistics/auroc.h"
#include "common/statistics/paired.h"
#include "trainer/figures.h"

enum verdict { VERDICT_NOT_ENOUGH, VERDICT_HOLDS, VERDICT_FAILS, VERDICT_COUNT };
extern const char *const verdict_names[VERDICT_COUNT]; // "not_enough"

struct class_comparison {
    size_t n;
    double sensitivity_a, sensitivity_b, change_percent; // NaN: there is none
    bool has_auroc;
    struct auroc_comparison auroc;
};

struct group_comparison {
    size_t n;
    bool few[LESION_CLASSES];   // classes with images of fewer than FIGURES_LEAST_POSITIVES lesions
    double a, b;                // balanced accuracies
    struct estimate difference; // of b - a
    struct mcnemar mcnemar;     // of lesions: those that one model is right about more often
    enum verdict verdict;
};

struct comparison {
    char name_a[256], name_b[256]; // the models' versions and the folders
    size_t n, only_a, only_b;      // images of both, of one alone
    struct class_comparison classes[LESION_CLASSES];
    struct group_comparison overall, atypical;
    double margin;
    enum verdict verdict;
};

// The images of both by their digests, in the order of a: one.rows[i] and two.rows[i] are the same image. Of
// copies of a file the first one counts. REJECTED: none is in both, or the labels, lesions or marks of
// atypical ones of an image differ.
struct paired_predictions {
    struct predictions one, two; // rows alone are ours; their texts belong to a and b
    size_t only_a, only_b;
};
enum status predictions_pair(const struct predictions *a, const struct predictions *b,
                             struct paired_predictions *paired, struct error *err) MUST_CHECK;
void paired_predictions_release(struct paired_predictions *paired);

void comparison_judge(const struct paired_predictions *paired, double margin,
                      const struct figures_options *options, struct comparison *comparison);
enum status comparison_write_json(const struct comparison *comparison, struct buffer *out,
                                  struct error *err) MUST_CHECK;
enum status comparison_write_page(const struct comparison *comparison, struct buffer *out,
                                  struct error *err) MUST_CHECK;

// The subcommand `compare`.
extern const struct option compare_flags[];
enum status compare_command(struct config *config, struct error *err) MUST_CHECK;

#endif
