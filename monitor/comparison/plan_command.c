// plan_command.c: flags to a design, its receipt as sentences or as JSON, and the plan into the archive.
#include "monitor/comparison/plan_command.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/audit/settings.h"
#include "common/base/clock.h"
#include "common/base/json_write.h"
#include "common/services/sql.h"
#include "monitor/comparison/registered_plan.h"
#include "monitor/comparison/split_arms.h"

static enum status check_share(const char *text, struct error *err)
{
    char *end;
    double value = strtod(text, &end);
    if (*text && *end == '\0' && value > 0 && value < 1)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "'%s' is no number between 0 and 1", text);
}

// clang-format off
#define SHARE(flag, start, text) \
    {.name = flag, .type = OPTION_TEXT, .initial = start, .value = "X", .check = check_share, .help = text}
#define MELANOMAS(flag, start, text) \
    {.name = flag, .type = OPTION_INTEGER, .initial = start, .min = 1, .max = POWER_MELANOMAS_MOST, .value = "N", .help = text}

#define NAME(flag, text) \
    {.name = flag, .type = OPTION_NAME, .initial = "", .max = JOB_TOKEN_SIZE - 1, .value = "NAME", .help = text}

const struct option plan_flags[] = {
    {.name = "kind", .type = OPTION_CHOICE, .initial = "paired", .choices = "paired|ab",
     .help = "both models on the same images, or each on patients of its own"},
    SHARE("p0", "0.90", "sensitivity to melanomas of the model in service"),
    SHARE("p1", "0.95", "sensitivity that the new one shall be shown to have"),
    SHARE("worse", "0.01", "pairs: share of the melanomas that the model in service alone finds"),
    MELANOMAS("n_a", "200", "melanomas with a diagnosis that the model in service will see; pairs: both"),
    MELANOMAS("n_b", "200", "the same of the new one; pairs: not asked"),
    SHARE("alpha", "0.05", "probability of finding a difference that is not there, one-sided"),
    SHARE("power", "0.8", "probability of finding one that is there, at least"),
    SHARE("margin", "0.05", "by which the new one may be worse, for the size that shows it is not"),
    {.name = "json", .type = OPTION_SWITCH, .initial = "false", .help = "the same as a line of JSON"},
    NAME("register", "stores the plan under that name in the archive, for reports of the comparison"),
    NAME("model", "registered: the model in service"),
    NAME("with", "registered: the new one"),
    SHARE("share", "", "registered, ab: share of the patients that the new one gets"),
    {.name = NULL},
};
// clang-format on

static double number(const struct config *config, const char *name)
{
    return strtod(config_text(config, name), NULL);
}

static struct power_design design_of(const struct config *config)
{
    return (struct power_design){
        .paired = config_choice(config, "kind") == 0,
        .p0 = number(config, "p0"),
        .p1 = number(config, "p1"),
        .worse = number(config, "worse"),
        .n_a = config_integer(config, "n_a"),
        .n_b = config_integer(config, "n_b"),
        .alpha = number(config, "alpha"),
        .wanted = number(config, "power"),
        .margin = number(config, "margin"),
    };
}

// What reports judge by is no choice of a plan's.
static enum status check_registration(const struct config *config, const struct power_design *design,
                                      struct error *err)
{
    const char *model = config_text(config, "model"), *with = config_text(config, "with");
    if (!*model || !*with || strcmp(model, with) == 0)
        return error_set(err, STATUS_REJECTED, "--register needs two models, --model and --with");
    if (!design->paired && !*config_text(config, "share"))
        return error_set(err, STATUS_REJECTED, "--register of ab needs --share, the new model's patients");
    if (design->alpha != SPLIT_ALPHA || design->margin != SPLIT_MARGIN)
        return error_set(err, STATUS_REJECTED,
                         "reports decide by alpha %.2g and margin %.2g: no others are "
                         "registered",
                         SPLIT_ALPHA, SPLIT_MARGIN);
    if (!*config_text(config, "store"))
        return error_set(err, STATUS_REJECTED, "--register needs --store, the archive of the reports");
    return sql_url_check(config_text(config, "store"), err);
}

enum status plan_check(const struct config *config, struct error *err)
{
    const struct power_design design = design_of(config);
    if (*config_text(config, "register")) {
        enum status status = check_registration(config, &design, err);
        if (status != STATUS_OK)
            return status;
    }
    if (design.p1 <= design.p0)
        return error_set(err, STATUS_REJECTED,
                         "--p1 must be above --p0: a design shows that a model is better");
    if (design.p1 - design.p0 < 0.001)
        return error_set(err, STATUS_REJECTED, "--p1 must be above --p0 by a thousandth at least");
    if (design.worse > 1 - design.p1) // what a alone finds, b misses
        return error_set(err, STATUS_REJECTED, "--worse is more than the new model misses at all");
    return STATUS_OK;
}

// registered: the plan's id; "": it was not.
static void print_json(const struct power_design *design, const struct power_receipt *receipt,
                       const char *registered)
{
    struct json_line line;
    struct json_writer *writer = json_line_begin(&line);
    json_add_text(writer, "kind", design->paired ? "paired" : "ab");
    json_add_double(writer, "p0", design->p0);
    json_add_double(writer, "p1", design->p1);
    if (design->paired)
        json_add_double(writer, "worse", design->worse);
    json_add_integer(writer, "n_a", design->n_a);
    if (!design->paired)
        json_add_integer(writer, "n_b", design->n_b);
    json_add_double(writer, "alpha", design->alpha);
    json_add_double(writer, "power", receipt->power);
    json_add_double(writer, "power_wanted", design->wanted);
    json_add_bool(writer, "decides", receipt->decides);
    const struct power_size *sizes[] = {&receipt->same_ratio, &receipt->equal_arms};
    static const char *const names[] = {"same_ratio", "equal_arms"};
    for (int i = design->paired ? 1 : 0; i < 2; i++) {
        json_add_object(writer, names[i]);
        json_add_integer(writer, "n_a", sizes[i]->a);
        json_add_integer(writer, "n_b", sizes[i]->b);
        json_add_bool(writer, "exact", sizes[i]->exact);
        json_end_object(writer);
    }
    if (receipt->pairs.exact)
        json_add_integer(writer, "pairs", receipt->pairs.a);
    else
        json_add_null(writer, "pairs");
    json_add_object(writer, "not_worse");
    json_add_double(writer, "margin", design->margin);
    json_add_integer(writer, "n_a", receipt->not_worse_a);
    json_add_integer(writer, "n_b", receipt->not_worse_b);
    json_end_object(writer);
    if (*registered)
        json_add_text(writer, "registered", registered);
    json_line_end(&line, stdout);
}

static void print_text(const struct power_design *design, const struct power_receipt *receipt)
{
    printf("sensitivity to melanomas %.3g to %.3g, one-sided alpha %.3g\n", design->p0, design->p1,
           design->alpha);
    if (design->paired)
        printf("%" PRId64 " melanomas seen by both: power %.2f (McNemar's exact test)\n", design->n_a,
               receipt->power);
    else
        printf("%" PRId64 " and %" PRId64 " melanomas: power %.2f (Fisher's exact test)\n", design->n_a,
               design->n_b, receipt->power);
    printf("power %.2f has:\n", design->wanted);
    if (receipt->pairs.exact)
        printf("  %" PRId64 " seen by both, where the model in service alone finds %.3g of them\n",
               receipt->pairs.a, design->worse);
    printf("  %" PRId64 " and %" PRId64 " in equal arms\n", receipt->equal_arms.a, receipt->equal_arms.b);
    if (!design->paired)
        printf("  %" PRId64 " and %" PRId64 " in arms like these\n", receipt->same_ratio.a,
               receipt->same_ratio.b);
    printf("that it is not worse by %.3g or more: %" PRId64 " and %" PRId64 "\n", design->margin,
           receipt->not_worse_a, receipt->not_worse_b);
}

static enum status register_plan(const struct config *config, const struct power_design *design,
                                 const struct power_receipt *receipt, char id[ARCHIVE_PLAN_ID_SIZE],
                                 struct error *err)
{
    const struct plan_subject subject = {.name = config_text(config, "register"),
                                         .model_a = config_text(config, "model"),
                                         .model_b = config_text(config, "with"),
                                         .share_b = number(config, "share"),
                                         .registered_at = clock_wall_ms()};
    struct archive *archive = NULL;
    struct archive_plan plan;
    registered_plan_make(&subject, design, receipt, &plan);
    struct audit_entry entry = {.action = AUDIT_PLAN_REGISTERED};
    strcpy(entry.outcome, plan.id);
    enum status status = audit_command_note(config, &entry, err);
    if (status == STATUS_OK)
        status = archive_open(&archive, config_text(config, "store"), err);
    if (status == STATUS_OK)
        status = archive_add_plan(archive, &plan, err);
    if (status == STATUS_OK)
        strcpy(id, plan.id);
    archive_close(archive);
    return status;
}

enum status plan_command(struct config *config, struct error *err)
{
    const struct power_design design = design_of(config);
    struct power_receipt receipt;
    char id[ARCHIVE_PLAN_ID_SIZE] = "";
    enum status status = STATUS_OK;
    power_receipt_make(&design, &receipt);
    if (receipt.decides && *config_text(config, "register"))
        status = register_plan(config, &design, &receipt, id, err);
    if (config_switch(config, "json"))
        print_json(&design, &receipt, id);
    else
        print_text(&design, &receipt);
    if (*id && !config_switch(config, "json"))
        printf("registered as %s, plan %s\n", config_text(config, "register"), id);
    if (receipt.decides)
        return status;
    return error_set(err, STATUS_REJECTED,
                     "this design cannot decide: its power is %.2f where %.2f is wanted", receipt.power,
                     design.wanted);
}
