// test_gradient_list.c: the backward pass as data: each gradient is stored once, before anybody adds to it or
// reads it; what is frozen has no step.
#include "kernels/gradient_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "kernels/training.h"
#include "tests/support/mini_train.h"

static void make(struct gradient_list *list, const struct network *network, int freeze_blocks)
{
    struct training_options options = training_options_default();
    bool trained[NETWORK_MAX_PARAMETERS];
    options.freeze_blocks = freeze_blocks;
    for (int i = 0; i < network->parameter_count; i++)
        trained[i] = training_rate_factor(network, i, &options) > 0;
    gradient_list_make(list, network, trained);
}

static void use(bool *stored, int tensor, enum gradient_use use)
{
    if (use == GRADIENT_NONE)
        return;
    assert_int_equal(stored[tensor], use == GRADIENT_ADD);
    stored[tensor] = true;
}

static void check_order(const struct network *network, const struct gradient_list *list)
{
    static bool stored[NETWORK_MAX_TENSORS];
    memset(stored, 0, sizeof stored);
    stored[network->logits] = true; // by the loss
    for (int i = 0; i < list->count; i++) {
        const struct gradient_step *step = &list->steps[i];
        const struct operation *operation = &network->operations[step->operation];
        assert_true(stored[operation->output]); // read here
        use(stored, operation->input, step->input);
        use(stored, operation->second, step->second);
    }
    for (int i = 0; i < network->tensor_count; i++)
        assert_int_equal(stored[i], list->has_gradient[i]);
}

static const struct gradient_step *step_of(const struct gradient_list *list, int operation)
{
    for (int i = 0; i < list->count; i++)
        if (list->steps[i].operation == operation)
            return &list->steps[i];
    return NULL;
}

static void test_order(void **state)
{
    (void)state;
    static const char *const names[] = {"vit_tiny_patch16_224", "resnet18", "efficientnet_b4"};
    static struct gradient_list list;
    for (int i = 0; i < 3; i++) {
        struct network *network = NULL;
        struct error err;
        assert_int_equal(network_build(&network, names[i], 8, &err), STATUS_OK);
        for (int freeze = 0; freeze <= training_block_count(network); freeze++) {
            make(&list, network, freeze);
            check_order(network, &list);
        }
        network_free(network);
    }
}

static void test_what_is_kept(void **state)
{
    (void)state;
    static struct gradient_list list;
    struct network *network = mini_train();
    make(&list, network, 0);
    assert_int_equal(list.frozen_operations, 1);                // the first convolution
    assert_int_equal(list.count, network->operation_count - 1); // but for the view
    for (int i = 1; i < network->operation_count; i++) {
        const struct operation *operation = &network->operations[i];
        const struct gradient_step *step = step_of(&list, i);
        assert_non_null(step);
        assert_int_equal(step->diversity, i == network->explained_op);
        if (operation->kind == OP_GELU || operation->kind == OP_LINEAR || operation->kind == OP_ATTENTION)
            assert_true(list.kept[operation->input]);
        if (operation->kind == OP_RELU)
            assert_true(list.kept[operation->output]);
        if (operation->kind == OP_ADD) // its inputs are nobody's, or kept for another reason
            assert_false(list.kept[operation->input] && network_only_reader(network, operation->input) >= 0);
    }
    assert_int_equal(step_of(&list, 1)->input, GRADIENT_NONE); // nobody wants the image's
    network_free(network);
}

static void test_what_is_frozen(void **state)
{
    (void)state;
    static struct gradient_list list;
    struct network *network = mini_train();
    make(&list, network, 2);
    const struct operation *first = &network->operations[list.frozen_operations];
    assert_int_equal(first->kind, OP_LAYERNORM);
    assert_int_equal(list.steps[list.count - 1].operation, list.frozen_operations);
    assert_int_equal(list.steps[list.count - 1].input, GRADIENT_NONE);
    assert_int_equal(list.count, 3); // head, dropout, norm
    network_free(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_what_is_frozen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
