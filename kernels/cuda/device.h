// device.h: the GPU as the rest of the backend sees it: memory, two streams, graphs, and one place where a
// fault becomes a state. device.c is the real one; tests/support/cuda has one that works in the processor's
// memory, so that whole networks run without a GPU.
//
// The compute stream runs steps in order; the copy stream brings the next slice's views meanwhile. Any error
// of the runtime loses the device for good: from then on every call answers FATAL with the first sentence,
// since CUDA gives no promise about results after a fault. Every wait ends within DEVICE_TIMEOUT_MS or loses
// the device. What a lost one holds is not freed: that could wait for ever, and the process ends anyway.
//
// Thread: one at a time, as backend.h says.
#ifndef SKINSIGHT_KERNELS_CUDA_DEVICE_H
#define SKINSIGHT_KERNELS_CUDA_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DEVICE_SLOTS = 2, DEVICE_TIMEOUT_MS = 30000 };

typedef struct CUstream_st *device_stream;
struct device_graph;
struct health; // health.h

struct device {
    char name[96];          // "Tesla T4"
    int compute_capability; // 75, 80, 90
    int multiprocessors;
    size_t memory_size;
    device_stream compute, copy;
    void *sent[DEVICE_SLOTS], *done[DEVICE_SLOTS]; // events
    bool graphs;                                   // whether steps can be captured
    bool lost;
    char lost_because[320];
    struct health *health; // NULL where NVML is missing
};

// The first GPU that the environment shows. REJECTED says whether driver or GPU is missing, or why it is too
// old.
enum status device_open(struct device *device, struct error *err) MUST_CHECK;
void device_close(struct device *device);

enum status device_alloc(struct device *device, void **memory, size_t size, struct error *err) MUST_CHECK;
void device_free(struct device *device, void *memory); // NULL is allowed
// Memory of the host that the copy engine can reach.
enum status device_alloc_pinned(struct device *device, void **memory, size_t size,
                                struct error *err) MUST_CHECK;
void device_free_pinned(struct device *device, void *memory);
// Waits until it is there.
enum status device_upload(struct device *device, void *to, const void *from, size_t size,
                          struct error *err) MUST_CHECK;

// One slice of a batch, in one of two slots: send (copy stream), then compute (it waits for the copy),
// receive (compute stream), record the end; and wait for it.
enum status device_send(struct device *device, int slot, void *to, const void *pinned, size_t size,
                        struct error *err) MUST_CHECK;
enum status device_copy(struct device *device, void *to, const void *from, size_t size,
                        struct error *err) MUST_CHECK;
enum status device_receive(struct device *device, void *pinned, const void *from, size_t size,
                           struct error *err) MUST_CHECK;
enum status device_mark(struct device *device, int slot, struct error *err) MUST_CHECK;
enum status device_wait(struct device *device, int slot, struct error *err) MUST_CHECK;
// All of the compute stream; not while a slice runs.
enum status device_finish(struct device *device, struct error *err) MUST_CHECK;

// Microseconds from one call to the next on the compute stream, for the tuner; not while a slice runs.
enum status device_timer_start(struct device *device, struct error *err) MUST_CHECK;
enum status device_timer_stop(struct device *device, double *elapsed_us, struct error *err) MUST_CHECK;

// What was put on the compute stream between begin and end becomes a graph instead of running. Where
// something fails between them, drop ends it instead.
enum status device_capture_begin(struct device *device, struct error *err) MUST_CHECK;
enum status device_capture_end(struct device *device, struct device_graph **graph,
                               struct error *err) MUST_CHECK;
void device_capture_drop(struct device *device);
enum status device_graph_launch(struct device *device, struct device_graph *graph,
                                struct error *err) MUST_CHECK;
void device_graph_free(struct device *device, struct device_graph *graph);

// The error that a launch left, if any; `doing` names the operation in the sentence.
enum status device_check(struct device *device, const char *doing, struct error *err) MUST_CHECK;
// Declares the device lost for a reason found elsewhere (NVML); returns FATAL.
enum status device_lose(struct device *device, struct error *err, const char *because);

#ifdef __cplusplus
}
#endif

#endif
