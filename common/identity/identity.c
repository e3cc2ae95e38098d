// identity.c: names of roles, and which texts name an actor and a site.
#include "common/identity/identity.h"

#include <string.h>

static const char *const role_names[] = {"reader", "analyst", "operator"};

const char *role_name(enum role role)
{
    return role_names[role];
}

bool role_parse(const char *name, enum role *role)
{
    for (size_t i = 0; i < sizeof role_names / sizeof *role_names; i++)
        if (strcmp(role_names[i], name) == 0) {
            *role = (enum role)i;
            return true;
        }
    return false;
}

static bool good_name(const char *text, const char *marks)
{
    size_t size = strnlen(text, IDENTITY_NAME_SIZE);
    if (size < 1 || size >= IDENTITY_NAME_SIZE)
        return false;
    for (; *text; text++) {
        bool plain = (*text >= 'A' && *text <= 'Z') || (*text >= 'a' && *text <= 'z') ||
                     (*text >= '0' && *text <= '9');
        if (!plain && !strchr(marks, *text))
            return false;
    }
    return true;
}

bool identity_actor_good(const char *actor)
{
    return good_name(actor, "_.@|:+-");
}

bool identity_site_good(const char *site)
{
    return good_name(site, "_.-");
}
