// finding.c: a line in green or red, for people.
#include "common/program/finding.h"

#include <stdio.h>
#include <unistd.h>

bool finding_print(const char *what, enum status status, const struct error *err, const char *found,
                   const char *mend)
{
    bool colour = isatty(STDOUT_FILENO);
    if (status == STATUS_OK)
        printf("%s %-14s %s\n", colour ? "\033[32mok   \033[0m" : "ok   ", what, found);
    else
        printf("%s %-14s %s\n      %-14s -> %s\n", colour ? "\033[31mwrong\033[0m" : "wrong", what,
               err->message, "", mend);
    return status == STATUS_OK;
}
