// test_history.c: the table and the page of a training's epochs.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "tests/support/process.h"
#include "trainer/history.h"

static void rows_become_a_table_and_curves(void **state)
{
    (void)state;
    static struct history history;
    char folder[SCRATCH_SIZE], path[SCRATCH_SIZE + 16];
    struct error err = {""};
    struct buffer text;
    scratch_make(folder);
    history.rows[0] = (struct history_row){2.0625, 1.5, 0.25, 1e-6, 12.5};
    history.rows[1] = (struct history_row){1.25, NAN, NAN, 5e-5, 13};
    history.epochs = 2;
    history.best = 0;
    assert_int_equal(history_write(&history, folder, "vit-tiny", &err), STATUS_OK);
    snprintf(path, sizeof path, "%s/history.csv", folder);
    buffer_init(&text, 1 << 20);
    assert_int_equal(file_read(path, &text, &err), STATUS_OK);
    assert_int_equal(buffer_append(&text, "", 1, &err), STATUS_OK);
    assert_string_equal((const char *)text.data,
                        "epoch,train_loss,val_loss,val_balanced_accuracy,lr,images_per_s\n"
                        "0,2.0625,1.5,0.25,1e-06,12.5\n1,1.25,,,5e-05,13\n");
    buffer_clear(&text);
    snprintf(path, sizeof path, "%s/history.html", folder);
    assert_int_equal(file_read(path, &text, &err), STATUS_OK);
    assert_int_equal(buffer_append(&text, "", 1, &err), STATUS_OK);
    assert_non_null(
        strstr((const char *)text.data, "that of epoch 0 (from 0), with a balanced accuracy of 0.2500"));
    assert_non_null(strstr((const char *)text.data, "<polyline"));
    buffer_release(&text);
    scratch_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_become_a_table_and_curves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
