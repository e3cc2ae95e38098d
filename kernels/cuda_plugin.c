// cuda_plugin.c: finds the CUDA backend's library, opens it and asks it for a backend. See cuda/plugin.h.
// Any thread; the library stays open until the process ends.
#include "kernels/cuda/plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The program's own folder, or "." where the system does not tell.
static void program_folder(char folder[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    folder[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    else
        strcpy(folder, ".");
}

// Writes the path of the library; false when there is none where it would be.
static bool find_library(char path[PATH_MAX])
{
    static const char *const places[] = {"", "/../lib/skinsight", "/../lib"};
    const char *named = getenv("SKINSIGHT_CUDA_PLUGIN");
    if (named && named[0]) {
        int length = snprintf(path, PATH_MAX, "%s", named);
        return length < PATH_MAX && access(path, R_OK) == 0;
    }
    char folder[PATH_MAX];
    program_folder(folder);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int length = snprintf(path, PATH_MAX, "%s%s/" CUDA_PLUGIN_FILE, folder, places[i]);
        if (length < PATH_MAX && access(path, R_OK) == 0)
            return true;
    }
    snprintf(path, PATH_MAX, CUDA_PLUGIN_FILE);
    return false;
}

bool cuda_driver_is_there(void)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (driver)
        dlclose(driver);
    return driver != NULL;
}

enum status cuda_plugin_open(struct backend **backend, struct error *err)
{
    char path[PATH_MAX];
    *backend = NULL;
    if (!find_library(path))
        return error_set(
            err, STATUS_REJECTED,
            "no CUDA backend: %s is not there; build it with the preset 'cuda', or use backend 'cpu'", path);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library)
        return error_set(err, STATUS_REJECTED, "the CUDA backend can't be loaded: %s", dlerror());
    union {
        void *symbol;
        cuda_plugin_entry *open;
    } entry = {.symbol = dlsym(library, CUDA_PLUGIN_ENTRY)};
    if (!entry.symbol)
        return error_set(err, STATUS_REJECTED, "%s is not a CUDA backend: it has no " CUDA_PLUGIN_ENTRY,
                         path);
    return entry.open(BACKEND_INTERFACE_VERSION, backend, err);
}
