// processors.c: the affinity mask, and the quotas from the process's control groups up to the root.
#include "common/base/processors.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

// False: there is no such file, or nothing in it. A line that is too long is cut.
static bool read_line(const char *path, char *line, int size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool found = fgets(line, size, file) != NULL;
    fclose(file);
    if (found)
        line[strcspn(line, "\n")] = '\0';
    return found;
}

static bool read_number(const char *folder, const char *name, long long *number)
{
    char path[2 * PATH_MAX], line[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return read_line(path, line, sizeof line) && sscanf(line, "%lld", number) == 1;
}

// One folder's quota in either version's files; 0: no limit.
static int granted_by(const char *folder)
{
    char path[2 * PATH_MAX], line[64];
    long long quota = 0, period = 0;
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    bool found = read_line(path, line, sizeof line) ? sscanf(line, "%lld %lld", &quota, &period) == 2
                                                    : read_number(folder, "cpu.cfs_quota_us", &quota) &&
                                                          read_number(folder, "cpu.cfs_period_us", &period);
    if (!found || quota < 1 || period < 1)
        return 0;
    long long count = quota / period + (quota % period > 0);
    return count < INT_MAX ? (int)count : INT_MAX;
}

static int smaller(int a, int b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

// By the group and those above it. A container of version 1 has its own group as the root, and the path is
// the host's: folders that are not there grant nothing.
static int granted_to_group(const char *root, const char *group)
{
    int least = 0;
    for (int length = (int)strlen(group); length >= 0; length--) {
        if (length > 0 && group[length] != '/' && group[length] != '\0')
            continue;
        char folder[PATH_MAX];
        snprintf(folder, sizeof folder, "%s%.*s", root, length, group);
        least = smaller(least, granted_by(folder));
    }
    return least;
}

static bool names_cpu(const char *controllers)
{
    while (*controllers) {
        size_t length = strcspn(controllers, ",");
        if (length == 3 && strncmp(controllers, "cpu", 3) == 0)
            return true;
        controllers += length + (controllers[length] == ',');
    }
    return false;
}

int processors_granted(const char *root, const char *groups)
{
    char line[PATH_MAX], cpu[PATH_MAX];
    int least = 0;
    FILE *file = fopen(groups, "re");
    snprintf(cpu, sizeof cpu, "%s/cpu", root);
    while (file && fgets(line, sizeof line, file)) { // number:controllers:group
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        if (!*++controllers) // version 2 has one group for all controllers
            least = smaller(least, granted_to_group(root, group));
        else if (names_cpu(controllers))
            least = smaller(least, granted_to_group(cpu, group));
    }
    if (file)
        fclose(file);
    return least;
}

int processors_usable(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    int granted = processors_granted("/sys/fs/cgroup", "/proc/self/cgroup");
    return granted > 0 && granted < count ? granted : count;
}
