// test_cuda_health.c: kernels/cuda/health.c against an NVML that fake_nvml.cpp plays: its figures, the faults
// it reports, and devices that give less.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "kernels/cuda/health.h"
#include "tests/support/cuda/fake_nvml.h"

enum { DOUBLE_ECC = 2, XID = 8 };

static const char bus[] = "0000:00:1e.0";

static int reset(void **state)
{
    (void)state;
    fake_nvml = (struct fake_nvml){.events = DOUBLE_ECC | XID, .waited = FAKE_NVML_TIMEOUT};
    return 0;
}

static int judge(void **state)
{
    (void)state;
    assert_int_equal(fake_nvml.opened, 0);
    assert_int_equal(fake_nvml.event_sets, 0);
    return 0;
}

static struct health *open_health(void)
{
    struct health *health = health_open(bus);
    assert_non_null(health);
    return health;
}

static void test_figures(void **state)
{
    (void)state;
    struct device_figures figures;
    struct health *health = open_health();
    health_read(health, &figures);
    assert_int_equal(figures.utilisation_percent, 97);
    assert_true(figures.memory_used == 6ll << 30 && figures.memory_total == 16ll << 30);
    assert_int_equal(figures.temperature_c, 71);
    assert_int_equal(figures.power_mw, 69500);
    assert_int_equal(figures.power_limit_mw, 70000);
    assert_int_equal(figures.clock_mhz, 960);
    assert_int_equal(figures.clock_max_mhz, 1590);
    assert_int_equal(figures.ecc_uncorrected, 2);
    fake_nvml.no_figures = 1;
    health_read(health, &figures);
    assert_true(figures.utilisation_percent == -1 && figures.memory_used == -1 && figures.memory_total == -1);
    assert_true(figures.temperature_c == -1 && figures.power_mw == -1 && figures.power_limit_mw == -1);
    assert_true(figures.clock_mhz == -1 && figures.clock_max_mhz == -1 && figures.ecc_uncorrected == -1);
    health_close(health);
}

static void expect_fault(int waited, unsigned long long type, const char *part)
{
    char reason[128] = "";
    struct health *health = open_health();
    assert_false(health_fault(health, reason, sizeof reason));
    fake_nvml.waited = waited;
    fake_nvml.type = type;
    fake_nvml.data = 79;
    assert_true(health_fault(health, reason, sizeof reason));
    if (!strstr(reason, part))
        fail_msg("'%s' does not say '%s'", reason, part);
    health_close(health);
    reset(NULL);
}

static void test_faults(void **state)
{
    (void)state;
    expect_fault(0, XID, "Xid 79");
    expect_fault(0, DOUBLE_ECC, "memory error");
    expect_fault(FAKE_NVML_LOST, 0, "bus");
}

// What some program did wrong is counted, and hides nothing that comes behind it.
static void test_program_faults(void **state)
{
    (void)state;
    static const unsigned long long xids[] = {13, 31, 43, 45, 68, 109};
    char reason[128] = "";
    struct device_figures figures;
    struct health *health = open_health();
    for (int i = 0; i < 6; i++) {
        fake_nvml.waited = 0;
        fake_nvml.type = XID;
        fake_nvml.data = xids[i];
        fake_nvml.repeats = 3; // the third is the end
        assert_false(health_fault(health, reason, sizeof reason));
        assert_int_equal(fake_nvml.waited, FAKE_NVML_TIMEOUT);
        health_read(health, &figures);
        assert_int_equal(figures.program_faults, 2 * (i + 1));
    }
    fake_nvml.waited = fake_nvml.repeats = 0; // without an end
    assert_false(health_fault(health, reason, sizeof reason));
    fake_nvml.type = DOUBLE_ECC;
    assert_true(health_fault(health, reason, sizeof reason));
    health_close(health);
}

// Without ECC a device refuses both events for the one's sake; it is asked for the other then. A device that
// has neither still gives figures.
static void test_devices(void **state)
{
    (void)state;
    char reason[128];
    fake_nvml.events = XID;
    struct health *health = open_health();
    assert_int_equal(fake_nvml.asked_for, XID);
    assert_int_equal(fake_nvml.event_sets, 1);
    health_close(health);
    fake_nvml.events = 0;
    fake_nvml.waited = 0;
    health = open_health();
    assert_int_equal(fake_nvml.event_sets, 0);
    assert_false(health_fault(health, reason, sizeof reason));
    health_close(health);
    fake_nvml.no_device = 1;
    assert_null(health_open(bus));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_figures, reset, judge),
        cmocka_unit_test_setup_teardown(test_faults, reset, judge),
        cmocka_unit_test_setup_teardown(test_program_faults, reset, judge),
        cmocka_unit_test_setup_teardown(test_devices, reset, judge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
