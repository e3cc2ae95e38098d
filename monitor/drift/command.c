// command.c: `reference create ID` walks the archive twice and simulates; `sign` needs the private key,
// `show` the public one.
#include "monitor/drift/command.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/moment.h"
#include "common/services/sql.h"
#include "monitor/archive/archive.h"
#include "monitor/drift/limits_find.h"
#include "monitor/drift/references.h"

const struct option reference_flags[] = {
    {.name = "from",
     .type = OPTION_TEXT,
     .initial = "",
     .max = 40,
     .value = "TIME",
     .help = "create: analyses from the beginning of that day of UTC on"},
    {.name = "to",
     .type = OPTION_TEXT,
     .initial = "",
     .max = 40,
     .value = "TIME",
     .help = "create: and before the beginning of that day"},
    {.name = "model",
     .type = OPTION_TEXT,
     .initial = "",
     .max = DRIFT_NAME_SIZE - 1,
     .value = "VERSION",
     .help = "create: answers of this model only"},
    {.name = "seed",
     .type = OPTION_INTEGER,
     .initial = "1",
     .max = INT64_C(9007199254740991),
     .value = "N",
     .help = "create: of the simulated years that give the limits"},
    {.name = "key",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "FILE",
     .help = "sign: PEM of a private Ed25519 key"},
    {.name = NULL},
};

enum reference_action { REFERENCE_CREATE, REFERENCE_SIGN, REFERENCE_SHOW, REFERENCE_ACTIONS };
static const char *const actions[REFERENCE_ACTIONS] = {"create", "sign", "show"};

// REFERENCE_ACTIONS: it is none.
static int action_of(const struct config *config)
{
    int action = 0;
    while (action < REFERENCE_ACTIONS && strcmp(config_argument(config, 0), actions[action]) != 0)
        action++;
    return action;
}

enum status reference_command_check(const struct config *config, struct error *err)
{
    int action = action_of(config);
    if (action == REFERENCE_ACTIONS)
        return error_set(err, STATUS_REJECTED, "reference needs create, sign or show");
    if (!drift_reference_id_good(config_argument(config, 1)))
        return error_set(err, STATUS_REJECTED, "a reference's id is 1 to 64 of A-Za-z0-9_.-");
    if (action == REFERENCE_SIGN && !*config_text(config, "key"))
        return error_set(err, STATUS_REJECTED, "reference sign needs --key FILE");
    if (action != REFERENCE_CREATE)
        return STATUS_OK;
    if (!*config_text(config, "from") || !*config_text(config, "to"))
        return error_set(err, STATUS_REJECTED, "reference create needs --from TIME and --to TIME");
    return sql_url_check(config_text(config, "store"), err);
}

// ---- create ----

struct pass {
    struct drift_builder *builder;
    enum status (*add)(struct drift_builder *builder, const struct analysis *analysis, struct error *err);
};

static enum status take(void *context, const struct analysis *analysis, struct error *err)
{
    const struct pass *pass = context;
    return pass->add(pass->builder, analysis, err);
}

static enum status read_twice(struct archive *archive, const struct archive_filter *filter,
                              struct drift_builder *builder, struct error *err)
{
    struct pass pass = {builder, drift_builder_learn};
    enum status status = archive_walk(archive, filter, take, &pass, err);
    if (status != STATUS_OK)
        return status;
    drift_builder_bins(builder);
    pass.add = drift_builder_count;
    return archive_walk(archive, filter, take, &pass, err);
}

static enum status read_days(const struct config *config, struct archive_filter *filter, struct error *err)
{
    enum status status = moment_parse(config_text(config, "from"), &filter->from, err);
    if (status == STATUS_OK)
        status = moment_parse(config_text(config, "to"), &filter->to, err);
    filter->from -= filter->from % DRIFT_DAY_MS;
    filter->to -= filter->to % DRIFT_DAY_MS;
    if (status == STATUS_OK && filter->from >= filter->to)
        status = error_set(err, STATUS_REJECTED, "a reference ends at least a day after it begins");
    if (status == STATUS_OK && filter->to - filter->from > DRIFT_REFERENCE_DAYS_MOST * (int64_t)DRIFT_DAY_MS)
        status =
            error_set(err, STATUS_REJECTED, "a reference covers %d days at most", DRIFT_REFERENCE_DAYS_MOST);
    return status;
}

static enum status build(const struct config *config, const struct archive_filter *filter,
                         struct drift_reference *reference, struct error *err)
{
    struct drift_builder *builder = drift_builder_new(filter->from, filter->to);
    struct drift_rows rows;
    struct archive *archive = NULL;
    enum status status = archive_open(&archive, config_text(config, "store"), err);
    if (status == STATUS_OK)
        status = read_twice(archive, filter, builder, err);
    if (status == STATUS_OK)
        status = drift_builder_finish(builder, reference, &rows, err);
    archive_close(archive);
    if (status == STATUS_OK)
        drift_limits_find(reference, &rows, (double)config_integer(config, "alarm_budget_per_year"),
                          (uint64_t)config_integer(config, "seed"));
    drift_builder_free(builder);
    return status;
}

static enum status create(const struct config *config, struct drift_reference *reference, struct error *err)
{
    const char *model = config_text(config, "model");
    struct archive_filter filter = {.model_version = *model ? model : NULL};
    enum status status = read_days(config, &filter, err);
    if (status == STATUS_OK)
        status = build(config, &filter, reference, err);
    strcpy(reference->id, config_argument(config, 1));
    strcpy(reference->model_version, model);
    if (status == STATUS_OK)
        status = drift_references_add(config_text(config, "references"), reference, err);
    return status;
}

// ---- sign and show ----

static enum status sign(const struct config *config, struct error *err)
{
    struct signer *signer;
    enum status status = signer_open(&signer, config_text(config, "key"), err);
    if (status == STATUS_OK)
        status =
            drift_references_sign(config_text(config, "references"), config_argument(config, 1), signer, err);
    signer_close(signer);
    return status;
}

static void show_limit(const char *name, const struct drift_limit *limit, const char *shift)
{
    if (isnan(limit->arl0_days))
        printf("%-22s the reference has too little for it\n", name);
    else
        printf("%-22s %9.4g %12.1f %10.1f  %s\n", name, limit->limit, limit->arl0_days, limit->delay_days,
               shift);
}

static void show(const struct drift_reference *reference)
{
    char from[MOMENT_TEXT_SIZE], to[MOMENT_TEXT_SIZE], sha256[DIGEST_TEXT_SIZE];
    moment_format(reference->from, from);
    moment_format(reference->to, to);
    digest_text(&reference->sha256, sha256);
    printf("%s  %s\n%s to %s, %lld analyses, %zu sites and devices, model %s\n", reference->id, sha256, from,
           to, (long long)reference->strata[0].tally.output.n, reference->stratum_count - 1,
           reference->model_version[0] ? reference->model_version : "any");
    printf("limits for %.10g false alarms a year, seed %llu\n", reference->limits.budget,
           (unsigned long long)reference->limits.seed);
    printf("%-22s %9s %12s %10s  %s\n", "chart", "limit", "days between", "days until", "is seen");
    for (int i = 0; i < DRIFT_LIMITED_CHARTS; i++)
        show_limit(drift_charts[i], &reference->limits.charts[i], drift_shifts[i]);
    for (int i = 0; i < DRIFT_PLAIN_RULES; i++)
        show_limit(drift_plain_rules[i], &reference->limits.plain[i], "(a plain rule)");
}

// The signature's state is shown too; a reference that was changed is the command's failure.
static enum status read_and_show(const struct config *config, struct drift_reference *reference,
                                 struct error *err)
{
    const char *folder = config_text(config, "references"), *key = config_text(config, "reference_key");
    struct verifier *verifier = NULL;
    enum status status = drift_references_read(folder, config_argument(config, 1), reference, err);
    if (status == STATUS_OK)
        show(reference);
    if (status == STATUS_OK && *key)
        status = verifier_open(&verifier, key, err);
    if (status == STATUS_OK)
        status = drift_references_check(folder, reference, verifier, err);
    if (status == STATUS_OK)
        puts(verifier ? "signed with this key"
                      : "signed; with which key was not checked: reference_key is not set");
    verifier_close(verifier);
    return status;
}

enum status reference_command(struct config *config, struct error *err)
{
    struct drift_reference *reference = drift_reference_new();
    enum status status = STATUS_OK;
    switch (action_of(config)) {
    case REFERENCE_CREATE:
        status = create(config, reference, err);
        break;
    case REFERENCE_SIGN:
        status = sign(config, err);
        break;
    default:
        status = read_and_show(config, reference, err);
        break;
    }
    drift_reference_free(reference);
    return status;
}
