// preload_faults.c: a library for LD_PRELOAD that makes a worker's machine misbehave.
//
//   PRELOAD_CLOCK=FILE     8 bytes, a number in host order: so many seconds are added to the wall clock.
//                          A write to the file makes the clock jump at once. Waits of C11 condition
//                          variables, librdkafka's, which are until a time of the wall clock, see it too:
//                          they end early, or last the hour longer, as they would with clock_settime.
//   PRELOAD_MALLOC=SIZE,N  the Nth allocation of at least SIZE bytes fails, and only that one. Those of
//                          librdkafka are not counted: it ends the process by an assertion.
//
// Threads: any. Without the variables it passes everything on.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

static const volatile int64_t *clock_offset_s;
static size_t fail_size;
static long fail_at;
static atomic_long large_allocations;

__attribute__((constructor)) static void read_environment(void)
{
    const char *clock_file = getenv("PRELOAD_CLOCK"), *allocation = getenv("PRELOAD_MALLOC");
    if (clock_file) {
        int file = open(clock_file, O_RDONLY);
        void *mapped = mmap(NULL, sizeof *clock_offset_s, PROT_READ, MAP_SHARED, file, 0);
        close(file);
        if (mapped != MAP_FAILED)
            clock_offset_s = mapped;
    }
    if (allocation && sscanf(allocation, "%zu,%ld", &fail_size, &fail_at) != 2)
        fail_at = 0;
}

static int fails(size_t size, const void *caller)
{
    Dl_info place;
    if (fail_at == 0 || size < fail_size)
        return 0;
    if (dladdr(caller, &place) && place.dli_fname && strstr(place.dli_fname, "librdkafka"))
        return 0;
    if (atomic_fetch_add(&large_allocations, 1) + 1 != fail_at)
        return 0;
    errno = ENOMEM;
    return 1;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    return fails(size, __builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    return fails(count * size, __builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

__attribute__((visibility("default"))) void *realloc(void *memory, size_t size)
{
    return fails(size, __builtin_return_address(0)) ? NULL : __libc_realloc(memory, size);
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock_offset_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *clock_offset_s;
    return result;
}

__attribute__((visibility("default"))) time_t time(time_t *result)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}

__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    *now = (struct timeval){exact.tv_sec, exact.tv_nsec / 1000};
    return 0;
}

__attribute__((visibility("default"))) int timespec_get(struct timespec *now, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

static struct timespec later(struct timespec time, int64_t nanoseconds)
{
    int64_t sum = time.tv_nsec + nanoseconds;
    return (struct timespec){time.tv_sec + sum / 1000000000, sum % 1000000000};
}

static int64_t nanoseconds_until(struct timespec then, struct timespec now)
{
    int64_t seconds = then.tv_sec - now.tv_sec;
    return seconds > 1 ? 1000000000 : seconds * 1000000000 + then.tv_nsec - now.tv_nsec;
}

__attribute__((visibility("default"))) int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex,
                                                         const struct timespec *restrict until)
{
    enum { LOOK_NS = 10000000 };
    static int (*wait_until)(cnd_t *, mtx_t *, const struct timespec *);
    if (!wait_until)
        *(void **)&wait_until = dlsym(RTLD_NEXT, "cnd_timedwait");
    for (;;) {
        struct timespec now, real;
        clock_gettime(CLOCK_REALTIME, &now);
        syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
        int64_t left_ns = nanoseconds_until(*until, now);
        struct timespec look = later(real, left_ns < 0 ? 0 : left_ns < LOOK_NS ? left_ns : LOOK_NS);
        int result = wait_until(condition, mutex, &look);
        if (result != thrd_timedout || left_ns <= LOOK_NS)
            return result;
    }
}
