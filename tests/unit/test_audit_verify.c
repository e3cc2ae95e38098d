// test_audit_verify.c: what an export tells of itself. One chain of twelve entries with heads after 4 and 8
// is changed in every way that the verifier promises to find, and in some of which it promises nothing.
#include "common/audit/verify.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/audit/chain.h"
#include "common/audit/export.h"
#include "common/base/memory.h"
#include "tests/support/postgres.h"
#include "tests/support/skip.h"

enum { TIMEOUT_MS = 10000, ENTRIES = 12, LINES = 1 + ENTRIES + 2, SENTENCES = 64 };

static char folder[SCRATCH_SIZE];
static struct error err;
static struct signer *signer;
static struct verifier *verifier;
static struct sql *sql;
static char *export; // of the whole chain
static size_t export_size;
static char *lines[LINES + 1]; // of it, each with its '\n'; the last: an entry of another chain

#define GOOD(call)                                                                                           \
    do {                                                                                                     \
        if ((call) != STATUS_OK)                                                                             \
            fail_msg("line %d: %s", __LINE__, err.message);                                                  \
    } while (0)

// ---- what was said ----

static struct {
    int64_t flaws;
    int64_t lines[SENTENCES];
    char sentences[SENTENCES][256];
    int chains;
    struct audit_chain_verdict last;
} said;

static void on_flaw(void *context, int64_t line, const char *sentence)
{
    (void)context;
    if (said.flaws < SENTENCES) {
        said.lines[said.flaws] = line;
        snprintf(said.sentences[said.flaws], sizeof said.sentences[0], "%s", sentence);
    }
    said.flaws++;
}

static void on_chain(void *context, const struct audit_chain_verdict *verdict)
{
    (void)context;
    said.last = *verdict;
    said.chains++;
}

static void judge_with(const char *text, size_t size, struct audit_heads *heads)
{
    const struct audit_verify_options options = {
        .verifier = verifier, .heads = heads, .flaw = on_flaw, .chain = on_chain};
    int64_t flaws;
    FILE *file = size ? fmemopen((void *)(uintptr_t)text, size, "r") : fopen("/dev/null", "r");
    memset(&said, 0, sizeof said);
    GOOD(audit_verify(file, &options, &flaws, &err));
    fclose(file);
    assert_int_equal(flaws, said.flaws);
}

static void judge(const char *text, size_t size)
{
    struct audit_heads none = {0};
    judge_with(text, size, &none);
    audit_heads_release(&none);
}

// Lines of the export in the order of places, which ends with -1.
static void judge_lines(const int *places)
{
    char *text = memory_alloc(2 * export_size);
    size_t size = 0;
    for (; *places >= 0; places++) {
        memcpy(text + size, lines[*places], strlen(lines[*places]));
        size += strlen(lines[*places]);
    }
    judge(text, size);
    free(text);
}

static bool was_said(const char *part)
{
    for (int64_t i = 0; i < said.flaws && i < SENTENCES; i++)
        if (strstr(said.sentences[i], part))
            return true;
    return false;
}

// ---- the chain ----

static void sign(int64_t seq)
{
    struct audit_head head;
    struct buffer line;
    GOOD(audit_chain_newest(sql, "gateway-1", &head, &err));
    assert_int_equal(head.seq, seq);
    head.at = 1000 + seq;
    buffer_init(&line, AUDIT_HEAD_LINE_MOST);
    GOOD(audit_head_write(signer, &head, &line, &err));
    line.size--;
    GOOD(audit_chain_keep_head(sql, &head, buffer_bytes(&line), &err));
    buffer_release(&line);
}

// line: with its '\n'.
static void keep_line(const char *chain, int64_t seq, const char *line)
{
    struct audit_head head = {.seq = seq};
    strcpy(head.chain, chain);
    GOOD(audit_chain_keep_head(sql, &head, (struct bytes){(const uint8_t *)line, strlen(line) - 1}, &err));
}

static void make_keys(void)
{
    char path[SCRATCH_SIZE + 32];
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    snprintf(path, sizeof path, "%s/key.pem", folder);
    FILE *file = fopen(path, "w");
    chmod(path, 0600);
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    GOOD(signer_open(&signer, path, &err));
    assert_int_equal(verifier_open(&verifier, path, &err), STATUS_REJECTED);
    snprintf(path, sizeof path, "%s/public.pem", folder);
    file = fopen(path, "w");
    PEM_write_PUBKEY(file, key);
    fclose(file);
    GOOD(verifier_open(&verifier, path, &err));
    EVP_PKEY_free(key);
}

// The first entry of chain "x".
static char *other_chain(void)
{
    static const struct digest zero;
    const struct audit_entry entry = {.action = AUDIT_ANSWER_READ, .actor = "dr-lee", .site = "north"};
    const struct audit_place place = {.chain = "x", .seq = 1, .at = 100};
    struct buffer text;
    char hex[DIGEST_TEXT_SIZE];
    buffer_init(&text, AUDIT_TEXT_MOST);
    GOOD(audit_entry_write(&entry, &place, &text, &err));
    struct digest hash = audit_link(&zero, buffer_bytes(&text));
    digest_text(&hash, hex);
    char *line =
        memory_format("{\"entry\":%.*s,\"hash\":\"%s\"}\n", (int)text.size, (const char *)text.data, hex);
    buffer_release(&text);
    return line;
}

static char *export_from(int64_t from, size_t *size)
{
    char *text;
    int64_t entries;
    FILE *out = open_memstream(&text, size);
    GOOD(audit_export(sql, "", from, out, &entries, &err));
    fclose(out);
    return text;
}

static void fill_store(const char *url)
{
    const struct sql_options options = {.url = url, .timeout_ms = TIMEOUT_MS};
    GOOD(sql_open(&sql, &options, &err));
    GOOD(sql_migrate(sql, "audit", audit_migrations, &err));
    struct audit_entry entries[4];
    for (int i = 0; i < 4; i++)
        entries[i] = (struct audit_entry){.action = AUDIT_ANSWER_READ, .actor = "dr-lee", .site = "north"};
    for (int i = 4; i <= ENTRIES; i += 4) {
        struct audit_group group = {.entries = entries, .count = 4, .at = 100};
        GOOD(audit_chain_append(sql, "gateway-1", &group, &err));
        if (i < ENTRIES)
            sign(i);
    }
}

static int make_chain(void **state)
{
    (void)state;
    char url[SCRATCH_SIZE + 32];
    scratch_make(folder);
    snprintf(url, sizeof url, "sqlite://%s/store.db", folder);
    make_keys();
    fill_store(url);
    export = export_from(1, &export_size);
    const char *at = export;
    for (int i = 0; i < LINES; i++) {
        size_t size = strcspn(at, "\n") + 1;
        lines[i] = strndup(at, size);
        at += size;
    }
    assert_int_equal(at - export, export_size);
    lines[LINES] = other_chain();
    return 0;
}

static int drop_chain(void **state)
{
    (void)state;
    for (int i = 0; i <= LINES; i++)
        free(lines[i]);
    free(export);
    sql_close(sql);
    verifier_close(verifier);
    signer_close(signer);
    scratch_remove(folder);
    return 0;
}

// ---- the cases ----

static void test_a_whole_chain(void **state)
{
    (void)state;
    judge(export, export_size);
    assert_int_equal(said.flaws, 0);
    assert_int_equal(said.chains, 1);
    assert_int_equal(said.last.first, 1);
    assert_int_equal(said.last.last, ENTRIES);
    assert_int_equal(said.last.anchored, 8); // and 4 entries unanchored
    judge("", 0);
    assert_int_equal(said.flaws, 1);
}

// Every bit of every byte up to and with the last signed head; behind it a flip is found too, unless it makes
// an entry that follows from itself, which no flip does.
static void test_every_flipped_bit_is_found(void **state)
{
    (void)state;
    char *text = memory_alloc(export_size);
    memcpy(text, export, export_size);
    for (size_t i = 0; i < export_size; i++) {
        int bit = (int)(i % 8); // each byte one bit, all bits in turn
        text[i] = (char)(text[i] ^ (1 << bit));
        judge(text, export_size);
        if (said.flaws == 0)
            fail_msg("byte %zu, bit %d", i, bit);
        text[i] = export[i];
    }
    free(text);
}

// The sentence names the entry, and one change is one sentence.
static void test_a_changed_entry_is_named(void **state)
{
    (void)state;
    char *text = memory_alloc(export_size);
    memcpy(text, export, export_size);
    char *entry = strstr(text, "\"seq\":6,");
    memcpy(strstr(entry, "north"), "south", 5);
    judge(text, export_size);
    assert_int_equal(said.flaws, 1);
    assert_true(was_said("entry 6 of chain gateway-1, or its hash, was changed"));
    memcpy(text, export, export_size);
    char *hash = strstr(strstr(text, "\"seq\":6,"), "\"hash\":\"") + 8;
    *hash = *hash == '0' ? '1' : '0';
    judge(text, export_size);
    assert_int_equal(said.flaws, 1);
    assert_true(was_said("entry 6 of chain gateway-1, or its hash, was changed"));
    free(text);
}

// Lines: 0 the first, 1..4 entries, 5 head of 4, 6..9 entries 5 to 8, 10 head of 8, 11..14 entries 9 to 12.
static void test_dropped_doubled_and_moved_entries_are_named(void **state)
{
    (void)state;
    judge_lines((int[]){0, 1, 2, 4, 5, 6, 7, 8, 9, 10, -1});
    assert_int_equal(said.flaws, 1);
    assert_true(was_said("entries 3 to 3 of chain gateway-1 are missing"));
    judge_lines((int[]){0, 2, 3, 4, 5, 6, 7, 8, 9, 10, -1});
    assert_true(was_said("entries 1 to 1 of chain gateway-1 are missing"));
    judge_lines((int[]){0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, -1});
    assert_int_equal(said.flaws, 1);
    assert_true(was_said("entry 3 of chain gateway-1 stands a second time"));
    judge_lines((int[]){0, 1, 3, 2, 4, 5, 6, 7, 8, 9, 10, -1});
    assert_true(was_said("entries 2 to 2 of chain gateway-1 are missing"));
    assert_true(was_said("entry 2 of chain gateway-1 stands a second time, or in another place"));
    // The last entry before its head, head and all.
    judge_lines((int[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 10, -1});
    assert_true(was_said("the head of entry 8 of chain gateway-1 stands in another place"));
    judge_lines((int[]){1, 2, 3, 4, -1});
    assert_int_equal(said.lines[0], 1);
}

// Another chain's line between two pieces of a chain hides nothing.
static void test_a_chain_is_in_one_piece(void **state)
{
    (void)state;
    judge_lines((int[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, LINES, -1});
    assert_int_equal(said.flaws, 0);
    assert_int_equal(said.chains, 2);
    judge_lines((int[]){0, 1, 2, 3, 4, 5, LINES, 10, 11, 12, 13, 14, -1});
    assert_int_equal(said.flaws, 1);
    assert_true(was_said("chain gateway-1 begins a second time"));
    judge_lines((int[]){0, 1, 2, 3, 4, 5, LINES, 1, 2, 3, 4, 5, -1});
    assert_true(was_said("chain gateway-1 begins a second time"));
}

// Whoever rewrites the hashes too is found by the next head.
static void test_a_chain_made_anew(void **state)
{
    (void)state;
    char *text;
    size_t size;
    struct digest hash = {.value = {0}};
    FILE *out = open_memstream(&text, &size);
    fputs(lines[0], out);
    for (int i = 1, line = 1; line < LINES; line++) {
        if (strncmp(lines[line], "{\"head\"", 7) == 0) {
            fputs(lines[line], out);
            continue;
        }
        const struct audit_entry entry = {
            .action = AUDIT_ANSWER_READ, .actor = "dr-lee", .site = "north", .outcome = ""};
        struct audit_entry changed = entry;
        struct buffer entry_text;
        char hex[DIGEST_TEXT_SIZE];
        const struct audit_place place = {.chain = "gateway-1", .seq = i, .at = 100};
        if (i == 6)
            strcpy(changed.actor, "dr-who");
        buffer_init(&entry_text, AUDIT_TEXT_MOST);
        GOOD(audit_entry_write(&changed, &place, &entry_text, &err));
        hash = audit_link(&hash, buffer_bytes(&entry_text));
        digest_text(&hash, hex);
        fprintf(out, "{\"entry\":%.*s,\"hash\":\"%s\"}\n", (int)entry_text.size, (char *)entry_text.data,
                hex);
        buffer_release(&entry_text);
        i++;
    }
    fclose(out);
    assert_int_equal(size, export_size);
    judge(text, size);
    assert_int_equal(said.flaws, 1);
    assert_true(was_said("something was changed in 5 to 8"));
    assert_int_equal(said.last.anchored, 4);
    free(text);
}

// An end cut off with its heads tells nothing of itself; a head from elsewhere does.
static void test_heads_from_elsewhere(void **state)
{
    (void)state;
    char path[SCRATCH_SIZE + 32];
    struct audit_heads heads = {0};
    judge_lines((int[]){0, 1, 2, 3, 4, 5, 6, -1});
    assert_int_equal(said.flaws, 0);
    snprintf(path, sizeof path, "%s/head.json", folder);
    FILE *file = fopen(path, "w");
    fputs(lines[10], file);
    fclose(file);
    GOOD(audit_heads_add(&heads, path, verifier, &err));
    size_t cut = (size_t)(strstr(export, lines[7]) - export);
    judge_with(export, cut, &heads);
    assert_int_equal(said.flaws, 1);
    assert_true(was_said("entries 6 to 8 of chain gateway-1 are missing"));
    judge_with(export, export_size, &heads);
    assert_int_equal(said.flaws, 0);
    judge_with(lines[0], strlen(lines[0]), &heads);
    assert_true(was_said("chain gateway-1 is missing"));
    // It anchors what the export has no head of.
    int64_t without_head = strstr(export, lines[10]) - export;
    judge_with(export, (size_t)without_head, &heads);
    assert_int_equal(said.flaws, 0);
    assert_int_equal(said.last.anchored, 8);
    // One with another signature is none.
    file = fopen(path, "r+");
    fseek(file, -5, SEEK_END);
    int digit = fgetc(file);
    fseek(file, -5, SEEK_END);
    fputc(digit == '0' ? '1' : '0', file);
    fclose(file);
    assert_int_equal(audit_heads_add(&heads, path, verifier, &err), STATUS_REJECTED);
    audit_heads_release(&heads);
}

static void test_a_part_begins_with_a_signed_head(void **state)
{
    (void)state;
    size_t size;
    char *text = export_from(7, &size);
    judge(text, size);
    assert_int_equal(said.flaws, 0);
    assert_int_equal(said.last.first, 5);
    assert_int_equal(said.last.last, ENTRIES);
    // A genuine head from elsewhere of the same number, which has another hash.
    struct audit_heads heads = {.count = 1, .heads = memory_alloc(sizeof *heads.heads)};
    *heads.heads = (struct audit_head){.chain = "gateway-1", .seq = 4};
    judge_with(text, size, &heads);
    assert_int_equal(said.flaws, 1);
    assert_true(was_said("the signed head of entry 4 of chain gateway-1 is another one's"));
    audit_heads_release(&heads);
    memcpy(strstr(strstr(text, "\"seq\":5,"), "north"), "south", 5);
    judge(text, size);
    assert_true(was_said("entry 5 of chain gateway-1, or its hash, was changed"));
    free(text);
}

// A head may stand in the table and its entries not: whoever cuts the table of entries is found.
static void test_heads_without_their_entries(void **state)
{
    (void)state;
    size_t size, short_size;
    char *text, *only;
    struct sql *whole = sql;
    char url[SCRATCH_SIZE + 32];
    const struct sql_options options = {.url = url, .timeout_ms = TIMEOUT_MS};
    snprintf(url, sizeof url, "sqlite://%s/cut.db", folder);
    GOOD(sql_open(&sql, &options, &err));
    GOOD(sql_migrate(sql, "audit", audit_migrations, &err));
    keep_line("gateway-1", 8, lines[10]);
    only = export_from(1, &short_size); // no entry at all
    struct audit_entry entry = {.action = AUDIT_ANSWER_READ, .actor = "dr-lee", .site = "north"};
    const struct audit_entry entries[] = {entry, entry, entry, entry};
    struct audit_group group = {.entries = entries, .count = 4, .at = 100};
    GOOD(audit_chain_append(sql, "gateway-1", &group, &err));
    text = export_from(1, &size);
    sql_close(sql);
    sql = whole;
    judge(only, short_size);
    assert_int_equal(said.flaws, 1);
    assert_true(was_said("chain gateway-1 has a signed head of entry 8, and no entry"));
    judge(text, size);
    assert_int_equal(said.flaws, 1);
    assert_true(was_said("the head of entry 8 of chain gateway-1 stands in another place"));
    free(only);
    free(text);
}

// The same chain in the other database gives the same bytes, whole and in part.
static void test_postgres_exports_the_same(void **state)
{
    (void)state;
    struct postgres server;
    struct audit_head head;
    size_t part_size, size;
    struct sql *sqlite = sql;
    char *part = export_from(6, &part_size);
    bool started = postgres_start(&server);
    if (!started && !server.programs[0]) {
        free(part);
        SKIP("PostgreSQL is not installed");
    }
    assert_true(started);
    fill_store(server.url);
    char *text = export_from(1, &size);
    assert_int_equal(size, export_size);
    assert_memory_equal(text, export, size);
    free(text);
    text = export_from(6, &size);
    assert_int_equal(size, part_size);
    assert_memory_equal(text, part, size);
    free(text);
    GOOD(audit_chain_signed(sql, "gateway-1", &head, &err));
    assert_int_equal(head.seq, 8);
    GOOD(audit_chain_check(sql, &head, &err));
    head.hash.value[0] ^= 1;
    assert_int_equal(audit_chain_check(sql, &head, &err), STATUS_FATAL);
    sql_close(sql);
    sql = sqlite;
    postgres_stop(&server);
    free(part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_chain),
        cmocka_unit_test(test_every_flipped_bit_is_found),
        cmocka_unit_test(test_a_changed_entry_is_named),
        cmocka_unit_test(test_dropped_doubled_and_moved_entries_are_named),
        cmocka_unit_test(test_a_chain_is_in_one_piece),
        cmocka_unit_test(test_a_chain_made_anew),
        cmocka_unit_test(test_heads_from_elsewhere),
        cmocka_unit_test(test_a_part_begins_with_a_signed_head),
        cmocka_unit_test(test_heads_without_their_entries),
        cmocka_unit_test(test_postgres_exports_the_same),
    };
    return cmocka_run_group_tests(tests, make_chain, drop_chain);
}
