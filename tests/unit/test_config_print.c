// test_config_print.c: what the option table prints (--help, --print-config, documentation), that no secret
// is among it, and the configs that other tests make.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "common/program/config.h"
#include "common/services/kafka.h"
#include "common/services/object_store.h"
#include "tests/support/capture.h"
#include "tests/support/skip.h"
#include "worker/metrics_rows.h"

static int runs;

static enum status count_run(struct config *config, struct error *err)
{
    (void)config, (void)err;
    runs++;
    return STATUS_OK;
}

static const struct option bench_flags[] = {
    {"batch", OPTION_LIST, .initial = "1,4", .max = 256, .help = "batch sizes"},
    {"json", OPTION_SWITCH, .help = "one JSON object"},
    {0},
};

static const struct command commands[] = {
    {"run", "", 0, 0, "Answers jobs.", "skinsight-worker run --model m", NULL, count_run, NULL, NULL, NULL},
    {"bench", "FILE...", 1, 3, "Measures.", "skinsight-worker bench --batch 1,8 a.jpg", bench_flags,
     count_run, NULL, NULL, NULL},
    {"check", "", 0, 0, "Checks.", "skinsight-worker check", NULL, count_run, "model cache_ttl_s", NULL,
     NULL},
    {0},
};
static const struct program worker = {"skinsight-worker", PROGRAM_WORKER,  "Answers analysis jobs.",
                                      commands,           &worker_metrics, NULL};
static const struct program trainer = {"skinsight-trainer",      PROGRAM_TRAINER, "Trains.", commands, NULL,
                                       "built without a library"};

static struct capture out, err;

static int run(const char *line)
{
    runs = 0;
    return capture_program(&worker, line, &out, &err);
}

static int clear_environment(void **state)
{
    (void)state;
    unsetenv("SKINSIGHT_THREADS");
    unsetenv("SKINSIGHT_MODEL");
    unlink("test_config.conf");
    return 0;
}

static void test_built_in_values_are_valid(void **state)
{
    (void)state;
    for (const struct option *option = config_options; option->name; option++) {
        char setting[256];
        const char *settings[] = {setting};
        snprintf(setting, sizeof setting, "%s=%s", option->name, option->initial);
        for (unsigned bit = PROGRAM_PRODUCER; bit <= PROGRAM_TRAINER; bit *= 2) {
            if (!(option->programs & bit))
                continue;
            struct config *config = config_new_for_test(bit, settings, 1); // asserts when refused
            assert_string_equal(config_text(config, option->name), option->initial);
            config_free(config);
        }
        assert_non_null(option->help);
        assert_true(option->programs != 0);
    }
}

static void test_secrets_are_not_printed(void **state)
{
    (void)state;
    write_file("test_config.conf", "threads = 3\n");
    setenv("SKINSIGHT_MODEL", "m", 1);
    assert_int_equal(run("--print-config --config test_config.conf --cache redis://user:p@ss:w@host:1/2 "
                         "--s3-endpoint http://h:9 --set kafka.sasl.password=hidden "
                         "--set kafka.ssl.key.pem=hidden --set kafka.client.id=me"),
                     0);
    expect_text(out.text, "\ncache = redis://user:***@host:1/2  # command line\n");
    expect_text(out.text, "\ns3_endpoint = http://h:9  # command line\n");
    expect_text(out.text, "\nthreads = 3  # test_config.conf:1\n");
    expect_text(out.text, "\nmodel = m  # SKINSIGHT_MODEL\n");
    expect_text(out.text, "\nbatch_max = 8  # built-in\n");
    expect_text(out.text, "\nkafka.sasl.password = ***  # command line\n");
    expect_text(out.text, "\nkafka.client.id = me  # command line\n");
    expect_no_text(out.text, "hidden");
    expect_no_text(out.text, "ss:w");
    expect_no_text(out.text, "inline_limit_bytes"); // the producer's
    assert_int_equal(run("run --print-config --cache redis://:secret@host"), 0);
    expect_text(out.text, "\ncache = redis://:***@host  # command line\n");
    // A bad value of a secret isn't repeated either.
    assert_int_equal(run("run --cache redis://u:secret@h\001"), 2);
    assert_string_equal(err.text, "skinsight-worker: cache holds a control character\n");
}

static void test_printed_config_can_be_read(void **state)
{
    (void)state;
    assert_int_equal(run("--print-config --model dir/m --threads 12 --set kafka.client.id=me"), 0);
    write_file("test_config.conf", out.text);
    assert_int_equal(run("--print-config --config test_config.conf"), 0);
    expect_text(out.text, "\nmodel = dir/m  # test_config.conf:9\n");
    expect_text(out.text, "\nthreads = 12  # test_config.conf:13\n");
    expect_text(out.text, "\nkafka.client.id = me  # test_config.conf:");
}

static void test_help(void **state)
{
    (void)state;
    assert_int_equal(run("--help"), 0);
    expect_text(out.text, "\n  run    Answers jobs.\n  bench  Measures.\n  check  Checks.\n");
    assert_int_equal(run("bench -h"), 0);
    expect_text(out.text, "usage: skinsight-worker bench [flags] [options] FILE...\n");
    const char *flags = strstr(out.text, "\n  --batch N,...");
    const char *example = strstr(out.text, "\n  skinsight-worker bench --batch 1,8 a.jpg\n");
    const char *options = strstr(out.text, "\n  --brokers ");
    assert_true(flags && example && options && flags < example && example < options);
    expect_no_text(out.text, "--inline-limit-bytes");
    for (const char *line = out.text; *line; line = strchr(line, '\n') + 1)
        assert_true(strcspn(line, "\n") <= 120);
    assert_int_equal(run("run --help"), 0);
    expect_text(out.text, "\n  --cache URL");
    assert_int_equal(run("check --help"), 0);
    expect_text(out.text, "\n  --model DIR");
    expect_text(out.text, "\n  --cache-ttl-s S");
    expect_text(out.text, "\n  --log-level ");
    expect_no_text(out.text, "--cache URL");
    assert_int_equal(runs, 0);
    assert_int_equal(run("--version"), 0);
    expect_text(out.text, "skinsight-worker 0.");
    assert_int_equal(capture_program(&trainer, "--version", &out, &err), 0);
    expect_text(out.text, "\nbuilt without a library\n");
    assert_int_equal(capture_program(&trainer, "--help", &out, &err), 0);
    expect_text(out.text, "\n\nbuilt without a library\n");
}

static void test_documentation(void **state)
{
    (void)state;
    assert_int_equal(capture_program(&trainer, "--print-documentation", &out, &err), 0);
    expect_text(out.text, "\n| `batch_max` | worker | `8` | 1 to 256 | images computed together at most |\n");
    for (const struct option *option = config_options; option->name; option++) {
        char row[128];
        snprintf(row, sizeof row, "\n| `%s` | ", option->name);
        expect_text(out.text, row);
    }
    assert_int_equal(run("--print-metrics-documentation"), 0);
    expect_text(out.text, "\n| `skinsight_jobs_answered_total` | counter |");
    assert_int_equal(capture_program(&trainer, "--print-metrics-documentation", &out, &err), 1);
    assert_string_equal(err.text, "skinsight-trainer measures nothing\n");
}

static void test_lost_output_is_a_failure(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY);
    if (full < 0)
        SKIP("/dev/full can't be opened");
    char name[] = "skinsight-worker", help[] = "--help";
    capture_start(&err, STDERR_FILENO);
    capture_start(&out, STDOUT_FILENO);
    dup2(full, STDOUT_FILENO);
    int code = config_main(&worker, 2, (char *[]){name, help, NULL});
    clearerr(stdout);
    capture_stop(&out);
    capture_stop(&err);
    close(full);
    assert_int_equal(code, 1);
    assert_string_equal(err.text, "skinsight-worker: standard output can't be written\n");
}

static void test_config_for_tests(void **state)
{
    (void)state;
    setenv("SKINSIGHT_THREADS", "5", 1);
    const char *const settings[] = {"log_level=info", "kafka.client.id=1"};
    struct config *config = config_new_for_test(PROGRAM_WORKER, settings, 2);
    assert_int_equal(config_integer(config, "threads"), 0); // the environment isn't read
    assert_int_equal(config_choice(config, "log_level"), 1);
    assert_int_equal(config_choice(config, "backend"), 0);
    const struct kafka_cluster *cluster = config_kafka(config);
    assert_int_equal(cluster->property_count, 1);
    assert_string_equal(cluster->properties[0].property, "client.id");
    assert_string_equal(cluster->properties[0].value, "1");
    config_free(config);
    config_free(NULL);
}

static void expect_root(const char *root)
{
    struct config *config = config_new_for_test(PROGRAM_WORKER, NULL, 0);
    struct object_store_options options;
    config_objects(config, &options);
    assert_string_equal(options.root, root);
    config_free(config);
}

static void test_objects(void **state)
{
    (void)state;
    char *home = memory_strdup(getenv("HOME") ? getenv("HOME") : "");
    setenv("HOME", "/home/doctor", 1);
    setenv("XDG_STATE_HOME", "/state", 1);
    expect_root("file:///state/skinsight");
    setenv("XDG_STATE_HOME", "relative", 1);
    expect_root("file:///home/doctor/.local/state/skinsight");
    unsetenv("XDG_STATE_HOME");
    expect_root("file:///home/doctor/.local/state/skinsight");
    unsetenv("HOME");
    expect_root("file:///var/lib/skinsight");
    const char *settings[] = {"objects=s3://bucket/p", "s3_endpoint=http://127.0.0.1:7070",
                              "s3_region=eu-central-1", "object_timeout_ms=1234"};
    struct object_store_options options;
    struct config *config = config_new_for_test(PROGRAM_PRODUCER, settings, 4);
    config_objects(config, &options);
    assert_string_equal(options.root, "s3://bucket/p");
    assert_string_equal(options.s3_endpoint, "http://127.0.0.1:7070");
    assert_string_equal(options.s3_region, "eu-central-1");
    assert_int_equal(options.timeout_ms, 1234);
    config_free(config);
    setenv("HOME", home, 1);
    free(home);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, clear_environment, clear_environment)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_built_in_values_are_valid),
        TEST(test_secrets_are_not_printed),
        TEST(test_printed_config_can_be_read),
        TEST(test_help),
        TEST(test_documentation),
        TEST(test_lost_output_is_a_failure),
        TEST(test_config_for_tests),
        TEST(test_objects),
    };
    // Written files go to a folder of their own, which the test leaves empty and removes.
    char folder[] = P_tmpdir "/skinsight-test-config-XXXXXX";
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return chdir("/") != 0 || rmdir(folder) != 0 ? 1 : failed;
}
