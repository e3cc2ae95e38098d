// test_cuda_device.c: kernels/cuda/device.c against a CUDA runtime that fake_cudart.c plays, so only in
// builds with the toolkit: what a machine without a usable GPU is told, how the two streams wait for each
// other, which errors lose the device, and that nothing waits without an end.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "kernels/cuda/device.h"
#include "tests/support/cuda/fake_cudart.h"

static struct device device;
static struct error err;

int64_t __wrap_clock_monotonic_us(void); // the linker puts it in the place of common/base/clock.c's

int64_t __wrap_clock_monotonic_us(void)
{
    static int64_t now_us;
    return now_us += 1000000;
}

static int reset(void **state)
{
    (void)state;
    fake_cudart = (struct fake_cudart){.gpus = 1, .driver = 13000, .major = 7, .minor = 5};
    return 0;
}

static void open_device(void)
{
    assert_int_equal(device_open(&device, &err), STATUS_OK);
}

static void close_device(void)
{
    device_close(&device);
    assert_int_equal(fake_cudart.alive, 0);
}

static void expect_refusal(const char *part)
{
    assert_int_equal(device_open(&device, &err), STATUS_REJECTED);
    if (!strstr(err.message, part))
        fail_msg("'%s' does not say '%s'", err.message, part);
    assert_int_equal(fake_cudart.alive, 0);
}

static void test_opening(void **state)
{
    open_device();
    assert_string_equal(device.name, "Tesla T4");
    assert_int_equal(device.compute_capability, 75);
    close_device();
    fake_cudart.minor = 0;
    expect_refusal("compute capability 7.0");
    fake_cudart.gpus = 0;
    expect_refusal("no GPU");
    fake_cudart.counting = cudaErrorNoDevice;
    expect_refusal("no GPU");
    fake_cudart.counting = cudaErrorInsufficientDriver;
    fake_cudart.driver = 12040;
    expect_refusal("CUDA 12.4");
    fake_cudart.driver = 0;
    expect_refusal("no NVIDIA driver");
    for (int works = 0; works < 8; works++) { // whichever call fails, the streams' and events' among them
        reset(state);
        fake_cudart.working = cudaErrorDevicesUnavailable;
        fake_cudart.works = works;
        assert_int_equal(device_open(&device, &err), STATUS_FATAL);
        assert_int_equal(fake_cudart.alive, 0);
    }
}

// The views of a slice travel on the second stream (events 3 and 5 are slot 0's and 1's); what is put on the
// first one after that waits for them. A slice's results are there when the mark behind them is.
static void test_streams(void **state)
{
    (void)state;
    open_device();
    char *memory = (char *)64;
    assert_int_equal(device_send(&device, 1, memory, memory, 8, &err), STATUS_OK);
    assert_int_equal(device_copy(&device, memory + 1, memory, 8, &err), STATUS_OK);
    assert_int_equal(device_receive(&device, memory + 2, memory, 8, &err), STATUS_OK);
    assert_int_equal(device_mark(&device, 1, &err), STATUS_OK);
    assert_string_equal(fake_cudart.streams[1], "copy to 64, mark 5, ");
    assert_string_equal(fake_cudart.streams[0], "wait for 5, copy to 65, copy to 66, mark 6, ");
    assert_int_equal(device_wait(&device, 1, &err), STATUS_OK);
    double elapsed_us;
    assert_int_equal(device_timer_start(&device, &err), STATUS_OK);
    assert_int_equal(device_timer_stop(&device, &elapsed_us, &err), STATUS_OK);
    assert_true(elapsed_us == 2000);
    close_device();
}

static void test_graph(void **state)
{
    (void)state;
    struct device_graph *graph;
    open_device();
    assert_int_equal(device_capture_begin(&device, &err), STATUS_OK);
    assert_int_equal(device_capture_end(&device, &graph, &err), STATUS_OK);
    assert_int_equal(device_graph_launch(&device, graph, &err), STATUS_OK);
    device_graph_free(&device, graph);
    assert_int_equal(device_capture_begin(&device, &err), STATUS_OK);
    device_capture_drop(&device);
    assert_int_equal(fake_cudart.captures, 0);
    close_device();
}

// Too little memory is the caller's trouble; and that a batch still runs is no fault.
static void test_no_fault(void **state)
{
    (void)state;
    void *memory;
    open_device();
    fake_cudart.working = cudaErrorMemoryAllocation;
    assert_int_equal(device_alloc(&device, &memory, 1, &err), STATUS_FATAL);
    assert_non_null(strstr(err.message, "no memory left"));
    assert_int_equal(device_check(&device, "asking", &err), STATUS_OK); // nothing of it stays
    fake_cudart.working = cudaSuccess;
    assert_int_equal(device_alloc(&device, &memory, 1, &err), STATUS_OK);
    device_free(&device, memory);
    fake_cudart.last = cudaErrorNotReady;
    assert_int_equal(device_check(&device, "asking", &err), STATUS_OK);
    close_device();
}

// The first reason stays, whatever is asked later and however well it goes. Memory, graphs, streams and
// events are left to the end of the process: to free them could wait for what the device still does.
static void expect_lost(const char *part, void *memory, void *pinned)
{
    int alive = fake_cudart.alive;
    fake_cudart.working = cudaSuccess;
    fake_cudart.hangs = false;
    assert_int_equal(device_wait(&device, 0, &err), STATUS_FATAL);
    assert_int_equal(device_check(&device, "asking", &err), STATUS_FATAL);
    assert_int_equal(device_upload(&device, memory, pinned, 1, &err), STATUS_FATAL);
    if (!strstr(err.message, part))
        fail_msg("'%s' does not say '%s'", err.message, part);
    device_free(&device, memory);
    device_free_pinned(&device, pinned);
    device_graph_free(&device, (struct device_graph *)memory);
    device_close(&device);
    assert_int_equal(fake_cudart.alive, alive);
}

static void test_fault(void **state)
{
    void *memory, *pinned;
    for (int launch = 0; launch < 2; launch++) {
        reset(state);
        open_device();
        assert_int_equal(device_alloc(&device, &memory, 1, &err), STATUS_OK);
        assert_int_equal(device_alloc_pinned(&device, &pinned, 1, &err), STATUS_OK);
        if (launch) {
            fake_cudart.last = cudaErrorIllegalAddress;
            assert_int_equal(device_check(&device, "starting", &err), STATUS_FATAL);
        } else {
            fake_cudart.working = cudaErrorIllegalAddress;
            assert_int_equal(device_copy(&device, memory, memory, 1, &err), STATUS_FATAL);
        }
        expect_lost("cudaErrorIllegalAddress", memory, pinned);
    }
}

static void test_hanging(void **state)
{
    void *memory, *pinned;
    double elapsed_us;
    for (int way = 0; way < 4; way++) {
        reset(state);
        open_device();
        assert_int_equal(device_alloc(&device, &memory, 1, &err), STATUS_OK);
        assert_int_equal(device_alloc_pinned(&device, &pinned, 1, &err), STATUS_OK);
        fake_cudart.hangs = true;
        assert_int_equal(way == 0   ? device_wait(&device, 0, &err)
                         : way == 1 ? device_finish(&device, &err)
                         : way == 2 ? device_upload(&device, memory, pinned, 1, &err)
                                    : device_timer_stop(&device, &elapsed_us, &err),
                         STATUS_FATAL);
        expect_lost("did not end in time", memory, pinned);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_opening, reset), cmocka_unit_test_setup(test_streams, reset),
        cmocka_unit_test_setup(test_graph, reset),   cmocka_unit_test_setup(test_no_fault, reset),
        cmocka_unit_test_setup(test_fault, reset),   cmocka_unit_test_setup(test_hanging, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
