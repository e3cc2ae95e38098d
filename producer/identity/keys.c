// keys.c: the secret goes to standard output, alone on its line, and nowhere else; the sentences go to
// standard error. One thread.
#include "producer/identity/keys.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "common/audit/settings.h"
#include "common/base/json_write.h"
#include "common/identity/api_keys.h"

const struct option keys_flags[] = {
    {"actor", OPTION_TEXT, .initial = "", .max = IDENTITY_NAME_SIZE - 1, .value = "NAME",
     .help = "add: pseudonym of who will use the key, in the audit"},
    {"site", OPTION_NAME, .initial = "", .max = IDENTITY_NAME_SIZE - 1, .value = "SITE",
     .help = "add: the clinic whose requests the key may see"},
    {"role", OPTION_CHOICE, .initial = "reader", .choices = "reader|analyst|operator",
     .help = "add: what the key may do: read; also ask for analyses; also read the audit"},
    {"urgent", OPTION_SWITCH, .help = "add: the key may ask for urgent analyses"},
    {"json", OPTION_SWITCH, .help = "list: print one line of JSON for each key"},
    {0},
};

// Written down before it is done: whatever stands in the file of keys stands in the audit too. The key's own
// actor stands in that file, by its id.
static enum status note(const struct config *config, enum audit_action action, const struct api_key *key,
                        struct error *err)
{
    struct audit_entry entry = {.action = action};
    strcpy(entry.site, key->site);
    strcpy(entry.outcome, key->id);
    return audit_command_note(config, &entry, err);
}

// ---- add ----

static enum status add_key(const struct config *config, struct error *err)
{
    char text[API_KEY_SIZE];
    struct api_key key = {.role = (enum role)config_choice(config, "role"),
                          .urgent = config_switch(config, "urgent")};
    snprintf(key.actor, sizeof key.actor, "%s", config_text(config, "actor"));
    snprintf(key.site, sizeof key.site, "%s", config_text(config, "site"));
    enum status status = api_key_make(&key, text, err);
    if (status == STATUS_OK)
        status = note(config, AUDIT_KEY_ADDED, &key, err);
    if (status == STATUS_OK)
        status = api_keys_add(config_text(config, "api_keys"), &key, err);
    if (status != STATUS_OK) {
        OPENSSL_cleanse(text, sizeof text);
        return status;
    }
    fprintf(stderr, "key %s of %s at %s, %s%s. It is shown this once:\n", key.id, key.actor, key.site,
            role_name(key.role), key.urgent ? ", urgent" : "");
    fflush(stderr);
    puts(text);
    OPENSSL_cleanse(text, sizeof text);
    return STATUS_OK;
}

// ---- list ----

static void show_json(const struct api_key *key)
{
    struct json_line line;
    struct json_writer *writer = json_line_begin(&line);
    json_add_text(writer, "id", key->id);
    json_add_text(writer, "actor", key->actor);
    json_add_text(writer, "site", key->site);
    json_add_text(writer, "role", role_name(key->role));
    json_add_bool(writer, "urgent", key->urgent);
    json_add_integer(writer, "created_at", key->created_at);
    if (key->revoked_at)
        json_add_integer(writer, "revoked_at", key->revoked_at);
    else
        json_add_null(writer, "revoked_at");
    json_line_end(&line, stdout);
}

static enum status list_keys(const struct config *config, struct error *err)
{
    struct api_keys keys;
    enum status status = api_keys_read(config_text(config, "api_keys"), &keys, err);
    bool json = config_switch(config, "json");
    if (status == STATUS_OK && !json)
        printf("%-12s  %-24s  %-16s  %-8s  %-6s  state\n", "id", "actor", "site", "role", "urgent");
    for (size_t i = 0; status == STATUS_OK && i < keys.count; i++) {
        const struct api_key *key = &keys.keys[i];
        if (json)
            show_json(key);
        else
            printf("%-12s  %-24s  %-16s  %-8s  %-6s  %s\n", key->id, key->actor, key->site,
                   role_name(key->role), key->urgent ? "yes" : "no", key->revoked_at ? "revoked" : "good");
    }
    api_keys_release(&keys);
    return status;
}

// ---- revoke ----

static enum status revoke_key(const struct config *config, struct error *err)
{
    const char *path = config_text(config, "api_keys"), *id = config_argument(config, 1);
    struct api_key key;
    enum status status = api_keys_look(path, id, &key, err);
    if (status == STATUS_OK && key.revoked_at)
        status = error_set(err, STATUS_REJECTED, "key '%s' is revoked already", id);
    if (status == STATUS_OK)
        status = note(config, AUDIT_KEY_REVOKED, &key, err);
    if (status == STATUS_OK)
        status = api_keys_revoke(path, id, err);
    if (status == STATUS_OK)
        fprintf(stderr, "key %s of %s at %s is revoked\n", key.id, key.actor, key.site);
    return status;
}

// ---- the command ----

static const struct {
    const char *name;
    size_t arguments; // with its name
    enum status (*run)(const struct config *config, struct error *err);
} actions[] = {{"add", 1, add_key}, {"list", 1, list_keys}, {"revoke", 2, revoke_key}};

enum { ACTIONS = sizeof actions / sizeof *actions };

static size_t action_of(const struct config *config)
{
    size_t action = 0;
    while (action < ACTIONS && strcmp(actions[action].name, config_argument(config, 0)) != 0)
        action++;
    return action;
}

enum status keys_check(const struct config *config, struct error *err)
{
    size_t action = action_of(config);
    if (action == ACTIONS)
        return error_set(err, STATUS_REJECTED, "keys has no '%s'; it has add, list and revoke",
                         config_argument(config, 0));
    if (config_argument_count(config) != actions[action].arguments)
        return error_set(err, STATUS_REJECTED, "keys %s takes %s", actions[action].name,
                         actions[action].arguments == 2 ? "the id of a key" : "no argument");
    if (action != 1 && !*config_text(config, "store"))
        return error_set(err, STATUS_REJECTED, "keys %s needs the option store: it is written into the audit",
                         actions[action].name);
    if (action == 0 && !identity_actor_good(config_text(config, "actor")))
        return error_set(err, STATUS_REJECTED, "--actor must be 1 to 64 of A-Za-z0-9_.@|:+-");
    if (action == 0 && !identity_site_good(config_text(config, "site")))
        return error_set(err, STATUS_REJECTED, "--site must be 1 to 64 of A-Za-z0-9_.-");
    return STATUS_OK;
}

enum status keys_run(struct config *config, struct error *err)
{
    return actions[action_of(config)].run(config, err);
}
