// assess_ethics.c: ethics.md: bias and fairness, clinical safety, regulation, responsibility.
#include <math.h>
#include <string.h>

#include "trainer/assess.h"

enum { PAIRS_SHOWN = 10 };

// ---- bias and fairness ----

// What a population is divided by, as evaluate divides it, and why it matters.
static const struct attribute {
    const char *by, *name, *why;
} attributes[] = {
    {"skin_type", "Skin type as entered",
     "Melanoma is found later in dark skin, and most images of public collections are of light skin."},
    {"ita", "Measured tone of the skin (individual typology angle, degrees)",
     "It is measured on the image and no Fitzpatrick type follows from it."},
    {"age", "Age", "Melanoma is rare in the young and common in the old: a model may take age for a sign."},
    {"sex", "Sex", "Lesions lie at other places of the body and come at other ages."},
    {"lesion_location", "Place on the body", "Skin of the face, palms, soles and nails looks different."},
};

static bool is_known(const struct subgroup *group)
{
    return strcmp(group->value, "unknown") != 0;
}

typedef const struct estimate *figure_of(const struct subgroup *group);

static const struct estimate *melanoma_sensitivity(const struct subgroup *group)
{
    return &group->figures.melanoma_sensitivity;
}

static const struct estimate *balanced_accuracy(const struct subgroup *group)
{
    return &group->figures.balanced_accuracy;
}

// The known groups with the greatest lower and the least upper end of an interval, of those with a figure.
struct extremes {
    const struct subgroup *best, *worst;
    size_t groups;  // with a figure
    size_t without; // known groups that have none
    double highest; // upper end
    double lowest;  // lower end
};

static struct extremes find_extremes(const struct evaluation *evaluation, const char *by, figure_of *figure)
{
    struct extremes found = {.highest = 0, .lowest = 1};
    for (size_t i = 0; i < evaluation->subgroup_count; i++) {
        const struct subgroup *group = &evaluation->subgroups[i];
        const struct estimate *of = figure(group);
        if (strcmp(group->by, by) != 0 || !is_known(group))
            continue;
        if (of->reason) {
            found.without++;
            continue;
        }
        found.groups++;
        found.highest = fmax(found.highest, of->high);
        found.lowest = fmin(found.lowest, of->low);
        if (!found.best || of->low > figure(found.best)->low)
            found.best = group;
        if (!found.worst || of->high < figure(found.worst)->high)
            found.worst = group;
    }
    return found;
}

static void add_comparison(struct markdown *page, const struct evaluation *evaluation, const char *by,
                           const char *name, figure_of *figure)
{
    struct extremes found = find_extremes(evaluation, by, figure);
    if (found.groups < 2) {
        markdown_add(page, "- Too few groups have enough images to compare their %s\n", name);
    } else if (figure(found.worst)->high < figure(found.best)->low) {
        markdown_add(page, "- **The %s of groups differs: the interval of \"", name);
        markdown_quote(page, found.worst->value);
        markdown_add(page, "\" lies below that of \"");
        markdown_quote(page, found.best->value);
        markdown_add(page, "\"**\n");
    } else {
        markdown_add(page,
                     "- A difference of the groups' %s is neither shown nor ruled out: intervals overlap\n",
                     name);
    }
}

// The gate of a new model: sensitivity by skin type within five percentage points. A type without a figure
// may lie anywhere.
static void add_fairness_gate(struct markdown *page, const struct evaluation *evaluation)
{
    static const double most = 0.05;
    struct extremes found = find_extremes(evaluation, "skin_type", melanoma_sensitivity);
    enum target_verdict verdict = TARGET_NOT_ENOUGH;
    if (found.groups >= 2 && found.without == 0 && found.highest - found.lowest <= most)
        verdict = TARGET_MET;
    else if (found.groups >= 2 &&
             found.best->figures.melanoma_sensitivity.low - found.worst->figures.melanoma_sensitivity.high >
                 most)
        verdict = TARGET_MISSED;
    markdown_add(
        page, "Fairness gate, melanoma sensitivity of all skin types within %.2f of each other: **%s**.\n\n",
        most, target_verdict_names[verdict]);
}

static void add_attribute(struct markdown *page, const struct evaluation *evaluation,
                          const struct attribute *attribute)
{
    bool known = false;
    markdown_add(page, "### %s\n\n%s\n\n", attribute->name, attribute->why);
    for (size_t i = 0; i < evaluation->subgroup_count; i++)
        known = known || strcmp(evaluation->subgroups[i].by, attribute->by) == 0;
    if (!known) {
        markdown_add(page, "**Not measured**: the data do not say it of any image.\n\n");
        return;
    }
    markdown_add(
        page, "| group | images | balanced accuracy | interval | n | melanoma sensitivity | interval | n |\n"
              "|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < evaluation->subgroup_count; i++) {
        const struct subgroup *group = &evaluation->subgroups[i];
        if (strcmp(group->by, attribute->by) != 0)
            continue;
        markdown_add(page, "| ");
        markdown_quote(page, group->value);
        markdown_add(page, " | %zu |", group->figures.n);
        assess_add_estimate(page, &group->figures.balanced_accuracy);
        assess_add_estimate(page, &group->figures.melanoma_sensitivity);
        markdown_add(page, "\n");
    }
    markdown_add(page, "\n");
    add_comparison(page, evaluation, attribute->by, "balanced accuracy", balanced_accuracy);
    add_comparison(page, evaluation, attribute->by, "melanoma sensitivity", melanoma_sensitivity);
    markdown_add(page, "\n");
}

static void add_fairness(struct markdown *page, const struct evaluation *evaluation)
{
    markdown_add(page, "## Bias and fairness\n\n"
                       "A group with few images is not one that the model serves well: it is one of which "
                       "nothing is known. Of many groups some differ by chance. A group's balanced accuracy "
                       "is the mean of the classes that it has images of: one without the difficult "
                       "classes looks better.\n\n");
    add_fairness_gate(page, evaluation);
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        add_attribute(page, evaluation, &attributes[i]);
    markdown_add(page, "### Not measured of any image\n\n"
                       "- The camera or dermatoscope: groups by device are not evaluated\n"
                       "- Ethnicity, income, insurance and the way to a doctor\n"
                       "- Whether the labels themselves are worse for some groups\n\n");
}

// ---- clinical safety ----

static void add_errors(struct markdown *page, const struct figures *figures)
{
    size_t shown = figures->pair_count < PAIRS_SHOWN ? figures->pair_count : PAIRS_SHOWN;
    markdown_add(
        page,
        "Wrong answers: %zu with a confidence above 0.8, %zu from 0.5 on, %zu below. A confident wrong "
        "answer is the most dangerous one, because nothing in it asks for a second look.\n\n",
        figures->high, figures->medium, figures->low);
    if (shown == 0)
        return;
    markdown_add(page, "| the lesion is | the model says | images |\n|---|---|---|\n");
    for (size_t i = 0; i < shown; i++)
        markdown_add(page, "| %s | %s | %zu |\n", lesion_names[figures->pairs[i].truth],
                     lesion_names[figures->pairs[i].said], figures->pairs[i].n);
    markdown_add(page, "%s\n", figures->pair_count > shown ? "\nRarer ones are left out here.\n" : "");
}

static void add_safety(struct markdown *page, const struct assessment *assessment)
{
    markdown_add(
        page, "## Clinical safety\n\n"
              "A melanoma called benign may be treated months late. A benign lesion called melanoma costs a "
              "biopsy and fear. A threshold trades one for the other, so a person sets it.\n\n");
    assess_add_operating_point(page, assessment);
    assess_add_balance(page, assessment);
    assess_add_classes(page, assessment);
    add_errors(page, &assessment->evaluation->figures);
    markdown_add(
        page,
        "What the service does about it:\n\n"
        "- Where the policy sets limits, an answer that is unsure, out of distribution or of a poor image "
        "abstains: it is at least a routine referral, never `monitor`. The built-in policy sets none for "
        "poor images\n"
        "- The policy names the answers that a dermatologist is to look at, and within how many hours\n"
        "- Each answer holds all eight probabilities, a map of what the model looked at, and all that "
        "decided "
        "it. The map is no proof of the reason\n"
        "- A device that computes wrong is found by known images, and answers no more\n\n"
        "**Not measured**:\n\n%s"
        "- How physicians decide with these answers, and whether patients fare better\n"
        "- Patients of primary care, where melanoma is much rarer than in collections of images: of those "
        "called melanoma, fewer are\n"
        "- Diagnoses outside of the eight classes, which the model can only call by one of the eight names\n"
        "- Photographs by other devices, light and hands than those of the data\n"
        "- How the figures change with time: `skinsight-monitor` reports that of a clinic in service\n\n",
        *assessment->manifest->reference_file ? "- How many images of other things are told from lesions: "
                                                "the directory holds what the model has "
                                                "learnt, and the policy's limit decides\n"
                                              : "- Whether an image shows a lesion at all: the directory "
                                                "does not hold what the model has learnt\n");
}

// ---- regulation and responsibility ----

static void add_regulation(struct markdown *page)
{
    markdown_add(
        page,
        "## Regulation\n\n"
        "This is no legal advice. The model directory holds no clearance, certificate or registration.\n\n"
        "| what is expected | where it is said | what is there | what lacks |\n|---|---|---|---|\n"
        "| Software that informs diagnosis is a medical device | FD&C Act section 520(o); Regulation (EU) "
        "2017/745, rule 11 | this document and the evaluation | a quality system, a clinical "
        "evaluation, a clearance or a certificate |\n"
        "| High-risk AI is documented and overseen by people | Regulation (EU) 2024/1689 | model card, "
        "figures by group, answers that abstain | a risk management system, a declaration of "
        "conformity |\n"
        "| Risk is managed over the whole life | ISO 14971, IEC 62304 | tests of what dies and fails "
        "(docs/RELIABILITY.md) | a risk file with owners |\n"
        "| Changes to the model are planned | FDA guidance on predetermined change control plans | a "
        "comparison with the model in service decides | a plan that an authority has accepted |\n"
        "| Access to patient data is recorded | 45 CFR 164.312 | the gateway's audit: who asked for and who "
        "read which answer; no patient data in logs, metrics and addresses | an assessment of the site |\n"
        "| Signatures and records are trustworthy | 21 CFR part 11 | digests of weights, data and policy; "
        "an audit that shows tampering | signatures of named people |\n\n");
}

static void add_responsibility(struct markdown *page, const struct assessment *assessment)
{
    markdown_add(
        page,
        "## Responsibility\n\n"
        "- The treating physician decides; the answer is one opinion\n"
        "- The operator answers for where the model is used, for the policy and its thresholds, and for the "
        "review of answers that ask for it\n"
        "- Whoever trains answers for data and labels, for this evaluation, and for withdrawing a model that "
        "does harm: the one before is kept, and its directory put back in service\n"
        "- A patient has a right to know that a program took part, and to a decision by a person\n\n"
        "| role | name | date |\n|---|---|---|\n"
        "| clinical safety | not named | |\n| regulatory | not named | |\n| data protection | not named | |\n"
        "| release of the policy | not named | |\n\n"
        "## Origin and licences\n\n");
    assess_add_origin(page, assessment);
}

enum status ethics_write(const struct assessment *assessment, struct buffer *out, struct error *err)
{
    struct markdown document, *page = &document;
    markdown_begin(page, out, err);
    markdown_add(page, "# Ethics and regulatory assessment of `%s`\n\n", assessment->manifest->model_version);
    assess_add_warning(page, assessment);
    markdown_add(
        page, "`skinsight-trainer assess` made this document from `manifest.json` and an evaluation. Every "
              "measured number in it stands in one of the two, rounded. What was not measured is said to be "
              "so. It takes no decision: people who are named below do.\n\n"
              "## What was measured, and on whom\n\n");
    assess_add_data(page, assessment);
    assess_add_figures(page, assessment);
    add_fairness(page, assessment->evaluation);
    add_safety(page, assessment);
    add_regulation(page);
    add_responsibility(page, assessment);
    return markdown_end(page);
}
