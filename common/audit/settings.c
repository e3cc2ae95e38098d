// settings.c: a host's name may have characters that a chain's may not.
#include "common/audit/settings.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/identity/identity.h"

enum { STORE_TIMEOUT_MS = 5000, SIGN_INTERVAL_MS = 3600 * 1000, USER_NAME_MOST = 32 };

static const char monitor_suffix[] = "-monitor";

static void host_name(char name[AUDIT_NAME_SIZE])
{
    if (gethostname(name, AUDIT_NAME_SIZE) != 0)
        strcpy(name, "host");
    name[AUDIT_NAME_SIZE - 1] = '\0';
    for (char *at = name; *at; at++) {
        const char one[2] = {*at, '\0'};
        if (!audit_chain_name_good(one) && (*at != '.' || at == name))
            *at = '-';
    }
}

void audit_settings_read(struct audit_options *options, char chain[AUDIT_NAME_SIZE],
                         const struct config *config)
{
    const char *name = config_text(config, "audit_chain");
    if (*name)
        snprintf(chain, AUDIT_NAME_SIZE, "%s", name);
    else
        host_name(chain);
    if (config_program(config) == PROGRAM_MONITOR) {
        chain[AUDIT_NAME_SIZE - sizeof monitor_suffix] = '\0';
        strcat(chain, monitor_suffix);
    }
    *options = (struct audit_options){
        .store = {.url = config_text(config, "store"), .timeout_ms = STORE_TIMEOUT_MS},
        .chain = chain,
        .sign_interval_ms = SIGN_INTERVAL_MS,
    };
}

static void name_user(char actor[AUDIT_NAME_SIZE])
{
    const struct passwd *user = getpwuid(getuid());
    if (user && identity_actor_good(user->pw_name) && strlen(user->pw_name) <= USER_NAME_MOST)
        snprintf(actor, AUDIT_NAME_SIZE, "command:%s", user->pw_name);
    else
        snprintf(actor, AUDIT_NAME_SIZE, "command:%lu", (unsigned long)getuid());
}

enum status audit_command_note(const struct config *config, struct audit_entry *entry, struct error *err)
{
    char chain[AUDIT_NAME_SIZE];
    struct audit_options options;
    struct audit *audit;
    name_user(entry->actor);
    audit_settings_read(&options, chain, config);
    enum status status = audit_open(&audit, &options, err);
    if (status == STATUS_OK)
        status = audit_append(audit, entry, err);
    audit_close(audit);
    return status;
}
