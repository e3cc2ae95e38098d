// library.c: products through cuBLASLt. See library.h.
//
// The library thinks in columns: our row-major out (m, n) is its n x m, so it computes weight * a^T with the
// weight transposed, and "bias" lies along its rows, which are our columns.
#include "kernels/cuda/library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cublasLt.h>

#include "common/base/memory.h"

enum {
    WORKSPACE_SIZE = 32 << 20,
    ROW_ALIGNMENT = 16, // bytes: a part of the columns begins there too, as do the biases
    CANDIDATES = 8,     // of the library, at each size
    TIMED_RUNS = 10,
    SIZES = 3
};
static const int tuned_images[SIZES] = {1, 8, 64};

struct library {
    struct device *device;
    cublasLtHandle_t handle;
    void *workspace;
    struct tuning tuning;
    bool tune;
};

// One product as the library wants it described.
struct description {
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t weight, a, residual, out;
};

// The library lacks what it was asked for; the device is as good as before.
static bool is_refusal(cublasStatus_t result)
{
    return result == CUBLAS_STATUS_NOT_SUPPORTED || result == CUBLAS_STATUS_INVALID_VALUE ||
           result == CUBLAS_STATUS_ARCH_MISMATCH;
}

static enum status judge(struct library *library, cublasStatus_t result, const char *doing, struct error *err)
{
    if (result == CUBLAS_STATUS_SUCCESS)
        return STATUS_OK;
    char because[128];
    snprintf(because, sizeof because, "cuBLASLt gave %s while %s", cublasLtGetStatusName(result), doing);
    if (is_refusal(result))
        return error_set(err, STATUS_FATAL, "%s", because);
    return device_lose(library->device, err, because);
}

enum status library_open(struct library **result, struct device *device, struct error *err)
{
    const char *products = getenv("SKINSIGHT_CUDA_PRODUCTS"), *tune = getenv("SKINSIGHT_CUDA_TUNE");
    *result = NULL;
    if (products && strcmp(products, "own") == 0)
        return STATUS_OK;
    struct library *library = memory_alloc(sizeof *library);
    library->device = device;
    library->tune = tune && strcmp(tune, "1") == 0;
    cublasStatus_t created = cublasLtCreate(&library->handle);
    enum status status = STATUS_OK;
    if (created != CUBLAS_STATUS_SUCCESS)
        status = error_set(err, STATUS_REJECTED, "cuBLASLt does not work with %s: %s", device->name,
                           cublasLtGetStatusName(created));
    else
        status = device_alloc(device, &library->workspace, WORKSPACE_SIZE, err);
    if (status != STATUS_OK) {
        library_close(library);
        return status;
    }
    tuning_load(&library->tuning, device->name, cublasLtGetVersion());
    *result = library;
    return STATUS_OK;
}

void library_close(struct library *library)
{
    if (!library)
        return;
    if (library->handle && !library->device->lost) // it may wait for the device
        cublasLtDestroy(library->handle);
    device_free(library->device, library->workspace);
    free(library);
}

size_t library_memory(const struct library *library)
{
    return library ? WORKSPACE_SIZE : 0;
}

void library_class(const struct library *library, char text[16])
{
    if (!library)
        snprintf(text, 16, "own");
    else
        snprintf(text, 16, "%08x", tuning_digest(&library->tuning));
}

// ---- descriptions ----

static cudaDataType_t type_of(enum storage storage)
{
    return storage == STORE_FP16 ? CUDA_R_16F : storage == STORE_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static void forget(struct description *description)
{
    if (description->product)
        cublasLtMatmulDescDestroy(description->product);
    cublasLtMatrixLayout_t layouts[] = {description->weight, description->a, description->residual,
                                        description->out};
    for (int i = 0; i < 4; i++)
        if (layouts[i])
            cublasLtMatrixLayoutDestroy(layouts[i]);
}

static cublasStatus_t set(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute,
                          const void *value, size_t size, cublasStatus_t before)
{
    return before == CUBLAS_STATUS_SUCCESS ? cublasLtMatmulDescSetAttribute(product, attribute, value, size)
                                           : before;
}

static cublasStatus_t layout(cublasLtMatrixLayout_t *to, enum storage storage, int rows, int columns,
                             int64_t stride, cublasStatus_t before)
{
    return before == CUBLAS_STATUS_SUCCESS
               ? cublasLtMatrixLayoutCreate(to, type_of(storage), (uint64_t)rows, (uint64_t)columns, stride)
               : before;
}

static cublasStatus_t describe(struct description *description, const struct product_call *call,
                               const void *bias_half)
{
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const void *bias = call->out.storage == STORE_FP32 ? call->bias : bias_half;
    int m = call->out.rows, n = call->out.columns, k = call->a.columns;
    int64_t residual_stride = call->residual ? call->residual_stride : call->out.stride;
    *description = (struct description){NULL};
    cublasStatus_t result = cublasLtMatmulDescCreate(&description->product, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatmulDesc_t product = description->product;
    result = set(product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed, result);
    if (bias) {
        result = set(product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue, result);
        result = set(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias, result);
    }
    result = layout(&description->weight, call->a.storage, k, n, k, result);
    result = layout(&description->a, call->a.storage, k, m, call->a.stride, result);
    result = layout(&description->residual, call->out.storage, n, m, residual_stride, result);
    return layout(&description->out, call->out.storage, n, m, call->out.stride, result);
}

static cublasStatus_t multiply(struct library *library, const struct product_call *call,
                               const void *bias_half, const struct library_choice *choice)
{
    struct description description;
    const float one = 1, beta = call->residual ? 1 : 0;
    const void *residual = call->residual ? call->residual : call->out.data;
    cublasLtMatmulAlgo_t algorithm;
    _Static_assert(sizeof algorithm.data == sizeof choice->algorithm, "a choice holds an algorithm");
    memcpy(algorithm.data, choice->algorithm, sizeof algorithm.data);
    cublasStatus_t result = describe(&description, call, bias_half);
    if (result == CUBLAS_STATUS_SUCCESS)
        result = cublasLtMatmul(library->handle, description.product, &one, call->weight, description.weight,
                                call->a.data, description.a, &beta, residual, description.residual,
                                call->out.data, description.out, &algorithm, library->workspace,
                                WORKSPACE_SIZE, (cudaStream_t)library->device->compute);
    forget(&description);
    return result;
}

enum status library_product(struct library *library, const struct product_call *call, const void *bias_half,
                            const struct library_choice *choice, struct error *err)
{
    cublasStatus_t result = multiply(library, call, bias_half, choice);
    if (result == CUBLAS_STATUS_SUCCESS && call->finish == FINISH_GELU)
        cuda_gelu(library->device->compute, call->out, call->out);
    return judge(library, result, "multiplying", err);
}

// ---- choices ----

static struct product_call for_images(const struct product_call *call, int images)
{
    struct product_call result = *call;
    result.a.rows *= images;
    result.out.rows *= images;
    return result;
}

// Whether one number of rows can be computed with an algorithm that was proposed for another, without split
// sums.
static bool takes(struct library *library, const struct product_call *call, const void *bias_half,
                  const struct library_choice *choice)
{
    struct description description;
    cublasLtMatmulAlgo_t algorithm;
    memcpy(algorithm.data, choice->algorithm, sizeof algorithm.data);
    cublasLtMatmulHeuristicResult_t checked;
    uint32_t split = 0;
    size_t written = 0;
    bool good = cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &split,
                                                     sizeof split, &written) != CUBLAS_STATUS_SUCCESS ||
                split <= 1;
    good = describe(&description, call, bias_half) == CUBLAS_STATUS_SUCCESS && good &&
           cublasLtMatmulAlgoCheck(library->handle, description.product, description.weight, description.a,
                                   description.residual, description.out, &algorithm,
                                   &checked) == CUBLAS_STATUS_SUCCESS &&
           checked.workspaceSize <= WORKSPACE_SIZE;
    forget(&description);
    return good;
}

// Every number of images by what the library says, whatever the plan's slice, so that plans choose alike; and
// one image by trying: only then it sees where the operands lie. FATAL when the device fails at that.
static enum status takes_all(struct library *library, const struct product_call *call, const void *bias_half,
                             const struct library_choice *choice, bool *taken, struct error *err)
{
    *taken = true;
    if (!choice->library)
        return STATUS_OK;
    for (int images = 1; images <= SLICE_MAX && *taken; images++) {
        struct product_call at = for_images(call, images);
        *taken = takes(library, &at, bias_half, choice);
    }
    cublasStatus_t result = *taken ? multiply(library, call, bias_half, choice) : CUBLAS_STATUS_NOT_SUPPORTED;
    *taken = result == CUBLAS_STATUS_SUCCESS;
    return *taken || is_refusal(result) ? STATUS_OK : judge(library, result, "choosing an algorithm", err);
}

static int propose(struct library *library, const struct product_call *call, const void *bias_half,
                   cublasLtMatmulHeuristicResult_t proposals[CANDIDATES])
{
    struct description description;
    cublasLtMatmulPreference_t preference = NULL;
    const uint32_t no_reduction = CUBLASLT_REDUCTION_SCHEME_NONE, alignment = ROW_ALIGNMENT;
    const size_t workspace = WORKSPACE_SIZE;
    static const cublasLtMatmulPreferenceAttributes_t operands[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    int count = 0;
    if (describe(&description, call, bias_half) == CUBLAS_STATUS_SUCCESS &&
        cublasLtMatmulPreferenceCreate(&preference) == CUBLAS_STATUS_SUCCESS) {
        cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                             &no_reduction, sizeof no_reduction);
        cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                             sizeof workspace);
        for (int i = 0; i < 4; i++) // else it takes 256 bytes for granted
            cublasLtMatmulPreferenceSetAttribute(preference, operands[i], &alignment, sizeof alignment);
        if (cublasLtMatmulAlgoGetHeuristic(library->handle, description.product, description.weight,
                                           description.a, description.residual, description.out, preference,
                                           CANDIDATES, proposals, &count) != CUBLAS_STATUS_SUCCESS)
            count = 0;
    }
    if (preference)
        cublasLtMatmulPreferenceDestroy(preference);
    forget(&description);
    return count;
}

static bool is_known(const struct library_choice choices[], int count, const struct library_choice *choice)
{
    for (int i = 0; i < count; i++)
        if (memcmp(choices[i].algorithm, choice->algorithm, sizeof choice->algorithm) == 0)
            return true;
    return false;
}

// The first `most` algorithms that the library proposes for one of the sizes and that take all numbers of
// images.
static enum status find_candidates(struct library *library, const struct product_call *call,
                                   const void *bias_half, int most, struct library_choice choices[],
                                   int *count, struct error *err)
{
    static const int order[SIZES] = {1, 2, 0}; // 8 images first: that is what is taken untuned
    enum status status = STATUS_OK;
    *count = 0;
    for (int size = 0; size < SIZES && *count < most && status == STATUS_OK; size++) {
        cublasLtMatmulHeuristicResult_t proposals[CANDIDATES];
        struct product_call at = for_images(call, tuned_images[order[size]]);
        int proposed = propose(library, &at, bias_half, proposals);
        for (int i = 0; i < proposed && *count < most && status == STATUS_OK; i++) {
            struct library_choice choice = {.library = true};
            bool taken = false;
            memcpy(choice.algorithm, proposals[i].algo.data, sizeof choice.algorithm);
            if (proposals[i].state == CUBLAS_STATUS_SUCCESS && !is_known(choices, *count, &choice))
                status = takes_all(library, call, bias_half, &choice, &taken, err);
            if (taken)
                choices[(*count)++] = choice;
        }
    }
    return status;
}

static enum status time_choice(struct library *library, const struct product_call *call,
                               const void *bias_half, const struct library_choice *choice, double *elapsed_us,
                               struct error *err)
{
    struct device *device = library->device;
    enum status status = STATUS_OK;
    for (int run = -2; run < TIMED_RUNS && status == STATUS_OK; run++) { // two to warm up
        if (run == 0)
            status = device_timer_start(device, err);
        if (status == STATUS_OK && choice->library)
            status = library_product(library, call, bias_half, choice, err);
        else if (status == STATUS_OK)
            cuda_product(device->compute, call);
    }
    return status == STATUS_OK ? device_timer_stop(device, elapsed_us, err) : status;
}

// The choice with the least sum over the sizes of its time's ratio to the best one's.
static enum status tune(struct library *library, const struct product_call *call, const void *bias_half,
                        const struct library_choice *choices, int count, int *best, struct error *err)
{
    double times_us[SIZES * CANDIDATES + 1][SIZES], least = 0;
    for (int i = 0; i < count; i++)
        for (int size = 0; size < SIZES; size++) {
            struct product_call at = for_images(call, tuned_images[size]);
            enum status status = time_choice(library, &at, bias_half, &choices[i], &times_us[i][size], err);
            if (status != STATUS_OK)
                return status;
        }
    for (int i = 0; i < count; i++) {
        double sum = 0;
        for (int size = 0; size < SIZES; size++) {
            double fastest = times_us[0][size];
            for (int j = 1; j < count; j++)
                fastest = times_us[j][size] < fastest ? times_us[j][size] : fastest;
            sum += times_us[i][size] / fastest;
        }
        if (i == 0 || sum < least) {
            least = sum;
            *best = i;
        }
    }
    return STATUS_OK;
}

static void name_family(const struct product_call *call, char name[TUNING_FAMILY_SIZE])
{
    static const char *const names[STORAGE_COUNT] = {"fp32", "fp16", "bf16", "uint8"};
    snprintf(name, TUNING_FAMILY_SIZE, "%d %d %s %s%s%s%s%s", call->out.columns, call->a.columns,
             names[call->a.storage], names[call->out.storage], call->bias ? " bias" : "",
             call->finish == FINISH_GELU ? " gelu" : "", call->residual ? " residual" : "",
             call->out.rows == 1 ? " row" : "");
}

// What library.h leaves to our own products; the head's few columns have a kernel of their own.
static bool is_ours(const struct product_call *call)
{
    enum { NARROW = 32 };
    size_t row_bytes = (size_t)call->a.columns * storage_size(call->a.storage);
    return call->a.storage == STORE_UINT8 || call->out.columns <= NARROW || call->window.kernel > 0 ||
           call->finish > (call->residual ? FINISH_NONE : FINISH_GELU) || row_bytes % ROW_ALIGNMENT != 0;
}

enum status library_choose(struct library *library, const struct product_call *call, const void *bias_half,
                           bool may_tune, struct library_choice *choice, struct error *err)
{
    struct library_choice choices[SIZES * CANDIDATES + 1];
    char family[TUNING_FAMILY_SIZE];
    int best = 0, count = 0;
    bool taken = false;
    *choice = (struct library_choice){.library = false};
    if (is_ours(call))
        return STATUS_OK;
    name_family(call, family);
    const struct library_choice *known = tuning_find(&library->tuning, family);
    enum status status = known ? takes_all(library, call, bias_half, known, &taken, err) : STATUS_OK;
    if (taken)
        *choice = *known;
    if (taken || status != STATUS_OK)
        return status;
    bool tuned = library->tune && may_tune;
    status = find_candidates(library, call, bias_half, tuned ? SIZES * CANDIDATES : 1, choices, &count, err);
    choices[count] = *choice; // our own, last: taken when the library proposes nothing
    if (status == STATUS_OK && tuned) {
        status = tune(library, call, bias_half, choices, count + 1, &best, err);
        if (status == STATUS_OK)
            tuning_add(&library->tuning, family, &choices[best]);
    }
    *choice = choices[best];
    return status;
}
