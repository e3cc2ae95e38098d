// test_checkpoint.c: a checkpoint comes back exactly, survives a death at any moment of its making, and is
// refused for another training.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "tests/support/lesions.h"
#include "tests/support/process.h"
#include "trainer/checkpoint.h"

enum { VALUES = 1000 };

static char folder[SCRATCH_SIZE];
static struct checkpoint one, other;
static float values[VALUES], back[VALUES];
static struct error err;

static int make_folder(void **state)
{
    (void)state;
    scratch_make(folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

static void fill(int64_t steps)
{
    memset(&one, 0, sizeof one);
    strcpy(one.build, "0.1.0+abc");
    strcpy(one.architecture, "vit_tiny_patch16_224");
    one.image_size = 224;
    one.data = digest_of("data", 4);
    strcpy(one.recipe, "lr=1e-4\nseed=7\n");
    one.epoch = 2;
    one.batch = 17;
    one.steps = steps;
    one.loss_sum = 1.0 / 3;
    one.seconds = 12.25;
    one.waiting = 1;
    one.values = VALUES;
    one.history.epochs = 2;
    one.history.best = 0;
    one.history.rows[0] = (struct history_row){0.1, 0.2, 0.3, 1e-6, 17};
    one.history.rows[1] = (struct history_row){nextafter(0.1, 1), NAN, NAN, 1e-4, INFINITY};
}

static void write_all(int64_t steps)
{
    fill(steps);
    for (int part = 0; part < CHECKPOINT_PARTS; part++) {
        for (int i = 0; i < VALUES; i++)
            values[i] = (float)(steps * 10 + part) + (float)i / VALUES;
        if (checkpoint_write_block(folder, &one, (enum checkpoint_part)part, values, &err) != STATUS_OK)
            fail_msg("%s", err.message);
    }
    assert_int_equal(checkpoint_write(folder, &one, &err), STATUS_OK);
}

static void check_block(enum checkpoint_part part, int64_t steps)
{
    if (checkpoint_read_block(folder, &other, part, back, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    for (int i = 0; i < VALUES; i++)
        assert_true(back[i] == (float)(steps * 10 + (int)part) + (float)i / VALUES);
}

static int files_of_folder(void)
{
    int count = 0;
    char command[SCRATCH_SIZE + 32];
    snprintf(command, sizeof command, "ls %s | wc -l", folder);
    FILE *list = popen(command, "r");
    assert_int_equal(fscanf(list, "%d", &count), 1);
    pclose(list);
    return count;
}

static void it_comes_back_exactly(void **state)
{
    (void)state;
    assert_false(checkpoint_exists(folder));
    write_file(folder, "parameters-50.bin.partial", "SSBLOCK1", 8); // of a process that was killed
    write_all(100);
    assert_true(checkpoint_exists(folder));
    assert_int_equal(files_of_folder(), CHECKPOINT_PARTS + 1);
    if (checkpoint_read(folder, &other, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_true(memcmp(&one.history.rows[1].train_loss, &other.history.rows[1].train_loss, sizeof(double)) ==
                0);
    assert_true(isnan(other.history.rows[1].validation_loss) && isinf(other.history.rows[1].images_per_s));
    assert_true(other.loss_sum == 1.0 / 3 && other.seconds == 12.25 && other.waiting == 1);
    assert_true(other.epoch == 2 && other.batch == 17 && other.steps == 100 && other.values == VALUES);
    assert_int_equal(other.history.best, 0);
    assert_string_equal(other.recipe, one.recipe);
    for (int part = 0; part < CHECKPOINT_PARTS; part++)
        check_block((enum checkpoint_part)part, 100);
    assert_int_equal(checkpoint_check(&other, &one, false, &err), STATUS_OK);
}

// A death after each block, and the next checkpoint over what it left.
static void a_death_leaves_the_last_one(void **state)
{
    (void)state;
    write_all(200);
    for (int last = 0; last < CHECKPOINT_PARTS; last++) {
        fill(201 + last);
        for (int part = 0; part <= last; part++)
            assert_int_equal(checkpoint_write_block(folder, &one, (enum checkpoint_part)part, values, &err),
                             STATUS_OK);
        assert_int_equal(checkpoint_read(folder, &other, &err), STATUS_OK);
        assert_int_equal(other.steps, 200);
        check_block(CHECKPOINT_PARAMETERS, 200);
        check_block(CHECKPOINT_BEST, 200);
    }
    write_all(300);
    assert_int_equal(checkpoint_read(folder, &other, &err), STATUS_OK);
    check_block(CHECKPOINT_SECOND, 300);
    assert_int_equal(files_of_folder(), CHECKPOINT_PARTS + 1); // nothing of the others is left
}

static void a_full_disk_leaves_the_last_one(void **state)
{
    (void)state;
    struct rlimit before, small = {1000, RLIM_INFINITY};
    write_all(400);
    fill(401);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum status status = checkpoint_write_block(folder, &one, CHECKPOINT_PARAMETERS, values, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, STATUS_FATAL);
    assert_non_null(strstr(err.message, "can't be written"));
    assert_int_equal(checkpoint_read(folder, &other, &err), STATUS_OK);
    check_block(CHECKPOINT_FIRST, 400);
    assert_int_equal(files_of_folder(), CHECKPOINT_PARTS + 1);
}

static void check_damaged(const char *name, size_t at)
{
    char path[SCRATCH_SIZE + CHECKPOINT_NAME_SIZE + 2];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, (long)at, SEEK_SET);
    int byte = fgetc(file);
    fseek(file, (long)at, SEEK_SET);
    fputc(byte ^ 1, file);
    fclose(file);
    assert_int_equal(checkpoint_read_block(folder, &other, CHECKPOINT_PARAMETERS, back, &err),
                     STATUS_REJECTED);
    assert_non_null(strstr(err.message, "is damaged"));
}

static void damage_is_found(void **state)
{
    (void)state;
    static const size_t places[] = {0, 8, 16, 16 + 4 * VALUES - 1};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        write_all(500);
        assert_int_equal(checkpoint_read(folder, &other, &err), STATUS_OK);
        check_damaged(other.parts[CHECKPOINT_PARAMETERS].file, places[i]);
    }
    write_all(500);
    write_file(folder, "parameters-500.bin", "SSBLOCK1", 8);
    assert_int_equal(checkpoint_read_block(folder, &other, CHECKPOINT_PARAMETERS, back, &err),
                     STATUS_REJECTED);
}

static void check_refused(const char *sentence)
{
    assert_int_equal(checkpoint_check(&other, &one, false, &err), STATUS_REJECTED);
    if (!strstr(err.message, sentence))
        fail_msg("'%s' does not say '%s'", err.message, sentence);
    fill(600);
}

static void another_training_is_refused(void **state)
{
    (void)state;
    write_all(600);
    assert_int_equal(checkpoint_read(folder, &other, &err), STATUS_OK);
    strcpy(one.architecture, "resnet18");
    check_refused("is of vit_tiny_patch16_224, this run of resnet18");
    one.image_size = 128;
    check_refused("images of 224 pixels a side, this run of 128");
    one.data = digest_of("other", 5);
    check_refused("another data set or split");
    strcpy(one.build, "0.1.0+def");
    assert_int_equal(checkpoint_check(&other, &one, true, &err), STATUS_OK);
    check_refused("is of build 0.1.0+abc, this is 0.1.0+def");
    strcpy(one.recipe, "lr=1e-4\nseed=8\n");
    check_refused("was made with seed=7, this run has seed=8");
    strcpy(one.recipe, "lr=1e-4\n");
    check_refused("was made with seed=7, this run has none of it:");
}

static void bad_texts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "{}", "{\"schema\":\"skinsight.checkpoint.v2\"}",
                                      "{\"schema\":\"skinsight.checkpoint.v1\"}", "[1]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(
            checkpoint_parse((struct bytes){(const uint8_t *)bad[i], strlen(bad[i])}, &other, &err),
            STATUS_REJECTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_back_exactly),           cmocka_unit_test(a_death_leaves_the_last_one),
        cmocka_unit_test(a_full_disk_leaves_the_last_one), cmocka_unit_test(damage_is_found),
        cmocka_unit_test(another_training_is_refused),     cmocka_unit_test(bad_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
