// test_audit_heads.c: heads of the audit's chain, signed and exported while it is written.
#include "common/audit/audit.h"

#include <arpa/inet.h>
#include <glob.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/audit/settings.h"
#include "common/audit/signing.h"
#include "common/services/object_store.h"
#include "tests/support/process.h"

enum { TIMEOUT_MS = 10000, HOUR_MS = 3600 * 1000 };

static char folder[SCRATCH_SIZE];
static char url[SCRATCH_SIZE + 32];
static int stores; // each case has its own
static struct error err;
static const struct audit_entry entry = {
    .action = AUDIT_REQUEST, .actor = "dr-lee", .site = "north", .request_id = "r1", .outcome = "ok"};

#define GOOD(call)                                                                                           \
    do {                                                                                                     \
        if ((call) != STATUS_OK)                                                                             \
            fail_msg("line %d: %s", __LINE__, err.message);                                                  \
    } while (0)

static int new_store(void **state)
{
    (void)state;
    snprintf(url, sizeof url, "sqlite://%s/store%d.db", folder, ++stores);
    return 0;
}

static struct sql *open_store(void)
{
    const struct sql_options options = {.url = url, .timeout_ms = TIMEOUT_MS};
    struct sql *sql;
    GOOD(sql_open(&sql, &options, &err));
    return sql;
}

static struct signer *new_signer(void)
{
    char path[SCRATCH_SIZE + 32];
    struct signer *signer;
    snprintf(path, sizeof path, "%s/key%d.pem", folder, stores);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    FILE *file = fopen(path, "w");
    chmod(path, 0600);
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    EVP_PKEY_free(key);
    GOOD(signer_open(&signer, path, &err));
    return signer;
}

static struct audit_options options_for(const char *chain, struct signer *signer)
{
    return (struct audit_options){.store = {.url = url, .timeout_ms = TIMEOUT_MS},
                                  .chain = chain,
                                  .signer = signer,
                                  .sign_interval_ms = HOUR_MS};
}

// The path of the only exported head of chain "signed" at this entry. False: there is none yet.
static bool find_exported(int seq, char path[SCRATCH_SIZE + 128])
{
    char pattern[SCRATCH_SIZE + 64];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/objects/audit/signed/%020d-*.json", folder, seq);
    bool there = glob(pattern, 0, NULL, &found) == 0;
    if (there) {
        assert_int_equal(found.gl_pathc, 1);
        snprintf(path, SCRATCH_SIZE + 128, "%s", found.gl_pathv[0]);
    }
    globfree(&found);
    return there;
}

static void test_the_head_is_signed_and_exported(void **state)
{
    (void)state;
    char path[SCRATCH_SIZE + 128], root[SCRATCH_SIZE + 64], signed_line[AUDIT_HEAD_LINE_MOST] = "";
    struct signer *signer = new_signer();
    struct object_store *objects;
    struct audit *audit;
    snprintf(root, sizeof root, "file://%s/objects", folder);
    const struct object_store_options store = {
        .root = root, .s3_endpoint = "", .s3_region = "r", .timeout_ms = 1000};
    GOOD(object_store_open(&objects, &store, &err));
    struct audit_options options = options_for("signed", signer);
    options.objects = objects;
    options.sign_interval_ms = 20;
    GOOD(audit_open(&audit, &options, &err));
    GOOD(audit_append(audit, &entry, &err));
    for (int64_t deadline = clock_monotonic_ms() + TIMEOUT_MS; !find_exported(1, path);) { // while it runs
        assert_true(clock_monotonic_ms() < deadline);
        poll(NULL, 0, 5);
    }
    GOOD(audit_append(audit, &entry, &err));
    audit_close(audit); // signs the last one
    assert_true(find_exported(2, path));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(signed_line, sizeof signed_line, file));
    fclose(file);
    signed_line[strcspn(signed_line, "\n")] = '\0';
    struct sql *sql = open_store();
    bool found;
    GOOD(sql_find(sql, "SELECT line FROM audit_heads WHERE seq = 2", NULL, 0, &found, &err));
    assert_true(found);
    assert_string_equal(sql_text(sql, 0), signed_line);
    assert_int_equal(sql_run(sql, "DELETE FROM audit_heads", NULL, 0, NULL, &err), STATUS_REJECTED);
    sql_close(sql);
    object_store_close(objects);
    signer_close(signer);
}

// A server that never answers: connections wait unaccepted until it is closed.
static int open_silent_server(char endpoint[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    snprintf(endpoint, 64, "http://127.0.0.1:%d", ntohs(address.sin_port));
    return listener;
}

static void wait_for_client(int listener)
{
    assert_int_equal(poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, TIMEOUT_MS), 1);
}

static void test_no_entry_waits_for_the_export(void **state)
{
    (void)state;
    char endpoint[64];
    struct signer *signer = new_signer();
    struct object_store *objects;
    struct audit *audit;
    int listener = open_silent_server(endpoint);
    setenv("AWS_ACCESS_KEY_ID", "key", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    const struct object_store_options store = {
        .root = "s3://audit", .s3_endpoint = endpoint, .s3_region = "r", .timeout_ms = TIMEOUT_MS};
    GOOD(object_store_open(&objects, &store, &err));
    struct audit_options options = options_for("waits", signer);
    options.objects = objects;
    options.sign_interval_ms = 1;
    GOOD(audit_open(&audit, &options, &err));
    GOOD(audit_append(audit, &entry, &err));
    wait_for_client(listener); // the export is under way
    int64_t start_ms = clock_monotonic_ms();
    GOOD(audit_append(audit, &entry, &err));
    assert_in_range(clock_monotonic_ms() - start_ms, 0, TIMEOUT_MS / 2);
    close(listener); // ends the export, and the last one at once
    audit_close(audit);
    object_store_close(objects);
    signer_close(signer);
}

static int64_t heads_after(const struct audit_options *options)
{
    struct audit *audit;
    GOOD(audit_open(&audit, options, &err));
    GOOD(audit_append(audit, &entry, &err));
    audit_close(audit);
    struct sql *sql = open_store();
    bool found;
    GOOD(sql_find(sql, "SELECT count(*) FROM audit_heads", NULL, 0, &found, &err));
    int64_t heads = sql_integer(sql, 0);
    sql_close(sql);
    return heads;
}

// Whoever can drop the trigger can write any hash; the next head is not signed then.
static void test_a_rewritten_chain_is_not_signed(void **state)
{
    (void)state;
    struct signer *signer = new_signer();
    static const uint8_t other[DIGEST_SIZE];
    const struct sql_value hash = sql_of_blob(other, sizeof other);
    const struct audit_options options = options_for("rewritten", signer);
    assert_int_equal(heads_after(&options), 1);
    assert_int_equal(heads_after(&options), 2);
    struct sql *sql = open_store();
    GOOD(sql_run(sql, "DROP TRIGGER audit_no_update", NULL, 0, NULL, &err));
    GOOD(sql_run(sql, "UPDATE audit SET hash = ? WHERE seq = 2", &hash, 1, NULL, &err));
    sql_close(sql);
    assert_int_equal(heads_after(&options), 2);
    signer_close(signer);
}

// A gateway and a monitor that share a store, and a name, have two chains: only one of them exports heads.
static void test_names_of_chains(void **state)
{
    (void)state;
    char longest[64 + sizeof "audit_chain="] = "audit_chain=", cut[AUDIT_NAME_SIZE] = "";
    memset(longest + strlen(longest), 'a', 64);
    memset(cut, 'a', 64 - strlen("-monitor"));
    strcat(cut, "-monitor");
    const struct {
        unsigned program;
        const char *setting, *chain;
    } cases[] = {{PROGRAM_PRODUCER, "audit_chain=clinic", "clinic"},
                 {PROGRAM_MONITOR, "audit_chain=clinic", "clinic-monitor"},
                 {PROGRAM_MONITOR, longest, cut}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char chain[AUDIT_NAME_SIZE];
        struct audit_options options;
        struct config *config = config_new_for_test(cases[i].program, &cases[i].setting, 1);
        audit_settings_read(&options, chain, config);
        assert_string_equal(options.chain, cases[i].chain);
        config_free(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_the_head_is_signed_and_exported, new_store),
        cmocka_unit_test_setup(test_no_entry_waits_for_the_export, new_store),
        cmocka_unit_test_setup(test_a_rewritten_chain_is_not_signed, new_store),
        cmocka_unit_test(test_names_of_chains),
    };
    scratch_make(folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
