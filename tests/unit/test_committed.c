// test_committed.c: who is named as the owner of a partition in the next commit.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/program/config.h"
#include "worker/group/committed.h"

enum { WINDOW = 64, OWNER = 7, KEPT = 3, LEFT = 4 };

// The owner that the commit names of the partition.
static uint32_t owner_named(struct worker *worker, int32_t partition, bool running)
{
    struct offsets offsets;
    struct error err;
    rd_kafka_topic_partition_list_t *list =
        committed_list(worker, NULL, 0, running ? COMMIT_RUNNING : COMMIT_RELEASED);
    const rd_kafka_topic_partition_t *entry =
        rd_kafka_topic_partition_list_find(list, job_topic_name(worker, TOPIC_ROUTINE), partition);
    assert_non_null(entry);
    assert_int_equal(offsets_decode(&offsets, entry->offset, WINDOW, entry->metadata, &err), STATUS_OK);
    rd_kafka_topic_partition_list_destroy(list);
    return offsets.owner;
}

static void test_a_partition_that_is_left_out_has_no_owner(void **state)
{
    (void)state;
    struct worker *worker = memory_alloc(sizeof *worker);
    struct config *config = config_new_for_test(PROGRAM_WORKER, NULL, 0);
    struct offsets offsets;
    worker->config = config;
    worker->owner = OWNER;
    worker->window = WINDOW;
    assignment_init(&worker->assignment);
    offsets_init(&offsets, 10, WINDOW);
    assignment_add(&worker->assignment, TOPIC_ROUTINE, KEPT, &offsets);
    assignment_add(&worker->assignment, TOPIC_ROUTINE, LEFT, &offsets);
    assert_int_equal(owner_named(worker, LEFT, true), OWNER);
    assignment_disown(&worker->assignment, TOPIC_ROUTINE, LEFT);
    assert_int_equal(owner_named(worker, LEFT, true), 0);
    assert_int_equal(owner_named(worker, KEPT, true), OWNER);
    assert_int_equal(owner_named(worker, KEPT, false), 0);
    assignment_release(&worker->assignment);
    config_free(config);
    free(worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_partition_that_is_left_out_has_no_owner)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
