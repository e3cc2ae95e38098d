// processors.c: the affinity mask, and the files cpu.max from the process's control group up to the root.
#include "common/processors.h"

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

// 0: no limit.
static int granted_by(const char *path)
{
    char line[64];
    long long quota, period;
    if (!read_line(path, line, sizeof line) || sscanf(line, "%lld %lld", &quota, &period) != 2 || quota < 1 ||
        period < 1)
        return 0;
    long long count = quota / period + (quota % period > 0);
    return count < INT_MAX ? (int)count : INT_MAX;
}

int processors_granted(const char *root, const char *group)
{
    int least = 0;
    for (int length = (int)strlen(group); length >= 0; length--) {
        if (length > 0 && group[length] != '/' && group[length] != '\0')
            continue;
        char path[2 * PATH_MAX];
        snprintf(path, sizeof path, "%s%.*s/cpu.max", root, length, group);
        int granted = granted_by(path);
        if (granted > 0 && (least == 0 || granted < least))
            least = granted;
    }
    return least;
}

int processors_usable(void)
{
    static const char version2[] = "0::"; // the first line, where there is no other version
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    char line[PATH_MAX];
    if (!read_line("/proc/self/cgroup", line, sizeof line) || strncmp(line, version2, strlen(version2)) != 0)
        return count;
    int granted = processors_granted("/sys/fs/cgroup", line + strlen(version2));
    return granted > 0 && granted < count ? granted : count;
}
