// preload_faults.c: a library for LD_PRELOAD that makes a worker's machine misbehave.
//
//   PRELOAD_CLOCK=FILE     8 bytes, a number in host order: so many seconds are added to the wall clock.
//                          Whoever writes the file makes the clock jump at once.
//   PRELOAD_MALLOC=SIZE,N  the Nth allocation of at least SIZE bytes fails, and only that one.
//
// Threads: any. Without the variables it passes everything on.
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
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

static int fails(size_t size)
{
    if (fail_at == 0 || size < fail_size || atomic_fetch_add(&large_allocations, 1) + 1 != fail_at)
        return 0;
    errno = ENOMEM;
    return 1;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    return fails(size) ? NULL : __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    return fails(count * size) ? NULL : __libc_calloc(count, size);
}

__attribute__((visibility("default"))) void *realloc(void *memory, size_t size)
{
    return fails(size) ? NULL : __libc_realloc(memory, size);
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
