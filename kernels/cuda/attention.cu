// attention.cu: softmax(q k^T / sqrt(head width)) v for every head.
//
// Two kernels. On the tensor cores, for heads of 64 and at most 208 tokens in half precision (every ViT at
// 224 pixels): a block keeps keys and values of one head in shared memory, and a warp goes over the keys
// twice for its 16 queries: for the greatest score, then for the weights. The scores cost half as much again
// and nothing has to be kept or corrected: no registers spill, the softmax is the plain one, nothing is
// written but the result. For every other shape, and for float, the ordinary cores take 16 queries a block
// and 32 keys at a time.
#include "kernels/cuda/tensor_core.cuh"

namespace
{

// ---- tensor cores ----

constexpr int HEAD = 64, KEYS = 208, QUERIES = 16; // a warp's queries
constexpr int WARPS = 7; // 13 times 16 queries are two rounds of 7 warps, or one round of two blocks
constexpr int ROW_BYTES = 2 * HEAD, ROW_CHUNKS = ROW_BYTES / 16;
constexpr int SHARED_BYTES = 2 * KEYS * ROW_BYTES;

// Where a 16-byte chunk of a key's or value's row lies: eight rows' chunks in different banks.
__device__ inline int place(int row, int chunk)
{
    return row * ROW_BYTES + ((chunk ^ (row & (ROW_CHUNKS - 1))) * 16);
}

template <typename T>
__device__ inline void load_keys_and_values(unsigned char *shared, const attention_call &call, const T *image,
                                            int head)
{
    int width = call.out.columns;
    for (int i = (int)threadIdx.x; i < 2 * KEYS * ROW_CHUNKS; i += WARPS * WARP) {
        int row = i / ROW_CHUNKS % KEYS, chunk = i % ROW_CHUNKS, which = i / (KEYS * ROW_CHUNKS);
        bool valid = row < call.tokens;
        const T *from =
            image + (valid ? row : 0) * call.in.stride + (1 + which) * width + head * HEAD + chunk * 8;
        copy_aside(shared + which * KEYS * ROW_BYTES + place(row, chunk), from, valid);
    }
    copy_aside_commit();
    copy_aside_wait<0>();
    __syncthreads();
}

// The 16 queries from `first` on as fragments: four parts of 16 values.
template <typename T>
__device__ inline void load_queries(uint32_t queries[4][4], const attention_call &call, const T *image,
                                    int head, int first)
{
    int lane = (int)threadIdx.x % WARP;
#pragma unroll
    for (int part = 0; part < 4; part++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int row = first + lane / 4 + i % 2 * 8, column = part * 16 + lane % 4 * 2 + i / 2 * 8;
            queries[part][i] =
                row < call.tokens
                    ? *reinterpret_cast<const uint32_t *>(image + row * call.in.stride + head * HEAD + column)
                    : 0;
        }
}

// Scores of a warp's queries and 16 keys, -infinity beyond the last token: scores[i] holds keys 8 i .. 8 i +
// 7 of the sixteen; values 0, 1 belong to query lane / 4, values 2, 3 to the one eight further.
template <typename T>
__device__ inline void score(float scores[2][4], const uint32_t queries[4][4], const unsigned char *keys,
                             int sixteen, int tokens)
{
    int lane = (int)threadIdx.x % WARP;
    keys += sixteen * 16 * ROW_BYTES;
#pragma unroll
    for (int value = 0; value < 4; value++)
        scores[0][value] = scores[1][value] = 0;
#pragma unroll
    for (int part = 0; part < 4; part++) {
        uint32_t fragments[4];
        load_fragments(fragments, keys + place(lane % 8 + lane / 16 * 8, 2 * part + lane / 8 % 2));
        multiply_add(scores[0], queries[part], &fragments[0], T());
        multiply_add(scores[1], queries[part], &fragments[2], T());
    }
    if (16 * sixteen + 16 > tokens)
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (16 * sixteen + i / 4 * 8 + lane % 4 * 2 + i % 2 >= tokens)
                scores[i / 4][i % 4] = -INFINITY;
}

// The greatest score of each of a lane's two queries.
template <typename T>
__device__ inline void find_greatest(float greatest[2], const uint32_t queries[4][4],
                                     const unsigned char *keys, int tokens)
{
    greatest[0] = greatest[1] = -INFINITY;
    for (int sixteen = 0; 16 * sixteen < tokens; sixteen++) {
        float scores[2][4];
        score<T>(scores, queries, keys, sixteen, tokens);
#pragma unroll
        for (int i = 0; i < 8; i++)
            greatest[i % 4 / 2] = fmaxf(greatest[i % 4 / 2], scores[i / 4][i % 4]);
    }
#pragma unroll
    for (int query = 0; query < 2; query++) // the four lanes of a row
        for (int distance = 1; distance < 4; distance *= 2)
            greatest[query] = fmaxf(greatest[query], __shfl_xor_sync(EVERY_LANE, greatest[query], distance));
}

// Weights that are not divided by their sum yet: at most 1, so half precision holds them well.
__device__ inline void to_weights(float scores[2][4], const float greatest[2])
{
    constexpr float scale = 1.44269504f * 0.125f; // log2(e) / sqrt(64)
#pragma unroll
    for (int i = 0; i < 8; i++)
        scores[i / 4][i % 4] = exp2f((scores[i / 4][i % 4] - greatest[i % 4 / 2]) * scale);
}

// results (16 queries x 64) = weights * values; sums of the weights.
template <typename T>
__device__ inline void weigh(float results[HEAD / 8][4], float sums[2], const uint32_t queries[4][4],
                             const float greatest[2], const unsigned char *keys, int tokens)
{
    int lane = (int)threadIdx.x % WARP;
    const unsigned char *values = keys + KEYS * ROW_BYTES;
    sums[0] = sums[1] = 0;
    for (int sixteen = 0; 16 * sixteen < tokens; sixteen++) {
        float weights[2][4];
        score<T>(weights, queries, keys, sixteen, tokens);
        to_weights(weights, greatest);
#pragma unroll
        for (int i = 0; i < 8; i++)
            sums[i % 4 / 2] += weights[i / 4][i % 4];
        const uint32_t a[4] = {pack<T>(weights[0][0], weights[0][1]), pack<T>(weights[0][2], weights[0][3]),
                               pack<T>(weights[1][0], weights[1][1]), pack<T>(weights[1][2], weights[1][3])};
#pragma unroll
        for (int column = 0; column < HEAD / 16; column++) {
            uint32_t fragments[4];
            load_fragments_transposed(fragments, values + sixteen * 16 * ROW_BYTES +
                                                     place(lane % 16, 2 * column + lane / 16));
            multiply_add(results[2 * column], a, &fragments[0], T());
            multiply_add(results[2 * column + 1], a, &fragments[2], T());
        }
    }
#pragma unroll
    for (int query = 0; query < 2; query++)
        for (int distance = 1; distance < 4; distance *= 2)
            sums[query] += __shfl_xor_sync(EVERY_LANE, sums[query], distance);
}

// The class token is query 0: lanes 0 to 3 have its weights, computed once more now that their sum is known.
template <typename T>
__device__ inline void write_map(float *map, float greatest[2], float sum, const uint32_t queries[4][4],
                                 const unsigned char *keys, int tokens)
{
    int lane = (int)threadIdx.x % WARP;
    float inverse = 1.0f / sum;
    for (int sixteen = 0; 16 * sixteen < tokens; sixteen++) {
        float weights[2][4];
        score<T>(weights, queries, keys, sixteen, tokens);
        to_weights(weights, greatest);
        for (int i = 0; i < 4; i++) {
            int key = 16 * sixteen + i / 2 * 8 + 2 * lane + i % 2;
            if (lane < 4 && key >= 1 && key < tokens)
                map[key - 1] = weights[i / 2][i % 2] * inverse;
        }
    }
}

template <typename T>
__device__ inline void write_queries(const float results[HEAD / 8][4], const float sums[2],
                                     const attention_call &call, int image, int head, int first)
{
    int lane = (int)threadIdx.x % WARP, rows = call.out.rows / call.images;
    const float inverses[2] = {1.0f / sums[0], 1.0f / sums[1]};
#pragma unroll
    for (int i = 0; i < HEAD / 8; i++)
#pragma unroll
        for (int query = 0; query < 2; query++) {
            int row = first + lane / 4 + 8 * query;
            if (row >= rows)
                continue;
            T *to = static_cast<T *>(call.out.data) + ((int64_t)image * rows + row) * call.out.stride +
                    head * HEAD + 8 * i + lane % 4 * 2;
            *reinterpret_cast<uint32_t *>(to) =
                pack<T>(results[i][2 * query] * inverses[query], results[i][2 * query + 1] * inverses[query]);
        }
}

template <typename T, bool aside>
__global__ void __launch_bounds__(WARPS *WARP, aside ? 2 : 1) attention_kernel(const attention_call call)
{
    if constexpr (COMPILES_FOR(aside)) {
        DYNAMIC_SHARED(shared);
        int head = (int)blockIdx.x, image = (int)blockIdx.y, rows = call.out.rows / call.images;
        const T *from = static_cast<const T *>(call.in.data) + (int64_t)image * call.tokens * call.in.stride;
        load_keys_and_values(shared, call, from, head);
        int first = ((int)blockIdx.z * WARPS + (int)threadIdx.x / WARP) * QUERIES;
        for (; first < rows; first += (int)gridDim.z * WARPS * QUERIES) {
            uint32_t queries[4][4];
            float greatest[2], sums[2], results[HEAD / 8][4] = {};
            load_queries(queries, call, from, head, first);
            find_greatest<T>(greatest, queries, shared, call.tokens);
            weigh<T>(results, sums, queries, greatest, shared, call.tokens);
            write_queries<T>(results, sums, call, image, head, first);
            if (call.map && first == 0)
                write_map<T>(call.map + ((int64_t)image * call.heads + head) * (call.tokens - 1), greatest,
                             sums[0], queries, shared, call.tokens);
        }
    }
}

template <typename T, bool aside> void launch_tensor(device_stream stream, const attention_call &call)
{
    int rows = call.out.rows / call.images;
    bool split = rows > WARPS * QUERIES && call.heads * call.images < call.multiprocessors;
    dim3 grid((unsigned)call.heads, (unsigned)call.images, split ? 2 : 1);
    auto kernel = attention_kernel<T, aside>;
    LAUNCH_LARGE(kernel, grid, WARPS * WARP, SHARED_BYTES, stream, call);
}

// ---- ordinary cores ----

constexpr int PLAIN_WARPS = 8, PLAIN_QUERIES = 2, PLAIN_BLOCK = PLAIN_WARPS * PLAIN_QUERIES,
              PLAIN_KEYS = WARP;
constexpr int PLAIN_COLUMNS = ATTENTION_MAX_HEAD_WIDTH / WARP; // of a lane, in the result

struct plain_shared {
    float queries[PLAIN_BLOCK][ATTENTION_MAX_HEAD_WIDTH];
    float tile[PLAIN_KEYS][ATTENTION_MAX_HEAD_WIDTH + 1]; // of keys, then of values
    float weights[PLAIN_BLOCK][ATTENTION_MAX_TOKENS];
};
static_assert(sizeof(plain_shared) <= 64 * 1024, "a block on Turing has no more");

// Rows first .. first + count of q (0), k (1) or v (2) of a head; zeros beyond the last token.
template <typename T, int pitch>
__device__ inline void load_rows(float (*to)[pitch], const attention_call &call, int image, int head,
                                 int which, int first, int count)
{
    int head_width = call.out.columns / call.heads;
    const T *from = static_cast<const T *>(call.in.data) + (int64_t)image * call.tokens * call.in.stride +
                    which * call.out.columns + head * head_width;
    for (int i = (int)threadIdx.x; i < count * head_width; i += PLAIN_WARPS * WARP) {
        int row = i / head_width, column = i % head_width;
        to[row][column] =
            first + row < call.tokens ? to_float(from[(first + row) * call.in.stride + column]) : 0;
    }
}

__device__ inline void plain_softmax(float *row, int tokens)
{
    int lane = (int)threadIdx.x % WARP;
    float greatest = -INFINITY, sum = 0;
    for (int i = lane; i < tokens; i += WARP)
        greatest = fmaxf(greatest, row[i]);
    greatest = warp_max(greatest);
    for (int i = lane; i < tokens; i += WARP)
        sum += row[i] = expf(row[i] - greatest);
    sum = warp_sum(sum);
    for (int i = lane; i < tokens; i += WARP)
        row[i] /= sum;
}

template <typename T>
__device__ inline void plain_scores(plain_shared &shared, const attention_call &call, int image, int head)
{
    int lane = (int)threadIdx.x % WARP, first = (int)threadIdx.x / WARP * PLAIN_QUERIES;
    int head_width = call.out.columns / call.heads;
    float scale = 1.0f / sqrtf((float)head_width);
    for (int key = 0; key < call.tokens; key += PLAIN_KEYS) {
        __syncthreads();
        load_rows<T>(shared.tile, call, image, head, 1, key, PLAIN_KEYS);
        __syncthreads();
        float sums[PLAIN_QUERIES] = {};
        for (int i = 0; i < head_width; i++)
            for (int query = 0; query < PLAIN_QUERIES; query++)
                sums[query] = fmaf(shared.queries[first + query][i], shared.tile[lane][i], sums[query]);
        if (key + lane < call.tokens)
            for (int query = 0; query < PLAIN_QUERIES; query++)
                shared.weights[first + query][key + lane] = scale * sums[query];
    }
}

template <typename T>
__device__ inline void plain_weigh(plain_shared &shared, float sums[PLAIN_QUERIES][PLAIN_COLUMNS],
                                   const attention_call &call, int image, int head)
{
    int lane = (int)threadIdx.x % WARP, first = (int)threadIdx.x / WARP * PLAIN_QUERIES;
    int head_width = call.out.columns / call.heads;
    for (int key = 0; key < call.tokens; key += PLAIN_KEYS) {
        __syncthreads();
        load_rows<T>(shared.tile, call, image, head, 2, key, PLAIN_KEYS);
        __syncthreads();
        int keys = call.tokens - key < PLAIN_KEYS ? call.tokens - key : PLAIN_KEYS;
#pragma unroll
        for (int i = 0; i < PLAIN_COLUMNS; i++)
            for (int row = 0; row < keys && lane + i * WARP < head_width; row++)
                for (int query = 0; query < PLAIN_QUERIES; query++)
                    sums[query][i] = fmaf(shared.weights[first + query][key + row],
                                          shared.tile[row][lane + i * WARP], sums[query][i]);
    }
}

template <typename T>
__global__ void __launch_bounds__(PLAIN_WARPS *WARP) plain_kernel(const attention_call call)
{
    DYNAMIC_SHARED(memory);
    plain_shared &shared = *reinterpret_cast<plain_shared *>(memory);
    int head = (int)blockIdx.x, image = (int)blockIdx.y, block = (int)blockIdx.z * PLAIN_BLOCK;
    int lane = (int)threadIdx.x % WARP, first = (int)threadIdx.x / WARP * PLAIN_QUERIES;
    int rows = call.out.rows / call.images, head_width = call.out.columns / call.heads;
    load_rows<T>(shared.queries, call, image, head, 0, block, PLAIN_BLOCK);
    plain_scores<T>(shared, call, image, head);
    __syncwarp();
    for (int query = 0; query < PLAIN_QUERIES; query++)
        plain_softmax(shared.weights[first + query], call.tokens);
    __syncwarp();
    if (call.map && block == 0 && first == 0)
        for (int i = 1 + lane; i < call.tokens; i += WARP)
            call.map[((int64_t)image * call.heads + head) * (call.tokens - 1) + i - 1] = shared.weights[0][i];
    float sums[PLAIN_QUERIES][PLAIN_COLUMNS] = {};
    plain_weigh<T>(shared, sums, call, image, head);
    for (int query = 0; query < PLAIN_QUERIES; query++)
#pragma unroll
        for (int i = 0; i < PLAIN_COLUMNS; i++) {
            int row = block + first + query, column = lane + i * WARP;
            if (row < rows && column < head_width)
                static_cast<T *>(call.out.data)[((int64_t)image * rows + row) * call.out.stride +
                                                head * head_width + column] = from_float<T>(sums[query][i]);
        }
}

template <typename T> void launch_plain(device_stream stream, const attention_call &call)
{
    int rows = call.out.rows / call.images;
    dim3 grid((unsigned)call.heads, (unsigned)call.images, (unsigned)divide_up(rows, PLAIN_BLOCK));
    auto kernel = plain_kernel<T>;
    LAUNCH_LARGE(kernel, grid, PLAIN_WARPS * WARP, sizeof(plain_shared), stream, call);
}

} // namespace

void cuda_attention(device_stream stream, const attention_call *call)
{
    bool fits = call->out.columns == call->heads * HEAD && call->tokens <= KEYS;
    bool aside = call->compute_capability >= 80;
    if (fits && call->in.storage == STORE_FP16 && aside)
        launch_tensor<__half, true>(stream, *call);
    else if (fits && call->in.storage == STORE_FP16)
        launch_tensor<__half, false>(stream, *call);
    else if (fits && call->in.storage == STORE_BF16 && aside)
        launch_tensor<__nv_bfloat16, true>(stream, *call);
    else
        with_type(call->in.storage, [&](auto type) { launch_plain<decltype(type)>(stream, *call); });
}
