// command.c: "audit export" reads the store; "audit verify" needs an export and a public key, and no service.
// What is wrong goes to standard output, a line each: it is what was asked for. One thread.
#include "common/audit/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/audit/export.h"
#include "common/audit/settings.h"
#include "common/audit/verify.h"
#include "common/base/file.h"
#include "common/base/text.h"

const struct option audit_flags[] = {
    {"public_key", OPTION_TEXT, .initial = "", .value = "FILE",
     .help = "verify: PEM of the public key that signed heads are checked with"},
    {"chain", OPTION_NAME, .initial = "", .max = AUDIT_NAME_SIZE - 1, .value = "NAME",
     .help = "export: this chain alone"},
    {"from", OPTION_INTEGER, .initial = "1", .min = 1, .max = INT64_C(9007199254740991), .value = "N",
     .help = "export: from the newest signed head before entry N on"},
    {"output", OPTION_TEXT, .initial = "-", .min = 1, .value = "FILE",
     .help = "export: where to; -: standard output"},
    {0},
};

enum { FLAWS_SHOWN = 100 };

// ---- export ----

// Reading the audit is an access too; it is written down before anything is read.
static enum status note_reading(const struct config *config, struct error *err)
{
    struct audit_entry entry = {.action = AUDIT_AUDIT_READ, .outcome = "ok"};
    return audit_command_note(config, &entry, err);
}

static enum status write_export(const struct config *config, struct error *err)
{
    char chain[AUDIT_NAME_SIZE];
    struct audit_options options;
    struct sql *sql = NULL;
    int64_t entries = 0;
    const char *path = config_text(config, "output");
    bool to_file = strcmp(path, "-") != 0;
    audit_settings_read(&options, chain, config);
    enum status status = note_reading(config, err);
    if (status != STATUS_OK)
        return status;
    FILE *out = to_file ? file_open_private(path) : stdout;
    if (!out)
        return error_set(err, STATUS_FATAL, "%s: %s", path, strerror(errno));
    status = sql_open(&sql, &options.store, err);
    if (status == STATUS_OK)
        status = audit_export(sql, config_text(config, "chain"), config_integer(config, "from"), out,
                              &entries, err);
    sql_close(sql);
    if (out != stdout && fclose(out) != 0 && status == STATUS_OK)
        status = error_set(err, STATUS_FATAL, "%s: %s", path, strerror(errno));
    if (status == STATUS_OK)
        fprintf(stderr, "%lld entries\n", (long long)entries);
    return status;
}

// ---- verify ----

static void show_flaw(void *context, int64_t line, const char *sentence)
{
    int64_t *shown = context;
    char clean[512];
    if (++*shown > FLAWS_SHOWN)
        return;
    text_clean(sentence, clean, sizeof clean);
    if (line > 0)
        printf("line %lld: ", (long long)line);
    puts(clean);
}

static void show_chain(void *context, const struct audit_chain_verdict *verdict)
{
    (void)context;
    printf("chain %s: entries %lld to %lld, %s", verdict->chain, (long long)verdict->first,
           (long long)verdict->last, verdict->flaws ? "not whole" : "whole");
    if (verdict->anchored)
        printf(", signed up to %lld", (long long)verdict->anchored);
    if (verdict->last > verdict->anchored)
        printf(", %lld unanchored behind that",
               (long long)(verdict->last - (verdict->anchored ? verdict->anchored : verdict->first - 1)));
    putchar('\n');
}

static enum status judge(const char *path, const struct audit_verify_options *options, struct error *err)
{
    int64_t flaws = 0;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
    if (!file)
        return error_set(err, STATUS_FATAL, "%s: %s", path, strerror(errno));
    enum status status = audit_verify(file, options, &flaws, err);
    if (file != stdin)
        fclose(file);
    if (status == STATUS_OK && flaws > 0)
        status = error_set(err, STATUS_REJECTED, "the audit is not whole: %lld flaws", (long long)flaws);
    return status;
}

static enum status verify(const struct config *config, struct error *err)
{
    struct verifier *verifier;
    struct audit_heads heads = {0};
    int64_t shown = 0;
    enum status status = verifier_open(&verifier, config_text(config, "public_key"), err);
    for (size_t i = 2; status == STATUS_OK && i < config_argument_count(config); i++)
        status = audit_heads_add(&heads, config_argument(config, i), verifier, err);
    if (status == STATUS_OK) {
        const struct audit_verify_options options = {
            .verifier = verifier, .heads = &heads, .flaw = show_flaw, .chain = show_chain, .context = &shown};
        status = judge(config_argument(config, 1), &options, err);
    }
    audit_heads_release(&heads);
    verifier_close(verifier);
    return status;
}

// ---- the command ----

static bool is_export(const struct config *config)
{
    return strcmp(config_argument(config, 0), "export") == 0;
}

enum status audit_check(const struct config *config, struct error *err)
{
    size_t arguments = config_argument_count(config);
    if (is_export(config)) {
        if (arguments != 1)
            return error_set(err, STATUS_REJECTED, "audit export takes no argument");
        if (!*config_text(config, "store"))
            return error_set(err, STATUS_REJECTED, "audit export needs the option store");
        return STATUS_OK;
    }
    if (strcmp(config_argument(config, 0), "verify") != 0)
        return error_set(err, STATUS_REJECTED, "audit has no '%s'; it has export and verify",
                         config_argument(config, 0));
    if (arguments < 2)
        return error_set(err, STATUS_REJECTED, "audit verify takes an export, and files of signed heads");
    if (!*config_text(config, "public_key"))
        return error_set(err, STATUS_REJECTED, "audit verify needs --public-key");
    return STATUS_OK;
}

enum status audit_run(struct config *config, struct error *err)
{
    return is_export(config) ? write_export(config, err) : verify(config, err);
}
