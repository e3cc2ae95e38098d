// processors.h: how many processors this process may keep busy.
#ifndef SKINSIGHT_COMMON_BASE_PROCESSORS_H
#define SKINSIGHT_COMMON_BASE_PROCESSORS_H

// The least of what its affinity mask allows and what the quotas of its control groups and of those
// above them come to, rounded up; at least 1. More threads than that don't compute faster: a group that
// has used up its quota stands still until the next period.
int processors_usable(void);

// What the quotas of the groups listed in a file such as /proc/self/cgroup, and of those above them, grant;
// the least of them; 0: no limit. root: where the groups are mounted. Version 2 has "<quota> <period>" or
// "max <period>" in cpu.max; version 1, mounted at root/cpu, has cpu.cfs_quota_us (-1: none) and
// cpu.cfs_period_us.
int processors_granted(const char *root, const char *groups);

#endif
