// fake_cudart.c: the CUDA runtime without a GPU, for kernels/cuda/device.c: it computes nothing, counts what
// is alive, writes down what is put on each stream, and fails where a test wants it to (fake_cudart.h).
#include "tests/support/cuda/fake_cudart.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_cudart fake_cudart;

static cudaError_t work(void)
{
    if (fake_cudart.working == cudaSuccess || fake_cudart.works-- > 0)
        return cudaSuccess;
    fake_cudart.works = 0;
    return fake_cudart.last = fake_cudart.working;
}

static cudaError_t make(void **thing)
{
    cudaError_t result = work();
    if (result == cudaSuccess)
        *thing = (void *)(uintptr_t)++fake_cudart.alive; // the two streams come first: 1 and 2
    return result;
}

static cudaError_t destroy(void *thing)
{
    fake_cudart.alive -= thing != NULL;
    return work();
}

static cudaError_t put(cudaStream_t stream, const char *what, const void *which)
{
    cudaError_t result = work();
    char *words = fake_cudart.streams[(uintptr_t)stream - 1];
    if (result == cudaSuccess)
        snprintf(words + strlen(words), sizeof fake_cudart.streams[0] - strlen(words), "%s %d, ", what,
                 (int)(uintptr_t)which);
    return result;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t last = fake_cudart.last;
    fake_cudart.last = cudaSuccess;
    return last;
}
const char *cudaGetErrorName(cudaError_t error)
{
    return error == cudaErrorIllegalAddress ? "cudaErrorIllegalAddress" : "another error";
}
const char *cudaGetErrorString(cudaError_t error)
{
    return cudaGetErrorName(error);
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = fake_cudart.gpus;
    return fake_cudart.counting;
}
cudaError_t cudaDriverGetVersion(int *version)
{
    *version = fake_cudart.driver;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    (void)device;
    *properties = (struct cudaDeviceProp){.name = "Tesla T4", .multiProcessorCount = 40};
    properties->major = fake_cudart.major;
    properties->minor = fake_cudart.minor;
    return work();
}
cudaError_t cudaSetDevice(int device)
{
    (void)device;
    return work();
}
cudaError_t cudaDeviceGetPCIBusId(char *bus, int length, int device)
{
    (void)bus, (void)length, (void)device;
    return fake_cudart.last = cudaErrorInvalidValue; // no figures, but a good device
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    (void)flags;
    return make((void **)stream);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    return destroy(stream);
}
cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return make((void **)event);
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    return make((void **)event);
}
cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    return destroy(event);
}
cudaError_t cudaMalloc(void **memory, size_t size)
{
    (void)size;
    return make(memory);
}
cudaError_t cudaMallocHost(void **memory, size_t size)
{
    (void)size;
    return make(memory);
}
cudaError_t cudaFree(void *memory)
{
    return destroy(memory);
}
cudaError_t cudaFreeHost(void *memory)
{
    return destroy(memory);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    (void)from, (void)size, (void)kind;
    return put(stream, "copy to", to);
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    return put(stream, "mark", event);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)flags;
    return put(stream, "wait for", event);
}
cudaError_t cudaEventQuery(cudaEvent_t event)
{
    (void)event;
    return fake_cudart.hangs ? fake_cudart.last = cudaErrorNotReady : work();
}
cudaError_t cudaEventElapsedTime(float *elapsed_ms, cudaEvent_t start, cudaEvent_t stop)
{
    (void)start, (void)stop;
    *elapsed_ms = 2;
    return work();
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    (void)stream, (void)mode;
    fake_cudart.captures++;
    return work();
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    (void)stream;
    fake_cudart.captures--;
    return make((void **)graph);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags)
{
    (void)graph, (void)flags;
    return make((void **)executable);
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    return destroy(graph);
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable)
{
    return destroy(executable);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream)
{
    return put(stream, "graph", executable);
}

// Waits without an end on a device that hangs: nobody may call them.
cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    (void)stream;
    abort();
}
cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    (void)event;
    abort();
}
