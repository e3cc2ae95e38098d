// privacy.c: RLIMIT_CORE, which a core_pattern that is a program does not ask, and PR_SET_DUMPABLE.
#include "common/program/privacy.h"

#include <sys/prctl.h>
#include <sys/resource.h>

void privacy_keep(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none); // lowering a limit can't fail
    prctl(PR_SET_DUMPABLE, 0);
#endif
}

void privacy_lift(void)
{
    prctl(PR_SET_DUMPABLE, 1);
}
