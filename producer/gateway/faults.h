// faults.h: the moments at which a test has the gateway, or its producer, die: what a crash there leaves
// behind is known (docs/RELIABILITY.md) and looked at. Only skinsight-producer-faults, which is built with
// the tests, does it; skinsight-producer takes the variables for unknown ones.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_FAULTS_H
#define SKINSIGHT_PRODUCER_GATEWAY_FAULTS_H

enum fault {
    FAULT_ACCEPTED,  // the row is in SQL, Kafka has no job yet
    FAULT_PRODUCED,  // Kafka may have the job, and has not said so
    FAULT_DELIVERED, // Kafka has said so, and SQL does not know
    FAULT_QUEUED,    // the row is queued, nobody has been told
    FAULT_ARRIVED,   // the terminal record is here, and not in SQL
    FAULT_STORED,    // the answer is in SQL, and the client has none
    FAULT_COUNT
};

// SKINSIGHT_TEST_KILL_AT=accepted, produced, delivered ...: the process ends there, as by SIGKILL.
void fault_point(enum fault fault);

struct record_sender;
// SKINSIGHT_TEST_FATAL=1: librdkafka gives up the process's first producer once it has its first job.
void fault_sender(struct record_sender *sender);

#endif
