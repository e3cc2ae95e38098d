// both_stores.h: runs a program's cases twice, on a SQLite file and on a real PostgreSQL server, which is
// left out where it is not installed. The cases open store_url.
#ifndef SKINSIGHT_TESTS_SUPPORT_BOTH_STORES_H
#define SKINSIGHT_TESTS_SUPPORT_BOTH_STORES_H

#include <cmocka.h>

#include "tests/support/postgres.h"

static char store_url[SCRATCH_SIZE + 64];

// The program's exit code.
TEST_HELPER int run_on_both_stores(const struct CMUnitTest *cases, size_t count)
{
    char folder[SCRATCH_SIZE];
    struct postgres server;
    scratch_make(folder);
    snprintf(store_url, sizeof store_url, "sqlite://%s/store.db", folder);
    int failed = _cmocka_run_group_tests("SQLite", cases, count, NULL, NULL);
    scratch_remove(folder);
    if (!postgres_start(&server) && !server.programs[0]) {
        fprintf(stderr, "skipped: PostgreSQL is not installed\n");
        return failed;
    }
    snprintf(store_url, sizeof store_url, "%s", server.url);
    failed += _cmocka_run_group_tests("PostgreSQL", cases, count, NULL, NULL);
    postgres_stop(&server);
    return failed;
}

#endif
