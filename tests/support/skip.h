// skip.h: a test case that can't run here says why, in a line that tests/run.sh repeats behind ctest's
// summary: that one counts programs, and a program passes whatever it skips. Include after cmocka.h.
#ifndef SKINSIGHT_TESTS_SUPPORT_SKIP_H
#define SKINSIGHT_TESTS_SUPPORT_SKIP_H

#include <stdbool.h>
#include <stdio.h>

#define SKIP(...)                                                                                            \
    do {                                                                                                     \
        fprintf(stderr, "skipped: " __VA_ARGS__);                                                            \
        fputc('\n', stderr);                                                                                 \
        skip();                                                                                              \
    } while (0)

// what: instructions, or a precision that needs them.
static inline void skip_without(bool there, const char *what)
{
    if (!there)
        SKIP("this processor has no %s", what);
}

#endif
