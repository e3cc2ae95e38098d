// processors.h: how many processors this process may keep busy.
#ifndef SKINSIGHT_COMMON_PROCESSORS_H
#define SKINSIGHT_COMMON_PROCESSORS_H

// The least of what its affinity mask allows and what the quotas of its control group (version 2) and of
// those above it come to, rounded up; at least 1. More threads than that don't compute faster: a group that
// has used up its quota stands still until the next period.
int processors_usable(void);

// What the files cpu.max ("<quota> <period>" or "max <period>") of a group and of those above it grant, the
// least of them; 0: no limit. root: where the groups are mounted; group: "/" or "/a/b".
int processors_granted(const char *root, const char *group);

#endif
