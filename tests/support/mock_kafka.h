// mock_kafka.h: a worker whose brokers are librdkafka's mock cluster, threads of this process, with one topic
// of routine jobs. They speak the protocol without transactions' markers, quotas or durability: what matters
// is tried on real brokers (tests/chaos).
#ifndef SKINSIGHT_TESTS_SUPPORT_MOCK_KAFKA_H
#define SKINSIGHT_TESTS_SUPPORT_MOCK_KAFKA_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/process.h"
#include "worker/worker.h"

struct mock_kafka {
    rd_kafka_t *owner; // of the cluster, and the producer
    rd_kafka_mock_cluster_t *cluster;
    struct config *config;
    struct worker *worker; // with a consumer of its group, which joins nothing
};

TEST_HELPER void mock_kafka_start(struct mock_kafka *mock, int brokers, int partitions)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "batch.num.messages", "1", text, sizeof text);
    rd_kafka_conf_set(conf, "log_level", "0", text, sizeof text);
    mock->owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    mock->cluster = rd_kafka_mock_cluster_new(mock->owner, brokers);
    rd_kafka_mock_topic_create(mock->cluster, "mock.jobs", partitions, 1);
    rd_kafka_brokers_add(mock->owner, rd_kafka_mock_cluster_bootstraps(mock->cluster));
    snprintf(text, sizeof text, "brokers=%s", rd_kafka_mock_cluster_bootstraps(mock->cluster));
    const char *const settings[] = {text, "jobs_topic=mock.jobs"};
    mock->config = config_new_for_test(PROGRAM_WORKER, settings, 2);
    mock->worker = memory_alloc(sizeof *mock->worker);
    mock->worker->config = mock->config;
    mock->worker->window = 64;
    assignment_init(&mock->worker->assignment);
    broker_clock_init(&mock->worker->broker_clock, 0);
    const struct kafka_setting group = {"group.id", "mock"};
    const struct kafka_client_options options = {
        .type = RD_KAFKA_CONSUMER, .settings = &group, .setting_count = 1, .quiet = true};
    struct error err;
    if (kafka_client_open(&mock->worker->consumer, config_kafka(mock->config), &options, &err) != STATUS_OK)
        abort();
}

// One record in a batch of its own; it is there when this returns.
TEST_HELPER void mock_kafka_write(struct mock_kafka *mock, int32_t partition, const char *value)
{
    rd_kafka_producev(mock->owner, RD_KAFKA_V_TOPIC("mock.jobs"), RD_KAFKA_V_PARTITION(partition),
                      RD_KAFKA_V_VALUE((void *)value, strlen(value)),
                      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    rd_kafka_flush(mock->owner, 10000);
}

TEST_HELPER void mock_kafka_stop(struct mock_kafka *mock)
{
    rd_kafka_destroy(mock->worker->consumer);
    assignment_release(&mock->worker->assignment);
    free(mock->worker);
    config_free(mock->config);
    rd_kafka_mock_cluster_destroy(mock->cluster);
    rd_kafka_destroy(mock->owner);
}

#endif
