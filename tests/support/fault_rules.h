// fault_rules.h: what the fault proxy shall do to which request. Pure data: no sockets, no threads; the
// caller locks.
//
// One rule a line:     <what> <which> <client> <fault> [number]
//   what     a Kafka request ("Produce", "TxnOffsetCommit", "EndTxn", "EndTxnCommit", "EndTxnAbort", ...,
//   "*"),
//            or "connection" for a proxy of plain bytes
//   which    "every", or n: only the nth that matches from the moment the rule was added
//   client   the beginning of the client id, or "*"
//   fault    of a Kafka request:
//              delay MS         forwarded later, and everything behind it
//              cut              connection closed before the broker saw the request
//              reset            the same by a TCP reset
//              drop-response    the broker applies the request; its reply is lost with the connection
//              error CODE       applied, but the client reads this error for the last partition;
//              TxnOffsetCommit hold             kept here, with nothing behind it let through; the client's
//              side is closed, the
//                               broker's side stays open
//              release [MS]     when the reply to this request comes, whatever is held goes to the broker
//              first;
//                               MS later the reply goes to the client
//            of a connection, counted in bytes of replies from the moment the rule holds:
//              hang             nothing passes any more, either way
//              delay MS         each piece of a reply is late
//              reset N | truncate N    reset or closed after N bytes
//              slow N           N bytes a second
// Other lines:         random <seed> <rate> <client>    each request of these clients is, with this
// probability,
//                                                       delayed, cut, reset, or its reply dropped
//                      clear                            forgets all rules
//                      release                          lets go everything held, now
// Empty lines and those that begin with # are skipped. The first rule that matches is the one that counts.
#ifndef SKINSIGHT_TESTS_SUPPORT_FAULT_RULES_H
#define SKINSIGHT_TESTS_SUPPORT_FAULT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/kafka_frames.h"

enum fault_kind {
    FAULT_NONE,
    FAULT_DELAY,
    FAULT_CUT,
    FAULT_RESET,
    FAULT_DROP_RESPONSE,
    FAULT_HOLD,
    FAULT_RELEASE,
    FAULT_HANG,
    FAULT_SLOW,
    FAULT_TRUNCATE,
    FAULT_ERROR,
};

struct fault {
    enum fault_kind kind;
    long number; // milliseconds, bytes, bytes a second or an error code
};

enum { RULES_MAX = 512, RULE_TEXT_SIZE = 256 };

struct fault_rule {
    char what[32];
    long nth; // 0: every
    char client[KAFKA_CLIENT_SIZE];
    struct fault fault;
    long seen; // requests that matched so far
};

struct fault_rules {
    struct fault_rule rules[RULES_MAX];
    int count;
    bool holding;    // something is held; set by the caller
    uint64_t random; // state of the generator
    double random_rate;
    char random_client[KAFKA_CLIENT_SIZE];
};

enum rule_line { RULE_ADDED, RULE_NOTHING, RULE_RELEASE, RULE_WRONG };
// Takes one line. RULE_RELEASE is the caller's to do. RULE_WRONG: nothing changed.
enum rule_line fault_rules_take(struct fault_rules *rules, const char *line);

// The fault for this request; counts it in every rule that it matches.
struct fault fault_rules_of_request(struct fault_rules *rules, const struct kafka_request *request);
// The same for a new connection of plain bytes; and the fault that holds for all connections, old ones too.
struct fault fault_rules_of_connection(struct fault_rules *rules);
struct fault fault_rules_of_all_connections(const struct fault_rules *rules);

const char *fault_name(enum fault_kind kind);

#endif
