"""cluster.py: who does what among several brokers (harness.Stack(brokers=3)), as they tell it themselves.

Brokers are numbers from 1, as in Stack.broker(); a broker's node.id is one more (deploy/services.sh).
"""
import collections
import json
import struct

import harness
from harness import expect, wait_until

Place = collections.namedtuple("Place", "leader replicas in_sync")
Place.__doc__ = "A partition's leader (None: it has none) and the brokers that keep it and that have all of it."

GROUP, TRANSACTION = 0, 1  # what a coordinator keeps


def address(stack, number):
    return stack.brokers.split(",")[number - 1]


def places(stack, asked=None):
    """{(topic, partition): Place} of all topics. asked: the broker that is asked, else any that answers."""
    told = json.loads(harness.kcat(address(stack, asked) if asked else stack.brokers, "-L", "-J"))
    return {(topic["topic"], partition["partition"]):
            Place(partition["leader"] - 1 if partition["leader"] > 0 else None,
                  [replica["id"] - 1 for replica in partition["replicas"]],
                  [replica["id"] - 1 for replica in partition["isrs"]])
            for topic in told["topics"] for partition in topic["partitions"]}


def wait_whole(stack, timeout_s=harness.WAIT_S):
    """Until every broker has all of every partition, and each one says so."""
    def whole(asked):
        return all(set(place.in_sync) == set(place.replicas) and place.leader for place in places(stack, asked).values())
    wait_until(lambda: all(whole(number + 1) for number in range(stack.broker_count)), "all replicas are in sync", timeout_s)


def coordinator(stack, key, kind):
    """The broker that keeps a group or a transactional id (FindCoordinator version 1)."""
    def ask():
        for number in range(stack.broker_count):
            try:
                reply = harness.ask_broker(address(stack, number + 1), 10, 1, harness.wire_text(key) + bytes([kind]))
            except OSError:
                continue
            if struct.unpack_from(">h", reply, 8)[0] == 0:
                at = 10 + 2 + max(struct.unpack_from(">h", reply, 10)[0], 0)
                return struct.unpack_from(">i", reply, at)[0] - 1
        return None
    found = wait_until(ask, f"a coordinator of {key}")
    expect(0 < found <= stack.broker_count, f"the coordinator of {key} is broker {found}")
    return found


def create_topic(stack, topic, replicas, **config):
    """CreateTopics version 2: for each partition the brokers that keep it, the first of them as its leader."""
    text = harness.wire_text
    assigned = b"".join(struct.pack(f">ii{len(brokers)}i", partition, len(brokers), *(broker + 1 for broker in brokers))
                        for partition, brokers in enumerate(replicas))
    settings = b"".join(text(name.replace("_", ".")) + text(str(value)) for name, value in config.items())
    reply = harness.ask_broker(stack.brokers, 19, 2, struct.pack(">i", 1) + text(topic) +
                               struct.pack(">ihi", -1, -1, len(replicas)) + assigned +
                               struct.pack(">i", len(config)) + settings + struct.pack(">i?", 30000, False))
    harness.expect_equal(struct.unpack_from(">h", reply, 12 + 2 + len(topic))[0], 0, f"Kafka's error code for {topic}")
