// test_audit.c: the chain as it is written: published hashes, groups, two writers, a killed writer,
// refusals. Signed heads: test_audit_heads.c; what is found in a chain that was changed: test_audit_verify.c.
#include "common/audit/audit.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/audit/chain.h"
#include "common/audit/refusals.h"
#include "common/base/memory.h"
#include "tests/support/postgres.h"

enum { TIMEOUT_MS = 10000, HOUR_MS = 3600 * 1000 };

static char folder[SCRATCH_SIZE];
static char url[SCRATCH_SIZE + 32];
static int stores;    // each case has its own
static int lives = 8; // of test_kills; 50 with --full
static _Thread_local struct error err;

#define GOOD(call)                                                                                           \
    do {                                                                                                     \
        if ((call) != STATUS_OK)                                                                             \
            fail_msg("line %d: %s", __LINE__, err.message);                                                  \
    } while (0)

static struct audit_options options_for(const char *chain)
{
    return (struct audit_options){
        .store = {.url = url, .timeout_ms = TIMEOUT_MS}, .chain = chain, .sign_interval_ms = HOUR_MS};
}

static int new_store(void **state)
{
    (void)state;
    snprintf(url, sizeof url, "sqlite://%s/store%d.db", folder, ++stores);
    return 0;
}

static struct audit_entry entry_of(const char *request_id)
{
    struct audit_entry entry = {.action = AUDIT_REQUEST, .actor = "dr-lee", .site = "north", .outcome = "ok"};
    snprintf(entry.request_id, sizeof entry.request_id, "%s", request_id);
    return entry;
}

static struct sql *open_store(void)
{
    const struct sql_options options = {.url = url, .timeout_ms = TIMEOUT_MS};
    struct sql *sql;
    GOOD(sql_open(&sql, &options, &err));
    return sql;
}

// Reads a chain as arithmetic alone has it: SHA-256 of the hash before and the text. Returns how many entries
// it has.
static int64_t check_chain(const char *chain)
{
    struct sql *sql = open_store();
    const struct sql_value name = sql_of_text(chain);
    struct digest hash = {.value = {0}};
    int64_t seq = 0;
    bool more = true;
    GOOD(sql_query(sql, "SELECT seq, entry, hash FROM audit WHERE chain = ? ORDER BY seq", &name, 1, &err));
    while (true) {
        GOOD(sql_next(sql, &more, &err));
        if (!more)
            break;
        uint8_t linked[DIGEST_SIZE + AUDIT_TEXT_MOST];
        const char *text = sql_text(sql, 1);
        memcpy(linked, hash.value, DIGEST_SIZE);
        memcpy(linked + DIGEST_SIZE, text, strlen(text));
        hash = digest_of(linked, DIGEST_SIZE + strlen(text));
        assert_int_equal(sql_integer(sql, 0), ++seq);
        assert_int_equal(sql_blob(sql, 2).size, DIGEST_SIZE);
        assert_memory_equal(sql_blob(sql, 2).data, hash.value, DIGEST_SIZE);
    }
    sql_end(sql);
    sql_close(sql);
    return seq;
}

// As Python's hashlib computes them.
static void test_published_links(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hash;
    } links[] = {
        {"{\"seq\":1,\"actor\":\"svc-monitor\",\"action\":\"model.promote\"}",
         "757e9332a374423d10f9069288f78513bd334b029acb9ed8af1bc809caed5e38"},
        {"{\"seq\":2,\"actor\":\"dr-lee\",\"action\":\"model.approve\"}",
         "db45765f1a372cceeb193f1f524b88c08cf2a090229ff7278a2f307ba271aa0f"},
    };
    struct digest hash = {.value = {0}};
    for (size_t i = 0; i < 2; i++) {
        char hex[DIGEST_TEXT_SIZE];
        hash = audit_link(&hash, (struct bytes){(const uint8_t *)links[i].text, strlen(links[i].text)});
        digest_text(&hash, hex);
        assert_string_equal(hex, links[i].hash);
    }
}

static void test_an_entry_is_canonical(void **state)
{
    (void)state;
    const char *expected =
        "{\"action\":\"request\",\"actor\":\"dr-lee\",\"at\":1796074307317,\"chain\":\"gateway-1\","
        "\"outcome\":\"ok\",\"request_id\":\"r1\",\"seq\":17,\"site\":\"north\"}";
    const char *without = "{\"action\":\"refused\",\"actor\":\"address:10.0.0.7\",\"at\":0,\"chain\":\"c\","
                          "\"outcome\":\"unauthorized:37\",\"request_id\":null,\"seq\":1,\"site\":null}";
    struct audit_entry entry = entry_of("r1"), again;
    struct audit_place place = {.chain = "gateway-1", .seq = 17, .at = 1796074307317};
    char chain[AUDIT_NAME_SIZE];
    struct buffer text;
    buffer_init(&text, AUDIT_TEXT_MOST);
    GOOD(audit_entry_write(&entry, &place, &text, &err));
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
    assert_true(audit_entry_read(buffer_bytes(&text), &again, chain, &place));
    assert_string_equal(again.request_id, "r1");
    assert_true(
        audit_entry_read((struct bytes){(const uint8_t *)without, strlen(without)}, &again, chain, &place));
    assert_string_equal(again.site, "");
    // Nothing that would be escaped, and so have two texts.
    static const char *const bad[] = {"a b", "a\"b", "a\\b", "a\nb", "\xc3\xa9", "\x7f"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct audit_entry wrong = entry;
        strcpy(wrong.actor, bad[i]);
        assert_int_equal(audit_entry_write(&wrong, &place, &text, &err), STATUS_REJECTED);
    }
    static const char *const other[] = {
        "{\"actor\":\"dr-lee\",\"action\":\"request\",\"at\":1,\"chain\":\"c\",\"outcome\":null,\"request_"
        "id\":null,"
        "\"seq\":1,\"site\":null}",
        "{\"action\":\"request\",\"actor\":null,\"at\":1.0,\"chain\":\"c\",\"outcome\":null,\"request_id\":"
        "null,"
        "\"seq\":1,\"site\":null}",
        "{\"action\":\"request\",\"actor\":null,\"at\":1, "
        "\"chain\":\"c\",\"outcome\":null,\"request_id\":null,"
        "\"seq\":1,\"site\":null}",
        "{\"action\":\"requests\",\"actor\":null,\"at\":1,\"chain\":\"c\",\"outcome\":null,\"request_id\":"
        "null,"
        "\"seq\":1,\"site\":null}",
        "{\"action\":\"request\",\"actor\":null,\"at\":1,\"chain\":\"c\",\"outcome\":null,\"request_id\":"
        "null,\"seq\":0,"
        "\"site\":null}",
    };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_false(audit_entry_read((struct bytes){(const uint8_t *)other[i], strlen(other[i])}, &again,
                                      chain, &place));
    buffer_release(&text);
}

static bool is_entry(const char *text)
{
    struct audit_entry entry;
    struct audit_place place;
    char chain[AUDIT_NAME_SIZE];
    return audit_entry_read((struct bytes){(const uint8_t *)text, strlen(text)}, &entry, chain, &place);
}

// Of a list the entry says what it is of; no other entry has that, and none of a list is without it.
static void test_an_entry_of_a_list(void **state)
{
    (void)state;
    const char *expected =
        "{\"action\":\"incident_read\",\"actor\":\"dr-lee\",\"at\":1796074307317,"
        "\"chain\":\"c\",\"list\":{\"answers\":120,\"from\":1796000000000,\"model\":\"vit-2\","
        "\"site\":null,\"to\":1796086400000},\"outcome\":\"ok\",\"request_id\":null,\"seq\":3,"
        "\"site\":\"north\"}";
    struct audit_entry again,
        entry = {.action = AUDIT_INCIDENT_READ,
                 .actor = "dr-lee",
                 .site = "north",
                 .outcome = "ok",
                 .list = {.answers = 120, .from = 1796000000000, .to = 1796086400000, .model = "vit-2"}};
    struct audit_place place = {.chain = "c", .seq = 3, .at = 1796074307317};
    char chain[AUDIT_NAME_SIZE];
    struct buffer text;
    buffer_init(&text, AUDIT_TEXT_MOST);
    GOOD(audit_entry_write(&entry, &place, &text, &err));
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
    assert_true(audit_entry_read(buffer_bytes(&text), &again, chain, &place));
    assert_int_equal(again.list.answers, 120);
    assert_int_equal(again.list.to, 1796086400000);
    assert_string_equal(again.list.model, "vit-2");
    assert_true(is_entry(expected));
    assert_false(
        is_entry("{\"action\":\"incident_read\",\"actor\":null,\"at\":1,\"chain\":\"c\",\"outcome\":null,"
                 "\"request_id\":null,\"seq\":1,\"site\":null}"));
    assert_false(
        is_entry("{\"action\":\"request\",\"actor\":null,\"at\":1,\"chain\":\"c\",\"list\":{\"answers\":1,"
                 "\"from\":0,\"model\":null,\"site\":null,\"to\":1},\"outcome\":null,\"request_id\":null,"
                 "\"seq\":1,\"site\":null}"));
    assert_false(is_entry(
        "{\"action\":\"incident_read\",\"actor\":null,\"at\":1,\"chain\":\"c\",\"list\":{\"answers\":"
        "-1,\"from\":0,\"model\":null,\"site\":null,\"to\":1},\"outcome\":null,\"request_id\":null,"
        "\"seq\":1,\"site\":null}"));
    static const struct audit_list bad[] = {
        {.model = "vit 2"}, {.answers = -1}, {.from = -1}, {.to = -1}, {.answers = (INT64_C(1) << 53)},
        {.to = INT64_MAX}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        entry.list = bad[i];
        if (audit_entry_write(&entry, &place, &text, &err) != STATUS_REJECTED)
            fail_msg("list %zu was written", i);
    }
    buffer_release(&text);
}

enum { WRITERS = 8, EACH = 100 };

static void *append_many(void *audit)
{
    for (int i = 0; i < EACH; i++) {
        const struct audit_entry entry = entry_of("r");
        GOOD(audit_append(audit, &entry, &err));
    }
    return NULL;
}

// Two processes' writers of one chain, four threads each.
static void test_writers_side_by_side(void **state)
{
    (void)state;
    const struct audit_options options = options_for("shared");
    struct audit *audits[2];
    pthread_t threads[WRITERS];
    for (int i = 0; i < 2; i++)
        GOOD(audit_open(&audits[i], &options, &err));
    for (int i = 0; i < WRITERS; i++)
        pthread_create(&threads[i], NULL, append_many, audits[i % 2]);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(audit_counts(audits[0]).written + audit_counts(audits[1]).written, WRITERS * EACH);
    assert_int_equal(audit_counts(audits[0]).failed, 0);
    for (int i = 0; i < 2; i++)
        audit_close(audits[i]);
    assert_int_equal(check_chain("shared"), WRITERS * EACH);
    struct sql *sql = open_store();
    assert_int_equal(sql_run(sql, "UPDATE audit SET at = 0", NULL, 0, NULL, &err), STATUS_REJECTED);
    assert_int_equal(sql_run(sql, "DELETE FROM audit", NULL, 0, NULL, &err), STATUS_REJECTED);
    assert_int_equal(sql_run(sql, "DELETE FROM audit_heads", NULL, 0, NULL, &err), STATUS_OK); // has no row
    sql_close(sql);
}

// A commit whose answer was lost: the same group again is written once.
static void test_a_group_is_written_once(void **state)
{
    (void)state;
    struct sql *sql = open_store();
    const struct audit_entry entries[] = {entry_of("r1"), entry_of("r2")};
    struct audit_group group = {.entries = entries, .count = 2, .at = 7};
    GOOD(sql_migrate(sql, "audit", audit_migrations, &err));
    GOOD(audit_chain_append(sql, "once", &group, &err));
    GOOD(audit_chain_append(sql, "once", &group, &err));
    assert_int_equal(check_chain("once"), 2);
    struct audit_group next = {.entries = entries, .count = 1, .at = 7};
    GOOD(audit_chain_append(sql, "once", &next, &err));
    GOOD(audit_chain_append(sql, "once", &group, &err)); // also behind another's entries
    assert_int_equal(check_chain("once"), 3);
    sql_close(sql);
}

// Appends until it is killed; each number it says is on the disk.
static void append_for_ever(int said)
{
    const struct audit_options options = options_for("killed");
    struct audit *audit;
    GOOD(audit_open(&audit, &options, &err));
    for (int64_t i = 0;; i++) {
        char id[32];
        snprintf(id, sizeof id, "r%lld", (long long)i);
        const struct audit_entry entry = entry_of(id);
        GOOD(audit_append(audit, &entry, &err));
        if (write(said, &i, sizeof i) != sizeof i)
            _exit(1);
    }
}

static int64_t live_and_die(int64_t entries)
{
    int ends[2];
    int64_t number, last = -1;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        append_for_ever(ends[1]);
    }
    close(ends[1]);
    while (last < entries && read(ends[0], &number, sizeof number) == sizeof number)
        last = number;
    process_kill(child);
    while (read(ends[0], &number, sizeof number) == sizeof number) // said before it died
        last = number;
    close(ends[0]);
    return last + 1;
}

static void test_kills(void **state)
{
    (void)state;
    int64_t said = 0;
    for (int life = 0; life < lives; life++) {
        said += live_and_die(3 + 2 * (life % 7));
        int64_t there = check_chain("killed");
        assert_in_range(there, said, said + life + 1); // each life may leave one that it had no time to tell
    }
}

// ---- refusals ----

static void test_refusals_are_counted(void **state)
{
    (void)state;
    const struct audit_options options = options_for("refusals");
    struct audit *audit;
    GOOD(audit_open(&audit, &options, &err));
    for (int i = 0; i < 37; i++)
        audit_refused(audit, "10.0.0.7", "unauthorized");
    audit_refused(audit, "10.0.0.7", "not_found");
    audit_refused(audit, "fe80::1 \"x\"\\", "unauthorized");
    audit_close(audit);
    assert_int_equal(check_chain("refusals"), 3);
    struct sql *sql = open_store();
    bool found;
    GOOD(sql_find(sql, "SELECT entry FROM audit WHERE seq = 1", NULL, 0, &found, &err));
    assert_non_null(strstr(sql_text(sql, 0), "\"actor\":\"address:10.0.0.7\""));
    assert_non_null(strstr(sql_text(sql, 0), "\"outcome\":\"unauthorized:37\""));
    sql_close(sql);
}

static void test_a_flood_of_refusals(void **state)
{
    (void)state;
    struct refusals *refusals = memory_alloc(sizeof *refusals);
    struct audit_entry *entries = memory_alloc((AUDIT_ADDRESSES_MOST + 1) * sizeof *entries);
    for (int i = 0; i < 2 * AUDIT_ADDRESSES_MOST; i++) {
        char address[32];
        snprintf(address, sizeof address, "10.0.%d.%d", i / 256, i % 256);
        refusals_add(refusals, address, "unauthorized");
    }
    assert_int_equal(refusals_take(refusals, entries), AUDIT_ADDRESSES_MOST + 1);
    assert_string_equal(entries[0].outcome, "unauthorized:1");
    assert_string_equal(entries[AUDIT_ADDRESSES_MOST].actor, "address:others");
    char expected[32];
    snprintf(expected, sizeof expected, "any:%d", AUDIT_ADDRESSES_MOST);
    assert_string_equal(entries[AUDIT_ADDRESSES_MOST].outcome, expected);
    assert_int_equal(refusals_take(refusals, entries), 0);
    free(entries);
    free(refusals);
}

static void test_refusals_of_a_network(void **state)
{
    (void)state;
    static const char *const addresses[] = {"2001:db8:0:7::1", "2001:db8:0:7:ffff::", "2001:db8:0:8::1",
                                            "::ffff:10.0.0.7"};
    struct refusals refusals = {0};
    struct audit_entry entries[AUDIT_ADDRESSES_MOST + 1];
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
        refusals_add(&refusals, addresses[i], "unauthorized");
    assert_int_equal(refusals_take(&refusals, entries), 3);
    assert_string_equal(entries[0].actor, "address:2001:db8:0:7::/64");
    assert_string_equal(entries[0].outcome, "unauthorized:2");
    assert_string_equal(entries[1].actor, "address:2001:db8:0:8::/64");
    assert_string_equal(entries[2].actor, "address:::ffff:10.0.0.7");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_links),
        cmocka_unit_test(test_an_entry_is_canonical),
        cmocka_unit_test(test_an_entry_of_a_list),
        cmocka_unit_test_setup(test_writers_side_by_side, new_store),
        cmocka_unit_test_setup(test_a_group_is_written_once, new_store),
        cmocka_unit_test_setup(test_kills, new_store),
        cmocka_unit_test_setup(test_refusals_are_counted, new_store),
        cmocka_unit_test(test_a_flood_of_refusals),
        cmocka_unit_test(test_refusals_of_a_network),
    };
    if (argc > 1 && strcmp(argv[1], "--full") == 0)
        lives = 50;
    const struct CMUnitTest shared[] = {cmocka_unit_test(test_writers_side_by_side)};
    struct postgres server;
    scratch_make(folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    if (postgres_start(&server) || server.programs[0]) {
        snprintf(url, sizeof url, "%s", server.url);
        failed += cmocka_run_group_tests(shared, NULL, NULL);
        postgres_stop(&server);
    } else {
        fprintf(stderr, "skipped: PostgreSQL is not installed\n");
    }
    return failed;
}
