// test_api_keys.c: the file of API keys, and what an Authorization header with one of them is worth.
#include "common/identity/api_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/identity/gate.h"
#include "tests/support/process.h"

static char folder[SCRATCH_SIZE];
static char path[SCRATCH_SIZE + 16];
static struct error err;

static struct identity_gate *open_gate(void)
{
    const struct identity_options options = {.api_keys = path, .jwt_jwks = ""};
    struct identity_gate *gate;
    if (identity_open(&gate, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return gate;
}

static struct api_key add_key(const char *actor, const char *site, enum role role, char text[API_KEY_SIZE])
{
    struct api_key key = {.role = role};
    strcpy(key.actor, actor);
    strcpy(key.site, site);
    if (api_key_make(&key, text, &err) != STATUS_OK || api_keys_add(path, &key, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return key;
}

static char *read_text(void)
{
    static char text[1 << 16];
    FILE *file = fopen(path, "r");
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void write_text(const char *text)
{
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    chmod(path, 0600);
}

static int clear(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static void test_a_key_is_known_by_its_hash(void **state)
{
    (void)state;
    char text[API_KEY_SIZE], hash[DIGEST_TEXT_SIZE], header[API_KEY_SIZE + 16];
    struct identity who;
    struct stat about;
    struct identity_gate *gate = open_gate(); // no file yet
    snprintf(header, sizeof header, "Bearer ssk_%043d", 0);
    assert_int_equal(identity_of(gate, header, &who, &err), STATUS_REJECTED);
    struct api_key key = add_key("dr-lee", "north", ROLE_ANALYST, text);
    assert_int_equal(strlen(text), 47);
    assert_memory_equal(text, "ssk_", 4);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    // SHA-256 of the text as it stands, and never the text.
    struct digest digest = digest_of(text, strlen(text));
    digest_text(&digest, hash);
    assert_non_null(strstr(read_text(), hash));
    assert_null(strstr(read_text(), text + 4));
    snprintf(header, sizeof header, "Bearer %s", text);
    assert_int_equal(identity_of(gate, header, &who, &err), STATUS_OK);
    assert_string_equal(who.actor, "dr-lee");
    assert_string_equal(who.site, "north");
    assert_int_equal(who.role, ROLE_ANALYST);
    assert_false(who.urgent);
    assert_memory_equal(who.account, "key:", 4);
    assert_string_equal(who.account + 4, key.id);
    identity_close(gate);
}

// What a file of keys with one good key gives for headers: each but those marked is refused.
static void test_headers(void **state)
{
    (void)state;
    char text[API_KEY_SIZE], long_header[AUTHORIZATION_MOST + 64];
    add_key("dr-lee", "north", ROLE_READER, text);
    struct identity_gate *gate = open_gate();
    struct identity who;
    const struct {
        const char *format;
        bool good;
    } cases[] = {
        {"Bearer %s", true},
        {"bearer %s", true},
        {"BEARER   %s", true},
        {"Bearer %s  ", true},
        {"Bearer%s", false},
        {"Bearer", false},
        {"Bearer ", false},
        {"%s", false},
        {"Basic %s", false},
        {"Bearer\t%s", false},
        {"Bearer %s %s", false},
        {"Bearer %s,", false},
        {" Bearer %s", false},
        {"Bearer x%s", false},
        {"Bearer %sA", false},
        {"Bearer \"%s\"", false},
        {"Bearer %s\r\nX: y", false},
        {"Bearer SSK_%s", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[256];
        snprintf(header, sizeof header, cases[i].format, text, text);
        if ((identity_of(gate, header, &who, &err) == STATUS_OK) != cases[i].good)
            fail_msg("%s", cases[i].format);
        assert_null(strstr(err.message, text + 4));
        if (!cases[i].good)
            assert_string_equal(who.site, "");
    }
    assert_int_equal(identity_of(gate, NULL, &who, &err), STATUS_REJECTED);
    memset(long_header, ' ', sizeof long_header);
    memcpy(long_header, "Bearer ", 7);
    strcpy(long_header + AUTHORIZATION_MOST - 20, text);
    assert_int_equal(identity_of(gate, long_header, &who, &err), STATUS_REJECTED);
    // One character less, and one changed, at each place.
    for (size_t i = 0; i < API_KEY_SIZE - 1; i++) {
        char header[64];
        snprintf(header, sizeof header, "Bearer %.*s%s", (int)i, text, text + i + 1);
        assert_int_equal(identity_of(gate, header, &who, &err), STATUS_REJECTED);
        snprintf(header, sizeof header, "Bearer %s", text);
        header[7 + i] = header[7 + i] == 'A' ? 'B' : 'A';
        assert_int_equal(identity_of(gate, header, &who, &err), STATUS_REJECTED);
    }
    identity_close(gate);
}

static void test_a_revoked_key_ends_with_the_next_request(void **state)
{
    (void)state;
    char first[API_KEY_SIZE], second[API_KEY_SIZE], headers[2][64];
    struct api_key revoked, key = add_key("dr-lee", "north", ROLE_READER, first);
    add_key("dr-ray", "south", ROLE_OPERATOR, second);
    struct identity_gate *gate = open_gate();
    struct identity who;
    snprintf(headers[0], 64, "Bearer %s", first);
    snprintf(headers[1], 64, "Bearer %s", second);
    for (int i = 0; i < 2; i++)
        assert_int_equal(identity_of(gate, headers[i], &who, &err), STATUS_OK);
    assert_string_equal(who.site, "south");
    assert_int_equal(api_keys_revoke(path, key.id, &err), STATUS_OK);
    assert_int_equal(api_keys_look(path, key.id, &revoked, &err), STATUS_OK);
    assert_string_equal(revoked.actor, "dr-lee");
    assert_true(revoked.revoked_at >= key.created_at);
    assert_int_equal(identity_of(gate, headers[0], &who, &err), STATUS_REJECTED);
    assert_int_equal(identity_of(gate, headers[1], &who, &err), STATUS_OK);
    assert_int_equal(api_keys_revoke(path, key.id, &err), STATUS_REJECTED);
    assert_int_equal(api_keys_revoke(path, "000000000000", &err), STATUS_REJECTED);
    // A damaged file lets nobody in, and tells so; a mended one does again.
    char *good = strdup(read_text());
    write_text("{}");
    assert_int_equal(identity_of(gate, headers[1], &who, &err), STATUS_RETRY);
    assert_string_equal(who.site, "");
    write_text(good);
    assert_int_equal(identity_of(gate, headers[1], &who, &err), STATUS_OK);
    chmod(path, 0644);
    assert_int_equal(identity_of(gate, headers[1], &who, &err), STATUS_RETRY);
    unlink(path);
    assert_int_equal(identity_of(gate, headers[1], &who, &err), STATUS_REJECTED);
    free(good);
    identity_close(gate);
}

#define KEY(id, hash, rest)                                                                                  \
    "{\"schema\":\"skinsight.api_keys.v1\",\"keys\":[{\"id\":\"" id "\",\"sha256\":\"" hash "\"," rest "}]}"
#define HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define REST(actor, site, role, urgent, created, revoked)                                                    \
    "\"actor\":" actor ",\"site\":" site ",\"role\":" role ",\"urgent\":" urgent ",\"created_at\":" created  \
    ",\"revoked_at\":" revoked
#define GOOD_REST REST("\"a\"", "\"s\"", "\"reader\"", "false", "1", "null")

static void test_files_that_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{\"schema\":\"skinsight.api_keys.v2\",\"keys\":[]}",
        "{\"schema\":\"skinsight.api_keys.v1\",\"keys\":{}}",
        "{\"schema\":\"skinsight.api_keys.v1\",\"keys\":[],\"more\":1}",
        "{\"schema\":\"skinsight.api_keys.v1\",\"keys\":[1]}",
        KEY("0123456789a", HASH, GOOD_REST),
        KEY("0123456789ag", HASH, GOOD_REST),
        KEY("0123456789ab", "00", GOOD_REST),
        KEY("0123456789ab", HASH, REST("\"\"", "\"s\"", "\"reader\"", "false", "1", "null")),
        KEY("0123456789ab", HASH, REST("\"a b\"", "\"s\"", "\"reader\"", "false", "1", "null")),
        KEY("0123456789ab", HASH, REST("\"a\"", "\"a/b\"", "\"reader\"", "false", "1", "null")),
        KEY("0123456789ab", HASH, REST("\"a\"", "7", "\"reader\"", "false", "1", "null")),
        KEY("0123456789ab", HASH, REST("\"a\"", "\"s\"", "\"root\"", "false", "1", "null")),
        KEY("0123456789ab", HASH, REST("\"a\"", "\"s\"", "\"reader\"", "0", "1", "null")),
        KEY("0123456789ab", HASH, REST("\"a\"", "\"s\"", "\"reader\"", "false", "1.5", "null")),
        KEY("0123456789ab", HASH, REST("\"a\"", "\"s\"", "\"reader\"", "false", "1", "0")),
        KEY("0123456789ab", HASH, "\"site\":\"t\"," GOOD_REST),
        KEY("0123456789ab", HASH, "\"more\":1," GOOD_REST),
    };
    struct api_keys keys;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text(bad[i]);
        if (api_keys_read(path, &keys, &err) != STATUS_REJECTED)
            fail_msg("accepted: %s", bad[i]);
        api_keys_release(&keys);
    }
    write_text(KEY("0123456789ab", HASH, GOOD_REST));
    assert_int_equal(api_keys_read(path, &keys, &err), STATUS_OK);
    assert_int_equal(keys.count, 1);
    api_keys_release(&keys);
    const struct identity_options none = {.api_keys = "", .jwt_jwks = ""};
    struct identity_gate *gate;
    assert_int_equal(identity_open(&gate, &none, &err), STATUS_REJECTED);
}

// Commands at the same time lose no key.
static void test_commands_side_by_side(void **state)
{
    (void)state;
    enum { COMMANDS = 6, EACH = 5 };
    pid_t children[COMMANDS];
    for (int i = 0; i < COMMANDS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            char text[API_KEY_SIZE];
            for (int k = 0; k < EACH; k++)
                add_key("many", "north", ROLE_READER, text);
            _exit(0);
        }
    }
    for (int i = 0; i < COMMANDS; i++)
        waitpid(children[i], NULL, 0);
    struct api_keys keys;
    assert_int_equal(api_keys_read(path, &keys, &err), STATUS_OK);
    assert_int_equal(keys.count, COMMANDS * EACH);
    api_keys_release(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_key_is_known_by_its_hash, clear),
        cmocka_unit_test_setup(test_headers, clear),
        cmocka_unit_test_setup(test_a_revoked_key_ends_with_the_next_request, clear),
        cmocka_unit_test_setup(test_files_that_are_none, clear),
        cmocka_unit_test_setup(test_commands_side_by_side, clear),
    };
    scratch_make(folder);
    snprintf(path, sizeof path, "%s/keys.json", folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
