// finding.h: one line of a doctor command: a thing that the program depends on, what was found of it, and how
// to mend it where it is wrong. Standard output; main thread.
#ifndef SKINSIGHT_COMMON_PROGRAM_FINDING_H
#define SKINSIGHT_COMMON_PROGRAM_FINDING_H

#include <stdbool.h>

#include "common/base/status.h"

// Prints found where status is OK, else the error's sentence and mend; whether it is OK.
bool finding_print(const char *what, enum status status, const struct error *err, const char *found,
                   const char *mend);

#endif
