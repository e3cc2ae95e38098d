// assess.h: two documents about a model, for a model directory: card.md, what it is, and ethics.md, the
// assessment of bias and fairness, clinical safety, regulation and responsibility.
//
// Both are filled from the directory's manifest and from an evaluation, and every number of theirs stands in
// one of the two, rounded; targets and the names of laws excepted. What was not measured is said to be so.
// Texts of others (values of columns, the operator's words) are quoted and escaped.
#ifndef SKINSIGHT_TRAINER_ASSESS_H
#define SKINSIGHT_TRAINER_ASSESS_H

#include "common/program/config.h"
#include "kernels/model/model.h"
#include "trainer/clinical_targets.h"
#include "trainer/markdown.h"

struct assessment {
    const struct manifest *manifest;
    const struct evaluation *evaluation;
    // The operator's words; empty: not stated.
    const char *weights_origin, *data_origin, *data_licence;
};

enum status ethics_write(const struct assessment *assessment, struct buffer *out,
                         struct error *err) MUST_CHECK;
enum status card_write(const struct assessment *assessment, struct buffer *out, struct error *err) MUST_CHECK;

// What both documents have.
void assess_add_warning(struct markdown *page, const struct assessment *assessment); // not for clinical use
void assess_add_data(struct markdown *page, const struct assessment *assessment); // whom it was measured on
void assess_add_balance(struct markdown *page, const struct assessment *assessment); // what it took rare for
void assess_add_figures(struct markdown *page, const struct assessment *assessment); // and targets
void assess_add_classes(struct markdown *page, const struct assessment *assessment);
void assess_add_operating_point(struct markdown *page, const struct assessment *assessment);
void assess_add_origin(struct markdown *page, const struct assessment *assessment); // and licences
// Three cells: estimate, interval, n; or the reason why there is none.
void assess_add_estimate(struct markdown *page, const struct estimate *estimate);

// The subcommand `assess`.
extern const struct option assess_flags[];
enum status assess_command(struct config *config, struct error *err) MUST_CHECK;

#endif
