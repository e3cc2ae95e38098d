// cuda_shim.cpp: fibres, barriers, and the twins of the instructions that kernels/cuda/tensor_core.cuh wraps.
#include "tests/support/cuda/cuda_shim.h"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <vector>

// Saves what a function must keep, and the stack pointer in *from; goes on with the stack to. swapcontext
// asks the kernel for the signal mask as well, which took half of these tests' time.
extern "C" void switch_stacks(void **from, void *to);
asm(R"(
    .text
    .type switch_stacks, @function
switch_stacks:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size switch_stacks, . - switch_stacks
)");

namespace
{

constexpr size_t STACK_SIZE = 256 * 1024;
constexpr int WARP_LANES = 32;

struct copy {
    void *to;
    const void *from;
};

struct fibre {
    void *at; // its stack pointer while others run
    std::unique_ptr<char[]> stack{new char[STACK_SIZE]};
    dim3 index;
    bool ended;
    const char *waits_for; // NULL: runs
    std::deque<std::vector<copy>> groups;
};

struct meeting { // of a warp's lanes, or of a block's threads
    const char *name;
    int arrived;
    void *arguments[WARP_LANES];
};

std::vector<fibre> fibres;
std::vector<meeting> warps;
meeting whole_block;
void *scheduler; // its stack pointer while a fibre runs
fibre *current;
const std::function<void()> *body;

// What switch_stacks returns into: six registers, then entry, at whose first instruction the stack is 8 bytes
// beside 16.
void *stack_that_enters(void (*entry)(), char *stack)
{
    auto top = reinterpret_cast<uintptr_t>(stack + STACK_SIZE) & ~(uintptr_t)15;
    auto *at = reinterpret_cast<void **>(top) - 8;
    memset(at, 0, 8 * sizeof *at);
    at[6] = reinterpret_cast<void *>(entry);
    return at;
}

[[noreturn]] void stop(const char *what, const char *name)
{
    fprintf(stderr, "cuda shim: %s (%s), thread %u of block %u %u %u\n", what, name, shim_thread.x,
            blockIdx.x, blockIdx.y, blockIdx.z);
    abort();
}

void run_fibre()
{
    (*body)();
    current->ended = true;
    switch_stacks(&current->at, scheduler);
}

void pause_fibre(const char *waits_for)
{
    fibre *self = current;
    self->waits_for = waits_for;
    switch_stacks(&self->at, scheduler);
}

void release(size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        fibres[i].waits_for = nullptr;
}

// Runs every fibre that can; false when none could.
bool run_round(size_t count)
{
    bool progress = false;
    for (size_t i = 0; i < count; i++) {
        fibre &next = fibres[shim_backwards ? count - 1 - i : i];
        if (next.ended || next.waits_for)
            continue;
        current = &next;
        shim_thread = next.index;
        switch_stacks(&scheduler, next.at);
        progress = true;
    }
    return progress;
}

void start(size_t count)
{
    if (fibres.size() < count)
        fibres.resize(count);
    warps.assign(count / WARP_LANES, meeting{});
    whole_block = meeting{};
    for (size_t i = 0; i < count; i++) {
        fibre &one = fibres[i];
        one.index = dim3((unsigned)i, 0, 0);
        one.ended = false;
        one.waits_for = nullptr;
        one.groups.assign(1, {});
        one.at = stack_that_enters(run_fibre, one.stack.get());
    }
}

struct launch {
    dim3 grid, block;
    size_t shared;
    std::function<void()> kernel;
};
std::vector<launch> *captured; // NULL: launches run

void run_block(size_t count)
{
    start(count);
    while (run_round(count))
        ;
    for (size_t i = 0; i < count; i++)
        if (!fibres[i].ended)
            stop("a thread waits for others that have returned or wait elsewhere", fibres[i].waits_for);
    for (size_t i = 0; i < count; i++)
        for (const auto &group : fibres[i].groups)
            if (!group.empty())
                stop("a copy was never waited for", "copy_aside");
}

} // namespace

dim3 shim_thread, blockIdx, blockDim, gridDim;
unsigned char *shim_shared;
bool shim_backwards;

static void run_launch(const launch &one)
{
    gridDim = one.grid;
    blockDim = one.block;
    body = &one.kernel;
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) {
                void *memory = nullptr;
                if (one.shared > 0 && posix_memalign(&memory, 128, one.shared) != 0)
                    stop("no memory", "launch");
                if (one.shared > 0)
                    memset(memory, 0xff, one.shared); // NaN, whatever the type
                shim_shared = static_cast<unsigned char *>(memory);
                run_block(blockDim.x);
                free(memory);
            }
}

void shim_launch(dim3 grid, dim3 block, size_t shared, size_t most, const std::function<void()> &kernel)
{
    size_t count = block.x;
    if (count % WARP_LANES != 0 || count > 1024 || block.y != 1 || block.z != 1 || grid.y > 65535 ||
        grid.z > 65535)
        stop("a launch with an impossible shape", "launch");
    if (shared > most)
        stop("more shared memory than a block can have", "launch");
    const launch one = {grid, block, shared, kernel};
    if (captured)
        captured->push_back(one);
    else
        run_launch(one);
}

// ---- graphs, for shim_device.c ----

extern "C" void shim_capture_begin()
{
    captured = new std::vector<launch>;
}

extern "C" void *shim_capture_end()
{
    void *graph = captured;
    captured = nullptr;
    return graph;
}

extern "C" void shim_replay(void *graph)
{
    for (const launch &one : *static_cast<std::vector<launch> *>(graph))
        run_launch(one);
}

extern "C" void shim_graph_free(void *graph)
{
    delete static_cast<std::vector<launch> *>(graph);
}

void __syncthreads()
{
    whole_block.arrived++;
    if (whole_block.arrived < (int)blockDim.x) {
        pause_fibre("__syncthreads");
        shim_thread = current->index;
        return;
    }
    whole_block.arrived = 0;
    for (const fibre &one : fibres)
        if (&one < &fibres[0] + blockDim.x && &one != current &&
            (one.ended || !one.waits_for || strcmp(one.waits_for, "__syncthreads") != 0))
            stop("not all threads are at the barrier", "__syncthreads");
    release(0, blockDim.x);
}

void shim_collective(const char *name, void *argument, void (*together)(void **arguments))
{
    size_t lane = current->index.x % WARP_LANES, index = current->index.x / WARP_LANES;
    meeting &warp = warps[index];
    if (warp.arrived > 0 && strcmp(warp.name, name) != 0)
        stop("the lanes of a warp do different things", name);
    warp.name = name;
    warp.arguments[lane] = argument;
    if (++warp.arrived < WARP_LANES) {
        pause_fibre(name);
        shim_thread = current->index;
        return;
    }
    warp.arrived = 0;
    together(warp.arguments);
    release(index * WARP_LANES, WARP_LANES);
}

void __syncwarp()
{
    shim_collective("__syncwarp", nullptr, [](void **) {});
}

// ---- shuffles ----

template <typename T> struct shuffle {
    T value, result;
    int distance;
};

template <typename T> static T shuffle_xor(T value, int distance)
{
    shuffle<T> mine = {value, value, distance};
    shim_collective("__shfl_xor_sync", &mine, [](void **arguments) {
        for (int lane = 0; lane < WARP_LANES; lane++) {
            auto *one = static_cast<shuffle<T> *>(arguments[lane]);
            one->result = static_cast<shuffle<T> *>(arguments[lane ^ one->distance])->value;
        }
    });
    return mine.result;
}

float __shfl_xor_sync(unsigned, float value, int distance)
{
    return shuffle_xor(value, distance);
}
int __shfl_xor_sync(unsigned, int value, int distance)
{
    return shuffle_xor(value, distance);
}

// ---- half precision ----

float __bfloat162float(__nv_bfloat16 value)
{
    uint32_t bits = (uint32_t)value.bits << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

__nv_bfloat16 __float2bfloat16_rn(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (std::isnan(value))
        return {0x7fff};
    return {(uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

float __half2float(__half value)
{
    int exponent = value.bits >> 10 & 31, mantissa = value.bits & 1023;
    float result = exponent == 31  ? (mantissa ? NAN : INFINITY)
                   : exponent == 0 ? std::ldexp((float)mantissa, -24)
                                   : std::ldexp((float)(1024 + mantissa), exponent - 25);
    return value.bits & 0x8000 ? -result : result;
}

__half __float2half_rn(float value)
{
    uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    float magnitude = std::fabs(value);
    if (std::isnan(value))
        return {0x7fff};
    if (magnitude >= 65520.0f) // rounds beyond the greatest half
        return {(uint16_t)(sign | 0x7c00)};
    int exponent;
    std::frexp(magnitude, &exponent); // magnitude < 2^exponent, but 0 gives 0
    if (magnitude == 0.0f)
        exponent = -13;
    exponent = exponent < -13 ? -13 : exponent;
    auto units = (uint32_t)std::nearbyint(std::ldexp(magnitude, 11 - exponent)); // of the last place
    return {(uint16_t)(sign | (((uint32_t)(exponent + 13) << 10) + units))};
}

// ---- matrix instructions ----

struct fragment_load {
    uint32_t *fragments;
    const void *row;
};

template <bool transposed> static void load_together(void **arguments)
{
    for (int matrix = 0; matrix < 4; matrix++) {
        uint16_t values[8][8];
        for (int row = 0; row < 8; row++) {
            const void *from = static_cast<fragment_load *>(arguments[8 * matrix + row])->row;
            if ((uintptr_t)from % 16 != 0)
                stop("a row of a fragment that is not at 16 bytes", "load_fragments");
            memcpy(values[row], from, sizeof values[row]);
        }
        for (int lane = 0; lane < WARP_LANES; lane++) {
            int row = lane / 4, column = lane % 4 * 2;
            uint32_t low = transposed ? values[column][row] : values[row][column];
            uint32_t high = transposed ? values[column + 1][row] : values[row][column + 1];
            static_cast<fragment_load *>(arguments[lane])->fragments[matrix] = low | high << 16;
        }
    }
}

void load_fragments(uint32_t fragments[4], const void *shared)
{
    fragment_load mine = {fragments, shared};
    shim_collective("load_fragments", &mine, load_together<false>);
}
void load_fragments_transposed(uint32_t fragments[4], const void *shared)
{
    fragment_load mine = {fragments, shared};
    shim_collective("load_fragments_transposed", &mine, load_together<true>);
}

template <typename Sum> struct product {
    Sum *sums;
    const uint32_t *a, *b;
};

static float value_of(uint32_t bits, int which, __half)
{
    return __half2float({(uint16_t)(bits >> 16 * which)});
}
static float value_of(uint32_t bits, int which, __nv_bfloat16)
{
    return __bfloat162float({(uint16_t)(bits >> 16 * which)});
}
static int value_of(uint32_t bits, int which, uint8_t)
{
    return (int)(bits >> 8 * which & 255);
}
static int value_of(uint32_t bits, int which, int8_t)
{
    return (int8_t)(bits >> 8 * which & 255);
}

// a (16 x 32 bytes): register i of lane l has row l / 4 + i % 2 * 8, bytes l % 4 * 4 + i / 2 * 16 on. b (32
// bytes x 8): register i has column l / 4, the same bytes. sums: value i has row l / 4 + i / 2 * 8, column l
// % 4 * 2 + i % 2.
template <typename Sum, typename A, typename B> static void multiply_together(void **arguments)
{
    constexpr int values = sizeof(A) == 1 ? 4 : 2;
    Sum a[16][32], b[32][8];
    for (int lane = 0; lane < WARP_LANES; lane++) {
        const auto *one = static_cast<product<Sum> *>(arguments[lane]);
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < values; j++) {
                int k = (lane % 4 + i / 2 * 4) * values + j;
                a[lane / 4 + i % 2 * 8][k] = (Sum)value_of(one->a[i], j, A());
                if (i % 2 == 0)
                    b[k][lane / 4] = (Sum)value_of(one->b[i / 2], j, B());
            }
    }
    for (int lane = 0; lane < WARP_LANES; lane++)
        for (int i = 0; i < 4; i++) {
            int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            Sum sum = 0;
            for (int k = 0; k < 8 * values; k++)
                sum += a[row][k] * b[k][column];
            static_cast<product<Sum> *>(arguments[lane])->sums[i] += sum;
        }
}

void multiply_add(float sums[4], const uint32_t a[4], const uint32_t *b, __half)
{
    product<float> mine = {sums, a, b};
    shim_collective("multiply_add fp16", &mine, multiply_together<float, __half, __half>);
}
void multiply_add(float sums[4], const uint32_t a[4], const uint32_t *b, __nv_bfloat16)
{
    product<float> mine = {sums, a, b};
    shim_collective("multiply_add bf16", &mine, multiply_together<float, __nv_bfloat16, __nv_bfloat16>);
}
void multiply_add(int sums[4], const uint32_t a[4], const uint32_t *b, uint8_t)
{
    product<int> mine = {sums, a, b};
    shim_collective("multiply_add int8", &mine, multiply_together<int, uint8_t, int8_t>);
}

// ---- copies by the side ----

void copy_aside(void *shared, const void *from, bool valid)
{
    if ((uintptr_t)shared % 16 != 0 || (valid && (uintptr_t)from % 16 != 0))
        stop("a copy that is not at 16 bytes", "copy_aside");
    memset(shared, 0xff, 16);
    current->groups.back().push_back({shared, valid ? from : nullptr});
}

void copy_aside_commit()
{
    current->groups.emplace_back();
}

void shim_copy_aside_wait(int groups)
{
    while ((int)current->groups.size() - 1 > groups) {
        for (const copy &one : current->groups.front()) {
            if (one.from)
                memcpy(one.to, one.from, 16);
            else
                memset(one.to, 0, 16);
        }
        current->groups.pop_front();
    }
}
