// test_transformer_lowering.c: the steps that a vision transformer becomes, counted by hand for ViT-Tiny with
// its 12 blocks, for devices of either kind.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "kernels/transformer_lowering.h"

enum { BLOCKS = 12, TOKENS = 197, WIDTH = 192 };

// As a processor in int8 and as a GPU in bytes.
static const struct lowering_rules processor = {STORE_UINT8, STORE_BF16, STORE_BF16, 32, 1, true, false};
static const struct lowering_rules gpu = {STORE_UINT8, STORE_FP16, STORE_FP16, 1, 8, false, true};
static const struct lowering_rules floats = {STORE_FP32, STORE_FP32, STORE_FP32, 16, 1, true, false};

static struct network *vit_tiny(void)
{
    struct network *network, *folded;
    struct error err;
    assert_int_equal(network_build(&network, "vit_tiny_patch16_224", 8, &err), STATUS_OK);
    folded = network_fold(network);
    network_free(network);
    assert_true(transformer_supports(folded));
    return folded;
}

static int count(const struct lowering *lowering, enum lowered_kind kind, int rows)
{
    int found = 0;
    for (int i = 0; i < lowering->step_count; i++)
        found += lowering->steps[i].kind == kind && lowering->steps[i].rows == rows;
    return found;
}

// A block is two norms, four products with everything that follows them, an attention; the last one's norm,
// queries and all that comes after them are one row.
static void check_counts(const struct lowering *lowering, int conversions, bool in_place)
{
    assert_int_equal(count(lowering, LOWERED_PATCHES, TOKENS - 1), 1);
    assert_int_equal(count(lowering, LOWERED_PRODUCT, TOKENS - 1), 1);
    assert_int_equal(count(lowering, LOWERED_TOKENS, in_place ? 1 : TOKENS), 1);
    assert_int_equal(count(lowering, LOWERED_PRODUCT, TOKENS), 4 * (BLOCKS - 1) + 1);
    assert_int_equal(count(lowering, LOWERED_PRODUCT, 1), 4 + 1);
    assert_int_equal(count(lowering, LOWERED_LAYERNORM, TOKENS), 2 * BLOCKS - 1);
    assert_int_equal(count(lowering, LOWERED_LAYERNORM, 1), 2);
    assert_int_equal(count(lowering, LOWERED_ATTENTION, TOKENS), BLOCKS - 1);
    assert_int_equal(count(lowering, LOWERED_ATTENTION, 1), 1);
    assert_int_equal(count(lowering, LOWERED_CONVERT, TOKENS), conversions * (BLOCKS - 1));
    assert_int_equal(count(lowering, LOWERED_CONVERT, 1), conversions);
    assert_int_equal(lowering->step_count,
                     3 + 4 * BLOCKS + 2 + 2 * BLOCKS + 1 + BLOCKS + conversions * BLOCKS);
}

static void check_storage(const struct lowering *lowering, const struct network *network,
                          const struct lowering_rules *rules)
{
    for (int i = 0; i < lowering->step_count; i++) {
        const struct lowered_step *step = &lowering->steps[i];
        const struct lowered_value *output = &lowering->values[step->output];
        assert_true(output->view_of >= 0 && (step->input < 0 || lowering->values[step->input].view_of >= 0));
        if (step->second >= 0) {
            assert_int_equal(output->storage, STORE_FP32);
            assert_int_equal(lowering->values[step->second].storage, STORE_FP32);
        }
        if (step->kind == LOWERED_ATTENTION)
            assert_int_equal(lowering->values[step->input].storage, rules->attention);
        if (step->kind == LOWERED_PRODUCT && step->operation->kind == OP_LINEAR)
            assert_int_equal(lowering->values[step->input].storage,
                             step->output == network->logits ? STORE_FP32 : rules->product);
    }
}

static void check_queries(const struct lowering *lowering)
{
    for (int i = 1; i < lowering->step_count; i++) {
        const struct lowered_step *rest = &lowering->steps[i], *first = rest - 1;
        if (rest->first_column == 0)
            continue;
        assert_ptr_equal(first->operation, rest->operation);
        assert_int_equal(first->columns, WIDTH);
        assert_int_equal(rest->first_column, WIDTH);
        assert_int_equal(rest->columns, 2 * WIDTH);
        assert_true(first->rows == 1 && rest->rows == TOKENS);
        assert_true(rest[1].kind == LOWERED_ATTENTION && rest[1].map && rest[1].rows == 1);
        return;
    }
    fail_msg("the last block's queries are not apart");
}

static void check(const struct lowering_rules *rules, int conversions)
{
    struct network *network = vit_tiny();
    struct lowering *lowering = transformer_lower(network, rules);
    check_counts(lowering, conversions, rules->tokens_in_place);
    check_storage(lowering, network, rules);
    check_queries(lowering);
    free(lowering);
    network_free(network);
}

static void test_floats(void **state)
{
    (void)state;
    check(&floats, 0);
}

// Attention's and GELU's results become bytes in a step of their own.
static void test_bytes(void **state)
{
    (void)state;
    check(&processor, 2);
    check(&gpu, 2);
}

// A product can't begin in the middle of a panel: then all rows get queries.
static void test_panels(void **state)
{
    (void)state;
    struct lowering_rules rules = floats;
    rules.column_multiple = WIDTH + 1;
    struct network *network = vit_tiny();
    struct lowering *lowering = transformer_lower(network, &rules);
    assert_int_equal(count(lowering, LOWERED_PRODUCT, TOKENS), 4 * (BLOCKS - 1) + 1);
    assert_int_equal(count(lowering, LOWERED_PRODUCT, 1), 3 + 1);
    free(lowering);
    network_free(network);
}

static void test_refusals(void **state)
{
    (void)state;
    struct network *network = vit_tiny();
    network->operations[network->operation_count - 1].kind = OP_SILU;
    assert_false(transformer_supports(network));
    network_free(network);
    network = vit_tiny();
    network->operations[network->explained_op].heads = WIDTH; // of one column each
    assert_false(transformer_supports(network));
    network_free(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_floats), cmocka_unit_test(test_bytes),
                                       cmocka_unit_test(test_panels), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
