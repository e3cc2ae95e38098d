// cost.h: what analyses and training cost, from rates that were measured and a table of prices that is the
// operator's (deploy/prices.json is an example, not an offer).
//
// The table: {"schema": "skinsight.prices.v1", "currency", "worker_hour": of one worker with its device,
// "training_device_hour", "fixed_month": [{"name", "price"}] of what runs whatever comes,
// "per_1000_analyses":
// [{"name", "price"}] of what each analysis uses besides}. No state, any thread.
#ifndef SKINSIGHT_MONITOR_SERVICE_COST_H
#define SKINSIGHT_MONITOR_SERVICE_COST_H

#include "common/base/bytes.h"
#include "common/program/config.h"

enum { COST_CURRENCY_SIZE = 9, COST_TABLE_MOST = 64 * 1024 };

struct price_table {
    char currency[COST_CURRENCY_SIZE];
    double worker_hour, training_device_hour;
    double fixed_month, per_1000_analyses; // sums of their lists
};

// REJECTED: it is no such table; a price is negative or above a million.
enum status price_table_parse(struct bytes text, struct price_table *table, struct error *err) MUST_CHECK;
enum status price_table_read(const char *path, struct price_table *table, struct error *err) MUST_CHECK;

// Of 1,000 analyses where that many workers together answer per_s. NaN: nothing is answered.
double cost_per_1000(const struct price_table *table, double workers, double per_s);
double cost_of_training(const struct price_table *table, double devices, double hours);

// The command `cost`.
extern const struct option cost_flags[];
enum status cost_command(struct config *config, struct error *err);

#endif
