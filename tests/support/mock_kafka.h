// mock_kafka.h: a worker whose brokers are librdkafka's mock cluster, threads of this process, with one topic
// of routine jobs. They speak the protocol without quotas or durability, and transactions' markers only where
// a test writes them: what matters is tried on real brokers (tests/chaos).
#ifndef SKINSIGHT_TESTS_SUPPORT_MOCK_KAFKA_H
#define SKINSIGHT_TESTS_SUPPORT_MOCK_KAFKA_H

#include <arpa/inet.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

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

TEST_HELPER uint32_t mock_kafka_crc32c(const uint8_t *data, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

// The end of a transaction as brokers write it into a log: a batch with the control bit and one record. The
// mock brokers keep the batches that they are sent as they are, so this sends one.
TEST_HELPER void mock_kafka_write_marker(struct mock_kafka *mock, int32_t partition, bool committed)
{
    // clang-format off
    enum { PARTITION = 44, CRC = 66, ATTRIBUTES = 70, TYPE = 118, SIZE = 127 };
    uint8_t request[SIZE] = {
        0, 0, 0, SIZE - 4, 0, 0, 0, 7, 0, 0, 0, 1, 255, 255,           // Produce, version 7, no client id
        255, 255, 255, 255, 0, 0, 39, 16,                              // no transaction, acks, timeout
        0, 0, 0, 1, 0, 9, 'm', 'o', 'c', 'k', '.', 'j', 'o', 'b', 's', // topics
        0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 78,                           // partitions, size of the batch
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 66, 0, 0, 0, 0, 2,            // offset, size, leader, version
        0, 0, 0, 0, 0, 0x30, 0, 0, 0, 0,                               // CRC, control | transaction, last
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,                // times
        0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 255, 255, 255, 255, 0, 0, 0, 1,  // producer, epoch, sequence, records
        32, 0, 0, 0, 8, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0};          // the record: key: version and type
    // clang-format on
    request[PARTITION] = (uint8_t)partition;
    request[TYPE] = committed;
    uint32_t crc = htonl(mock_kafka_crc32c(request + ATTRIBUTES, SIZE - ATTRIBUTES));
    memcpy(request + CRC, &crc, sizeof crc);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *port = strrchr(rd_kafka_mock_cluster_bootstraps(mock->cluster), ':') + 1;
    address.sin_port = htons((uint16_t)atoi(port));
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    uint8_t reply[1]; // it is written then
    if (connect(connection, (struct sockaddr *)&address, sizeof address) != 0 ||
        send(connection, request, SIZE, 0) != SIZE || recv(connection, reply, 1, 0) != 1)
        abort();
    close(connection);
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
