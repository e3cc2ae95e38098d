// settings.c: a host's name may have characters that a chain's may not.
#include "producer/audit/settings.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { STORE_TIMEOUT_MS = 5000, SIGN_INTERVAL_MS = 3600 * 1000 };

static void host_name(char name[AUDIT_NAME_SIZE])
{
    if (gethostname(name, AUDIT_NAME_SIZE) != 0)
        strcpy(name, "gateway");
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
    *options = (struct audit_options){
        .store = {.url = config_text(config, "store"), .timeout_ms = STORE_TIMEOUT_MS},
        .chain = chain,
        .sign_interval_ms = SIGN_INTERVAL_MS,
    };
}
