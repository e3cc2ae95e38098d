// test_config.c: where values come from and which wins, what is refused and in which words. Whole command
// lines go through config_main; test_config_print.c has what is printed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/program/config.h"
#include "common/services/kafka.h"
#include "tests/support/capture.h"

// What the last command saw.
static struct seen {
    int runs;
    char brokers[CONFIG_TEXT_MAX + 1];
    char model[CONFIG_TEXT_MAX + 1];
    char precision[CONFIG_TEXT_MAX + 1];
    int64_t threads;
    bool json;
    int64_t batch[4];
    size_t batch_count;
    size_t arguments;
    char last_argument[64];
    char kafka[256];
} seen;

static void see_kafka(const struct kafka_cluster *cluster)
{
    assert_string_equal(cluster->brokers, seen.brokers);
    for (size_t i = 0; i < cluster->property_count; i++) {
        size_t used = strlen(seen.kafka);
        snprintf(seen.kafka + used, sizeof seen.kafka - used, "%s=%s;", cluster->properties[i].property,
                 cluster->properties[i].value);
    }
}

static void see_shared(const struct config *config)
{
    seen.runs++;
    snprintf(seen.brokers, sizeof seen.brokers, "%s", config_text(config, "brokers"));
    snprintf(seen.model, sizeof seen.model, "%s", config_text(config, "model"));
    seen.threads = config_integer(config, "threads");
    seen.arguments = config_argument_count(config);
    if (seen.arguments)
        snprintf(seen.last_argument, sizeof seen.last_argument, "%s",
                 config_argument(config, seen.arguments - 1));
    see_kafka(config_kafka(config));
}

static enum status run_plain(struct config *config, struct error *err)
{
    assert_string_equal(err->message, "");
    see_shared(config);
    return STATUS_OK;
}

static enum status run_bench(struct config *config, struct error *err)
{
    see_shared(config);
    seen.json = config_switch(config, "json");
    seen.batch_count = config_list(config, "batch", seen.batch, 4);
    snprintf(seen.precision, sizeof seen.precision, "%s", config_text(config, "precision"));
    if (seen.json)
        return error_said(err);
    return error_set(err, STATUS_RETRY, "no luck");
}

static enum status check_bench(const struct config *config, struct error *err)
{
    if (config_list(config, "batch", NULL, 0) > 0)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "no batch sizes");
}

static const struct option bench_flags[] = {
    {"batch", OPTION_LIST, .initial = "1,4", .max = 256, .help = "batch sizes"},
    {"json", OPTION_SWITCH, .help = "one JSON object"},
    {"precision", OPTION_TEXT, .initial = "own", .value = "P", .help = "hides the shared option"},
    {0},
};

static const struct option convert_flags[] = {
    {"out", OPTION_TEXT, .initial = "", .value = "DIR", .help = "the new one"},
    {0},
};

static const struct command commands[] = {
    {"run", "", 0, 0, "Answers jobs.", "skinsight-worker run --model m", NULL, run_plain, NULL, NULL, NULL},
    {"bench", "FILE...", 1, 3, "Measures.", "skinsight-worker bench --batch 1,8 a.jpg", bench_flags,
     run_bench, NULL, NULL, check_bench},
    {"convert", "", 0, 0, "Converts.", "skinsight-worker convert --out x", convert_flags, run_plain, NULL,
     "model out", NULL},
    {0},
};
static const struct program worker = {"skinsight-worker", PROGRAM_WORKER, "Answers analysis jobs.",
                                      commands,           NULL,           NULL};

static struct capture out, err;

static int run(const char *line)
{
    memset(&seen, 0, sizeof seen);
    return capture_program(&worker, line, &out, &err);
}

// Exit code 2, nothing run, nothing on standard output, and exactly this sentence.
static void expect_usage(const char *line, const char *sentence)
{
    char whole[CAPTURE_SIZE];
    int code = run(line);
    snprintf(whole, sizeof whole, "skinsight-worker: %s\n", sentence);
    assert_string_equal(err.text, whole);
    assert_string_equal(out.text, "");
    assert_int_equal(code, 2);
    assert_int_equal(seen.runs, 0);
}

static int clear_environment(void **state)
{
    (void)state;
    unsetenv("SKINSIGHT_THREADS");
    unsetenv("SKINSIGHT_MODEL");
    unsetenv("SKINSIGHT_NONSENSE");
    unsetenv("SKINSIGHT_INLINE_LIMIT_BYTES");
    unsetenv("SKINSIGHT_SIMULATED_US");
    unsetenv("SKINSIGHT_TEST_LEAK");
    unsetenv("SKINSIGHT_threads");
    unlink("test_config.conf");
    return 0;
}

static void test_later_sources_win(void **state)
{
    (void)state;
    write_file("test_config.conf", "threads = 3\nmodel = from-file\n");
    assert_int_equal(run("run"), 0);
    assert_int_equal(seen.threads, 0);
    assert_int_equal(run("run --config test_config.conf"), 0);
    assert_int_equal(seen.threads, 3);
    setenv("SKINSIGHT_THREADS", "5", 1);
    setenv("SKINSIGHT_NONSENSE", "ignored", 1);
    assert_int_equal(run("run --config test_config.conf"), 0);
    assert_int_equal(seen.threads, 5);
    assert_string_equal(seen.model, "from-file");
    // The command line wins also where it stands before the file.
    assert_int_equal(run("run --threads 7 --config test_config.conf"), 0);
    assert_int_equal(seen.threads, 7);
    assert_int_equal(run("run --set threads=8 --config test_config.conf --set threads=9"), 0);
    assert_int_equal(seen.threads, 9);
}

// One line names each; the value may be a password.
static void test_unknown_variables_are_named(void **state)
{
    (void)state;
    setenv("SKINSIGHT_THREADS", "5", 1);
    setenv("SKINSIGHT_INLINE_LIMIT_BYTES", "1", 1); // another program's
    setenv("SKINSIGHT_SIMULATED_US", "0,1", 1);
    assert_int_equal(run("run"), 0);
    assert_string_equal(err.text, "");
    setenv("SKINSIGHT_TEST_LEAK", "1", 1); // worker/faults.h: the service has no faults to be asked for
    setenv("SKINSIGHT_NONSENSE", "secret", 1);
    setenv("SKINSIGHT_threads", "", 1);
    assert_int_equal(run("run"), 0);
    expect_text(err.text, "level=warn program=skinsight-worker event=environment_ignored "
                          "variable=SKINSIGHT_NONSENSE\n");
    expect_text(err.text, "variable=SKINSIGHT_threads\n");
    expect_text(err.text, "variable=SKINSIGHT_TEST_LEAK\n");
    assert_null(strstr(err.text, "secret"));
    assert_int_equal(run("run --log-level error"), 0);
    assert_string_equal(err.text, "");
}

static void test_ways_to_write_an_option(void **state)
{
    (void)state;
    assert_int_equal(run("--threads 2 run --model=a=b"), 0);
    assert_int_equal(seen.threads, 2);
    assert_string_equal(seen.model, "a=b");
    assert_int_equal(run("run --model="), 0);
    assert_string_equal(seen.model, "");
    assert_int_equal(run("run --set model~=~x~y~"), 0);
    assert_string_equal(seen.model, "x y");
    assert_int_equal(run("run --cache_ttl_s 60 --cache-ttl-s 61 --print-config"), 0);
    expect_text(out.text, "cache_ttl_s = 61  # command line\n");
}

static void test_flags_and_arguments(void **state)
{
    (void)state;
    assert_int_equal(run("bench a.jpg"), 1);
    assert_string_equal(err.text, "skinsight-worker bench: no luck\n");
    assert_false(seen.json);
    assert_int_equal(seen.batch_count, 2);
    assert_int_equal(seen.batch[1], 4);
    assert_string_equal(seen.precision, "own");
    assert_int_equal(run("bench a.jpg --batch 16,1,256 --json --precision anything -- --json"), 1);
    assert_string_equal(err.text, ""); // it has said itself what is wrong
    assert_true(seen.json);
    assert_int_equal(seen.batch_count, 3);
    assert_int_equal(seen.batch[2], 256);
    assert_string_equal(seen.precision, "anything");
    assert_int_equal(seen.arguments, 2);
    assert_string_equal(seen.last_argument, "--json");
    assert_int_equal(run("bench --json=false -"), 1);
    assert_false(seen.json);
    assert_string_equal(seen.last_argument, "-");
    assert_int_equal(run("bench --batch 1,2,3,4,5,6 a"), 1); // more than the caller's four
    assert_int_equal(seen.batch_count, 6);
    assert_int_equal(seen.batch[3], 4);
}

static void test_bounds_of_integers(void **state)
{
    (void)state;
    static const char *const bad[] = {"0", "257", "-1", "8x", "", "+8", "0x8", "8.0", "99999999999999999999"};
    assert_int_equal(run("run --batch-max 1"), 0);
    assert_int_equal(run("run --batch-max 256"), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char line[128], sentence[256];
        snprintf(line, sizeof line, "run --batch-max=%s", bad[i]);
        snprintf(sentence, sizeof sentence, "batch_max must be a whole number from 1 to 256, not '%s'",
                 bad[i]);
        expect_usage(line, sentence);
    }
}

static void test_bad_values(void **state)
{
    (void)state;
    expect_usage("run --backend gpu", "backend must be one of auto|cpu|cuda|simulated, not 'gpu'");
    expect_usage("run --backend cp", "backend must be one of auto|cpu|cuda|simulated, not 'cp'");
    expect_usage("run --jobs-topic a/b", "jobs_topic may hold only letters, digits, '.', '_' and '-'");
    expect_usage("run --brokers=", "brokers must not be empty");
    expect_usage("run --model=a\tb", "model holds a control character");
    expect_usage("bench a --json=yes", "json must be true or false, not 'yes'");
    static const char *const lists[] = {"0", "257", "1,,2", ",1", "1,", "1,x", "1;2"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char line[128], sentence[256];
        snprintf(line, sizeof line, "bench a --batch=%s", lists[i]);
        snprintf(sentence, sizeof sentence,
                 "batch must be whole numbers from 1 to 256 with commas between, not '%s'", lists[i]);
        expect_usage(line, sentence);
    }
}

static void test_length_of_text(void **state)
{
    (void)state;
    char line[CONFIG_TEXT_MAX + 64];
    int start = snprintf(line, sizeof line, "run --model=");
    memset(line + start, 'm', CONFIG_TEXT_MAX);
    line[start + CONFIG_TEXT_MAX] = '\0';
    assert_int_equal(run(line), 0);
    assert_int_equal(strlen(seen.model), CONFIG_TEXT_MAX);
    strcpy(line + start + CONFIG_TEXT_MAX, "m");
    expect_usage(line, "model has more than 1023 characters");
}

static void test_wrong_usage(void **state)
{
    (void)state;
    expect_usage("rnu", "unknown command 'rnu', did you mean 'run'?");
    expect_usage("something", "unknown command 'something'; --help lists them");
    expect_usage("run --modle x", "unknown option '--modle', did you mean '--model'?");
    expect_usage("run --batchmax=3", "unknown option '--batchmax', did you mean '--batch-max'?");
    expect_usage("run --colour red", "unknown option '--colour'");
    expect_usage("run --json", "unknown option '--json'"); // a flag of bench
    expect_usage("run --help=1", "option '--help' takes no value");
    expect_usage("run -x", "unknown option '-x'");
    expect_usage("run --feedback-topic t", "unknown option '--feedback-topic'"); // not the worker's
    expect_usage("run --set inline_limit_bytes=3", "--set: this program has no option 'inline_limit_bytes'");
    expect_usage("run --set nonsense=3", "--set: there is no option 'nonsense'");
    expect_usage("run --set threads", "--set: a setting is name=value, here '=' is missing");
    expect_usage("run --model", "option '--model' needs a value");
    expect_usage("run --model --threads 3", "option '--model' needs a value");
    expect_usage("run --set", "option '--set' needs a value");
    expect_usage("run extra", "'run' has no use for 'extra'; --help shows what it takes");
    expect_usage("bench", "'bench' needs FILE...; --help shows what it takes");
    expect_usage("bench a b c d", "'bench' has no use for 'd'; --help shows what it takes");
    assert_int_equal(run(""), 2);
    assert_string_equal(out.text, "");
    expect_text(err.text, "usage: skinsight-worker COMMAND");
}

static void test_what_a_command_needs(void **state)
{
    (void)state;
    assert_int_equal(run("convert --model m"), 2);
    assert_string_equal(err.text, "skinsight-worker convert: --out DIR is missing: the new one\n");
    assert_int_equal(run("convert --out x"), 2);
    assert_non_null(strstr(err.text, "--model DIR is missing"));
    assert_int_equal(seen.runs, 0);
    assert_int_equal(run("convert --model m --out x"), 0);
    assert_int_equal(seen.runs, 1);
}

static void test_environment_is_checked(void **state)
{
    (void)state;
    setenv("SKINSIGHT_THREADS", "many", 1);
    expect_usage("run", "SKINSIGHT_THREADS: threads must be a whole number from 0 to 256, not 'many'");
    assert_int_equal(run("run --help"), 0); // help helps in any case
}

static void test_config_file(void **state)
{
    (void)state;
    write_file("test_config.conf", "# a comment\n\n  threads=4   # four\r\n\tmodel = a#b c\t# path\n"
                                   "inline_limit_bytes = 7\nkafka.security.protocol = ssl\nbatch_max = 9");
    assert_int_equal(run("run --config test_config.conf"), 0);
    assert_int_equal(seen.threads, 4);
    assert_string_equal(seen.model, "a#b c");
    assert_string_equal(seen.kafka, "security.protocol=ssl;");

    write_file("test_config.conf", "threads = 4\nnonsense = 1\n");
    expect_usage("run --config test_config.conf", "test_config.conf:2: there is no option 'nonsense'");
    write_file("test_config.conf", "\nthreads 4\n");
    expect_usage("run --config test_config.conf",
                 "test_config.conf:2: a setting is name=value, here '=' is missing");
    write_file("test_config.conf", "inline_limit_bytes = x\n"); // another program's, checked all the same
    expect_usage("run --config test_config.conf",
                 "test_config.conf:1: inline_limit_bytes must be a whole number from 0 to 6291456, not 'x'");
    expect_usage("run --config missing.conf",
                 "the config file missing.conf can't be opened: No such file or directory");
    expect_usage("run --config .", ". can't be read: Is a directory");
}

static void test_long_lines_of_a_config_file(void **state)
{
    (void)state;
    char text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    write_file("test_config.conf", text);
    expect_usage("run --config test_config.conf",
                 "test_config.conf:1: the line is longer than 2046 bytes or not text");
    FILE *file = fopen("test_config.conf", "w");
    assert_non_null(file);
    assert_int_equal(fwrite("threads = 1\0\nthreads = 2\n", 1, 25, file), 25);
    assert_int_equal(fclose(file), 0);
    expect_usage("run --config test_config.conf",
                 "test_config.conf:1: the line is longer than 2046 bytes or not text");
}

static void test_kafka_properties(void **state)
{
    (void)state;
    write_file("test_config.conf", "kafka.client.id = 1\nkafka.client.rack = 2\n");
    assert_int_equal(
        run("run --set kafka.client.rack=3 --config test_config.conf --set kafka.sasl.username=4"), 0);
    assert_string_equal(seen.kafka, "client.rack=3;client.id=1;sasl.username=4;");
    expect_usage("run --set kafka.=3", "--set: 'kafka.' needs the name of a librdkafka property");
    expect_usage("run --set kafka.acks=1",
                 "--set: kafka.acks can't be set: exactly one answer for each job rests on it");
    expect_usage("run --set kafka.no.such=1",
                 "--set: kafka.no.such: No such configuration property: \"no.such\"");
}

// Whatever the command, and wherever it comes from.
static void test_addresses(void **state)
{
    static const char redis[] = "the URL of Redis must be redis://[user:password@]host[:port][/database] or "
                                "unix://[user:password@]/path";
    char sentence[256];
    (void)state;
    expect_usage("run --cache redis://", redis);
    expect_usage("run --objects ftp://host",
                 "the object store 'ftp://host' is neither file:///folder nor s3://bucket/prefix");
    expect_usage("run --objects s3://b", "the object store must be s3://bucket or s3://bucket/prefix");
    expect_usage("run --s3-endpoint host:9000",
                 "s3_endpoint must be http://host:port or https://host, without a path");
    expect_usage("run --s3-region eu_central", "s3_region must be the name of a region, like eu-central-1");
    expect_usage("run --http-address foo", "'foo' is not host:port or :port with a port up to 65535");
    setenv("SKINSIGHT_CACHE", "memcached://host", 1);
    snprintf(sentence, sizeof sentence, "SKINSIGHT_CACHE: %s", redis);
    expect_usage("run", sentence);
    unsetenv("SKINSIGHT_CACHE");
    assert_int_equal(run("run --cache none --objects s3://bucket/prefix --s3-endpoint http://[::1]:9 "
                         "--http-address :0"),
                     0);
    assert_int_equal(run("run --cache redis://u:p@host:1/2 --objects= --s3-endpoint= --http-address="), 0);
}

static void test_values_together(void **state)
{
    (void)state;
    assert_int_equal(run("bench --batch= a.jpg"), 2);
    assert_string_equal(err.text, "skinsight-worker bench: no batch sizes\n");
    assert_int_equal(seen.runs, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, clear_environment, clear_environment)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_later_sources_win),    TEST(test_ways_to_write_an_option),
        TEST(test_flags_and_arguments),  TEST(test_bounds_of_integers),
        TEST(test_bad_values),           TEST(test_length_of_text),
        TEST(test_wrong_usage),          TEST(test_environment_is_checked),
        TEST(test_config_file),          TEST(test_long_lines_of_a_config_file),
        TEST(test_kafka_properties),     TEST(test_unknown_variables_are_named),
        TEST(test_what_a_command_needs), TEST(test_addresses),
        TEST(test_values_together),
    };
    // Written files go to a folder of their own, which the test leaves empty and removes.
    char folder[] = P_tmpdir "/skinsight-test-config-XXXXXX";
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return chdir("/") != 0 || rmdir(folder) != 0 ? 1 : failed;
}
