// fake_cublaslt.c: cuBLASLt in the processor's memory, for kernels/cuda/library.c on a machine without a GPU.
// It computes what descriptor and layouts say, as NVIDIA's documentation reads them (columns first), and
// counts what that does not allow. Its algorithms differ in what they refuse (fake_cublaslt.h).
#include "tests/support/cuda/fake_cublaslt.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cublasLt.h>

#include "common/base/memory.h"
#include "kernels/cuda/ops.h"

enum { ALGORITHMS = FAKE_GOOD, MOST_ROWS = 63, ALIGNMENT = 16, STRICT_ALIGNMENT = 256 };

struct layout {
    cudaDataType type;
    uint64_t rows, columns;
    int64_t stride;
};
struct product {
    cublasComputeType_t compute;
    cudaDataType_t scale;
    int32_t a_transposed;
    uint32_t epilogue;
    const void *bias;
};
struct preference {
    uint32_t reductions, alignments[4];
    size_t workspace;
};

struct fake_cublaslt fake_cublaslt = {.version = 130100};

static cublasStatus_t violated(const char *what)
{
    if (fake_cublaslt.violations++ == 0)
        snprintf(fake_cublaslt.violation, sizeof fake_cublaslt.violation, "%s", what);
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = memory_alloc(1);
    fake_cublaslt.handles++;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    free(handle);
    fake_cublaslt.handles--;
    return CUBLAS_STATUS_SUCCESS;
}
size_t cublasLtGetVersion(void)
{
    return fake_cublaslt.version;
}
const char *cublasLtGetStatusName(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_EXECUTION_FAILED ? "CUBLAS_STATUS_EXECUTION_FAILED"
           : status == CUBLAS_STATUS_NOT_SUPPORTED  ? "CUBLAS_STATUS_NOT_SUPPORTED"
                                                    : "another status";
}

// ---- descriptors ----

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *to, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t stride)
{
    struct layout *layout = memory_alloc(sizeof *layout);
    *layout = (struct layout){type, rows, columns, stride};
    *to = (cublasLtMatrixLayout_t)(void *)layout;
    return stride < (int64_t)rows ? violated("a leading dimension below the rows") : CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    free(layout);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *to, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    struct product *product = memory_alloc(sizeof *product);
    *product = (struct product){.compute = compute, .scale = scale, .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
    *to = (cublasLtMatmulDesc_t)(void *)product;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product)
{
    free(product);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t which,
                                              const void *value, size_t size)
{
    struct product *product = (void *)desc;
    void *to = which == CUBLASLT_MATMUL_DESC_TRANSA         ? (void *)&product->a_transposed
               : which == CUBLASLT_MATMUL_DESC_EPILOGUE     ? (void *)&product->epilogue
               : which == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? (void *)&product->bias
                                                            : NULL;
    if (!to || size != (which == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? sizeof(void *) : sizeof(uint32_t)))
        return violated("an attribute of a product");
    memcpy(to, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *to)
{
    struct preference *preference = memory_alloc(sizeof *preference);
    preference->reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
    for (int i = 0; i < 4; i++)
        preference->alignments[i] = STRICT_ALIGNMENT; // as documented
    *to = (cublasLtMatmulPreference_t)(void *)preference;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    free(preference);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t handle,
                                                    cublasLtMatmulPreferenceAttributes_t which,
                                                    const void *value, size_t size)
{
    struct preference *preference = (void *)handle;
    void *to = &preference->workspace;
    size_t expected = sizeof(uint64_t);
    if (which != CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
        expected = sizeof(uint32_t);
        to = which == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK ? &preference->reductions
             : which >= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES &&
                     which <= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES
                 ? &preference->alignments[which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES]
                 : NULL;
    }
    if (!to || size != expected)
        return violated("an attribute of a preference");
    memcpy(to, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

// ---- algorithms ----

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t results[], int *count)
{
    (void)handle, (void)product, (void)a, (void)b, (void)c, (void)d;
    const uint32_t *alignments = ((const struct preference *)(const void *)preference)->alignments;
    *count = 0;
    for (int i = FAKE_SPLITS; i <= ALGORITHMS && *count < most; i++) {
        results[*count] = (cublasLtMatmulHeuristicResult_t){.state = CUBLAS_STATUS_SUCCESS};
        results[*count].algo.data[0] = (uint64_t)i;
        // Operands that lie better than an algorithm needs would be good enough for all.
        for (int j = 0; j < 4; j++)
            results[*count].algo.data[1] |= alignments[j];
        (*count)++;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t which, void *value,
                                                    size_t size, size_t *written)
{
    if (which != CUBLASLT_ALGO_CONFIG_SPLITK_NUM || size != sizeof(int32_t))
        return violated("an attribute of an algorithm");
    *(int32_t *)value = algorithm->data[0] == FAKE_SPLITS ? 4 : 1;
    *written = size;
    return CUBLAS_STATUS_SUCCESS;
}

// Rows of patches, of tokens, or of class tokens.
static bool refuses_five(const cublasLtMatmulAlgo_t *algorithm, const struct layout *b)
{
    return algorithm->data[0] == FAKE_NOT_FIVE && (b->columns == 45 || b->columns == 50 || b->columns == 5);
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algorithm,
                                       cublasLtMatmulHeuristicResult_t *result)
{
    (void)handle, (void)product, (void)a, (void)c, (void)d;
    result->workspaceSize = 1 << 20;
    bool known = algorithm->data[0] >= FAKE_SPLITS && algorithm->data[0] <= FAKE_GOOD;
    bool many = ((const struct layout *)(const void *)b)->columns > MOST_ROWS;
    return known && !(algorithm->data[0] == FAKE_FEW_ROWS && many) &&
                   !refuses_five(algorithm, (const struct layout *)(const void *)b)
               ? CUBLAS_STATUS_SUCCESS
               : CUBLAS_STATUS_NOT_SUPPORTED;
}

// ---- products ----

// A matrix of columns is one of rows, turned over.
static struct matrix matrix_at(const struct layout *layout, const void *data)
{
    return (struct matrix){.data = (void *)(uintptr_t)data,
                           .storage = layout->type == CUDA_R_16F    ? STORE_FP16
                                      : layout->type == CUDA_R_16BF ? STORE_BF16
                                                                    : STORE_FP32,
                           .rows = (int)layout->columns,
                           .columns = (int)layout->rows,
                           .stride = layout->stride};
}

// Its values as floats, row after row.
static float *floats_of(struct matrix matrix)
{
    struct matrix floats = {.rows = matrix.rows, .columns = matrix.columns, .stride = matrix.columns};
    floats.data = memory_alloc((size_t)matrix.rows * (size_t)matrix.columns * sizeof(float));
    cuda_convert(NULL, matrix, floats);
    return floats.data;
}

static bool lies_at(const void *data, uintptr_t alignment)
{
    return (uintptr_t)data % alignment == 0;
}

struct operands {
    const struct product *product;
    const struct layout *layouts[4]; // a, b, c, d
    const void *data[4];
    float alpha, beta;
};

static bool same_shape(const struct layout *x, const struct layout *y)
{
    return x->rows == y->rows && x->columns == y->columns;
}

static cublasStatus_t check_layouts(const struct layout *const layouts[4])
{
    const struct layout *a = layouts[0], *b = layouts[1], *c = layouts[2], *d = layouts[3];
    if (a->type != b->type || c->type != d->type || (d->type != a->type && d->type != CUDA_R_32F))
        return violated("types that are not supported together");
    if (a->rows != b->rows || a->columns != d->rows || b->columns != d->columns || !same_shape(c, d))
        return violated("shapes that do not fit");
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t check_operands(const struct operands *operands)
{
    const struct product *product = operands->product;
    if (product->compute != CUBLAS_COMPUTE_32F || product->scale != CUDA_R_32F ||
        product->a_transposed != CUBLAS_OP_T)
        return violated("arithmetic other than float, or a is not turned over");
    if (operands->data[2] == operands->data[3] &&
        operands->layouts[2]->stride != operands->layouts[3]->stride)
        return violated("a sum in place with another leading dimension");
    if ((product->epilogue == CUBLASLT_EPILOGUE_BIAS) != (product->bias != NULL))
        return violated("no bias, or one that is not asked for");
    for (int i = 0; i < 4; i++)
        if (!lies_at(operands->data[i], ALIGNMENT))
            return violated("an operand that is not at 16 bytes");
    return lies_at(product->bias, ALIGNMENT) ? CUBLAS_STATUS_SUCCESS : violated("a bias not at 16 bytes");
}

static void multiply(const struct operands *operands)
{
    struct matrix d = matrix_at(operands->layouts[3], operands->data[3]), bias = d, sums = d;
    bool biased = operands->product->epilogue == CUBLASLT_EPILOGUE_BIAS;
    bias.data = (void *)(uintptr_t)operands->product->bias;
    bias.rows = 1;
    float *a = floats_of(matrix_at(operands->layouts[0], operands->data[0]));
    float *b = floats_of(matrix_at(operands->layouts[1], operands->data[1]));
    float *c = operands->beta == 0 ? NULL : floats_of(matrix_at(operands->layouts[2], operands->data[2]));
    float *biases = biased ? floats_of(bias) : NULL;
    size_t k = (size_t)operands->layouts[0]->rows, n = (size_t)d.columns;
    sums.storage = STORE_FP32;
    sums.stride = d.columns;
    float *to = sums.data = memory_alloc((size_t)d.rows * n * sizeof(float));
    for (size_t at = 0; at < (size_t)d.rows * n; at++) {
        double sum = 0;
        for (size_t i = 0; i < k; i++)
            sum += (double)a[at % n * k + i] * (double)b[at / n * k + i];
        sum = sum * (double)operands->alpha + (c ? (double)operands->beta * (double)c[at] : 0);
        to[at] = (float)(sum + (biases ? (double)biases[at % n] : 0));
    }
    cuda_convert(NULL, sums, d);
    free(a);
    free(b);
    free(c);
    free(biases);
    free(to);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspace_size,
                              cudaStream_t stream)
{
    (void)handle, (void)stream;
    const struct operands operands = {
        (void *)product,      {(void *)a_layout, (void *)b_layout, (void *)c_layout, (void *)d_layout},
        {a, b, c, d},         *(const float *)alpha,
        *(const float *)beta,
    };
    if (fake_cublaslt.faults)
        return CUBLAS_STATUS_EXECUTION_FAILED;
    if (fake_cublaslt.refuses)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    cublasStatus_t status = check_layouts(operands.layouts);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = check_operands(&operands);
    if (status == CUBLAS_STATUS_SUCCESS && refuses_five(algorithm, operands.layouts[1]))
        status = CUBLAS_STATUS_NOT_SUPPORTED;
    if (status == CUBLAS_STATUS_SUCCESS && (!lies_at(workspace, 256) || workspace_size < 1 << 20))
        status = violated("the workspace");
    uintptr_t alignment = algorithm->data[0] == FAKE_STRICT ? STRICT_ALIGNMENT : algorithm->data[1];
    for (int i = 0; i < 4; i++)
        if (status == CUBLAS_STATUS_SUCCESS && !lies_at(operands.data[i], alignment))
            status = CUBLAS_STATUS_NOT_SUPPORTED;
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    fake_cublaslt.products++;
    fake_cublaslt.splits += algorithm->data[0] == FAKE_SPLITS;
    multiply(&operands);
    return CUBLAS_STATUS_SUCCESS;
}
