// fault_rules.c: reads rules and finds the one that counts.
#include "tests/support/fault_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    [FAULT_NONE] = "none",
    [FAULT_DELAY] = "delay",
    [FAULT_CUT] = "cut",
    [FAULT_RESET] = "reset",
    [FAULT_DROP_RESPONSE] = "drop-response",
    [FAULT_HOLD] = "hold",
    [FAULT_RELEASE] = "release",
    [FAULT_HANG] = "hang",
    [FAULT_SLOW] = "slow",
    [FAULT_TRUNCATE] = "truncate",
    [FAULT_ERROR] = "error",
};
enum { NAME_COUNT = sizeof names / sizeof *names, RANDOM_DELAY_MS = 400 };

const char *fault_name(enum fault_kind kind)
{
    return names[kind];
}

static bool read_which(const char *text, long *nth)
{
    char *end;
    if (strcmp(text, "every") == 0) {
        *nth = 0;
        return true;
    }
    *nth = strtol(text, &end, 10);
    return *end == '\0' && *nth > 0;
}

static bool read_fault(const char *text, bool connection, struct fault *fault)
{
    for (int kind = FAULT_DELAY; kind < NAME_COUNT; kind++)
        if (strcmp(names[kind], text) == 0)
            fault->kind = (enum fault_kind)kind;
    bool of_bytes = fault->kind == FAULT_HANG || fault->kind == FAULT_SLOW || fault->kind == FAULT_TRUNCATE;
    bool of_both = fault->kind == FAULT_DELAY || fault->kind == FAULT_RESET;
    return fault->kind != FAULT_NONE && (of_both || of_bytes == connection) && fault->number >= 0;
}

static enum rule_line take_rule(struct fault_rules *rules, const char *line)
{
    struct fault_rule rule = {.nth = 0};
    char which[32], fault[32];
    int fields =
        sscanf(line, "%31s %31s %63s %31s %ld", rule.what, which, rule.client, fault, &rule.fault.number);
    bool connection = strcmp(rule.what, "connection") == 0;
    if (fields < 4 || rules->count == RULES_MAX || !read_which(which, &rule.nth) ||
        !(connection || kafka_api_known(rule.what)) || !read_fault(fault, connection, &rule.fault))
        return RULE_WRONG;
    rules->rules[rules->count++] = rule;
    return RULE_ADDED;
}

static enum rule_line take_random(struct fault_rules *rules, const char *line)
{
    unsigned long long seed;
    double rate;
    char client[KAFKA_CLIENT_SIZE];
    if (sscanf(line, "random %llu %lf %63s", &seed, &rate, client) != 3 || !(rate >= 0 && rate <= 1))
        return RULE_WRONG;
    rules->random = seed;
    rules->random_rate = rate;
    strcpy(rules->random_client, client);
    return RULE_ADDED;
}

enum rule_line fault_rules_take(struct fault_rules *rules, const char *line)
{
    char first[32] = "";
    if (sscanf(line, "%31s", first) != 1 || *first == '#')
        return RULE_NOTHING;
    if (strcmp(first, "clear") == 0) {
        rules->count = 0;
        rules->random_rate = 0;
        return RULE_ADDED;
    }
    if (strcmp(first, "release") == 0)
        return RULE_RELEASE;
    return strcmp(first, "random") == 0 ? take_random(rules, line) : take_rule(rules, line);
}

// splitmix64: the same faults for the same seed and the same requests.
static uint64_t draw(struct fault_rules *rules)
{
    uint64_t value = rules->random += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

static bool begins(const char *text, const char *start)
{
    return strcmp(start, "*") == 0 || strncmp(text, start, strlen(start)) == 0;
}

static struct fault draw_fault(struct fault_rules *rules, const char *client)
{
    static const enum fault_kind kinds[] = {FAULT_DELAY, FAULT_CUT, FAULT_RESET, FAULT_DROP_RESPONSE};
    struct fault fault = {FAULT_NONE, 0};
    if (rules->random_rate == 0 || !begins(client, rules->random_client))
        return fault;
    if ((double)(draw(rules) >> 11) / (double)(UINT64_C(1) << 53) >= rules->random_rate)
        return fault;
    fault.kind = kinds[draw(rules) % (sizeof kinds / sizeof *kinds)];
    fault.number = fault.kind == FAULT_DELAY ? (long)(draw(rules) % RANDOM_DELAY_MS) : 0;
    return fault;
}

struct fault fault_rules_of_request(struct fault_rules *rules, const struct kafka_request *request)
{
    struct fault fault = draw_fault(rules, request->client);
    bool found = false;
    for (int i = 0; i < rules->count; i++) {
        struct fault_rule *rule = &rules->rules[i];
        if (!kafka_api_matches(rule->what, request) || !begins(request->client, rule->client))
            continue;
        if (rule->fault.kind == FAULT_RELEASE && !rules->holding)
            continue;
        rule->seen++;
        if (!found && (rule->nth == 0 || rule->seen == rule->nth)) {
            fault = rule->fault;
            found = true;
        }
    }
    return fault;
}

struct fault fault_rules_of_connection(struct fault_rules *rules)
{
    struct fault fault = {FAULT_NONE, 0};
    for (int i = 0; i < rules->count; i++) {
        struct fault_rule *rule = &rules->rules[i];
        rule->seen++;
        if (fault.kind == FAULT_NONE && rule->nth > 0 && rule->seen == rule->nth)
            fault = rule->fault;
    }
    return fault;
}

struct fault fault_rules_of_all_connections(const struct fault_rules *rules)
{
    for (int i = 0; i < rules->count; i++)
        if (rules->rules[i].nth == 0)
            return rules->rules[i].fault;
    return (struct fault){FAULT_NONE, 0};
}
