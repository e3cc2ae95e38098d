// test_plugin.c: how the CUDA backend's library is found and opened, and what a machine without it, or
// without a GPU, is told.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/backend.h"
#include "kernels/cuda/plugin.h"
#include "tests/support/skip.h"

static void expect_refusal(const char *plugin, const char *part)
{
    struct backend *backend;
    struct error err = {""};
    setenv("SKINSIGHT_CUDA_PLUGIN", plugin, 1);
    assert_int_equal(backend_open(&backend, "cuda", 0, &err), STATUS_REJECTED);
    assert_null(backend);
    if (!strstr(err.message, part))
        fail_msg("'%s' does not say '%s'", err.message, part);
    assert_int_equal(backend_open(&backend, "auto", 1, &err), STATUS_OK);
    assert_string_equal(backend->name, "cpu");
    backend_close(backend);
}

static void test_no_library(void **state)
{
    (void)state;
    expect_refusal("/nowhere/libskinsight_cuda.so", "/nowhere/libskinsight_cuda.so is not there");
    expect_refusal(TEST_SOURCE_DIR "/LICENSE", "can't be loaded");
    expect_refusal("/usr/lib/x86_64-linux-gnu/libm.so.6", "skinsight_cuda_backend_open");
}

// The library as it was built, if it was: with a GPU it opens, without one it says that there is none.
static void test_library(void **state)
{
    (void)state;
    struct backend *backend;
    struct error err = {""};
    unsetenv("SKINSIGHT_CUDA_PLUGIN");
    enum status status = backend_open(&backend, "cuda", 0, &err);
    if (status == STATUS_REJECTED && strstr(err.message, "is not there"))
        SKIP("no %s beside this program: built without the CUDA backend", CUDA_PLUGIN_FILE);
    printf("%s\n", status == STATUS_OK ? backend->device : err.message);
    if (status == STATUS_OK)
        backend_close(backend);
    else
        assert_true(strstr(err.message, "driver") || strstr(err.message, "GPU") ||
                    strstr(err.message, "libcublasLt"));
}

int main(void)
{
    if (access("/usr/lib/x86_64-linux-gnu/libm.so.6", R_OK) != 0) {
        fprintf(stderr, "skipped: libm.so.6 is not where Debian has it\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_library),
        cmocka_unit_test(test_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
