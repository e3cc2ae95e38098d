// identity.h: who is asking: an actor of a site in a role. gate.h finds out; this is what it finds. No state,
// any thread.
#ifndef SKINSIGHT_COMMON_IDENTITY_IDENTITY_H
#define SKINSIGHT_COMMON_IDENTITY_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

// Each may do what those before it may.
enum role {
    ROLE_READER,   // read answers, maps and reviews of its site
    ROLE_ANALYST,  // ask for analyses, give feedback
    ROLE_OPERATOR, // read the audit
};

enum {
    IDENTITY_NAME_SIZE = 65, // 1 to 64 characters
    IDENTITY_ACCOUNT_SIZE = 8 + 2 * IDENTITY_NAME_SIZE,
};

struct identity {
    char actor[IDENTITY_NAME_SIZE]; // a pseudonym: 1 to 64 of [A-Za-z0-9_.@|:+-]
    char site[IDENTITY_NAME_SIZE];  // 1 to 64 of [A-Za-z0-9_.-]: the tenant; nobody sees another one's
    enum role role;
    bool urgent; // may ask for the urgent topic
    // What limits of rate count by: "key:<id>" or "jwt:<site>:<actor>".
    char account[IDENTITY_ACCOUNT_SIZE];
};

const char *role_name(enum role role); // "reader"
bool role_parse(const char *name, enum role *role);
bool identity_actor_good(const char *actor);
bool identity_site_good(const char *site);

#endif
