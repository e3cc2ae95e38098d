// cost.c: a table and two products.
#include "monitor/service/cost.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/json_write.h"

#define SCHEMA "skinsight.prices.v1"

static const double price_most = 1e6, hours_of_month = 730;

static bool take_price(const cJSON *object, const char *name, double *price)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= price_most))
        return false;
    *price = item->valuedouble;
    return true;
}

static bool take_sum(const cJSON *object, const char *name, double *sum)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, name), *item;
    *sum = 0;
    if (!cJSON_IsArray(list))
        return false;
    cJSON_ArrayForEach(item, list)
    {
        double price;
        if (!take_price(item, "price", &price) ||
            !cJSON_IsString(cJSON_GetObjectItemCaseSensitive(item, "name")))
            return false;
        *sum += price;
    }
    return true;
}

static bool take_text(const cJSON *object, const char *name, char *out, size_t size)
{
    return json_copy_text(cJSON_GetObjectItemCaseSensitive(object, name), out, size) && *out;
}

static bool take_table(const cJSON *json, struct price_table *table)
{
    char schema[sizeof SCHEMA];
    return take_text(json, "schema", schema, sizeof schema) && strcmp(schema, SCHEMA) == 0 &&
           take_text(json, "currency", table->currency, sizeof table->currency) &&
           strspn(table->currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(table->currency) &&
           take_price(json, "worker_hour", &table->worker_hour) &&
           take_price(json, "training_device_hour", &table->training_device_hour) &&
           take_sum(json, "fixed_month", &table->fixed_month) &&
           take_sum(json, "per_1000_analyses", &table->per_1000_analyses);
}

enum status price_table_parse(struct bytes text, struct price_table *table, struct error *err)
{
    static const struct json_limits limits = {COST_TABLE_MOST, 4096, 4};
    cJSON *json = NULL;
    *table = (struct price_table){0};
    enum status status = json_parse(text, &limits, &json, err);
    if (status == STATUS_OK && (json_repeated_name(json) || !take_table(json, table)))
        status = error_set(err, STATUS_REJECTED, "the price table is none of %s", SCHEMA);
    cJSON_Delete(json);
    return status;
}

enum status price_table_read(const char *path, struct price_table *table, struct error *err)
{
    struct buffer text;
    buffer_init(&text, COST_TABLE_MOST);
    enum status status = file_read(path, &text, err);
    if (status == STATUS_OK) {
        status = price_table_parse(buffer_bytes(&text), table, err);
        if (status != STATUS_OK)
            error_prefix(err, "%s", path);
    }
    buffer_release(&text);
    return status;
}

double cost_per_1000(const struct price_table *table, double workers, double per_s)
{
    if (!(per_s > 0))
        return NAN;
    double hour = workers * table->worker_hour + table->fixed_month / hours_of_month;
    return hour / (per_s * 3600) * 1000 + table->per_1000_analyses;
}

double cost_of_training(const struct price_table *table, double devices, double hours)
{
    return devices * hours * table->training_device_hour;
}

// ---- the command ----

const struct option cost_flags[] = {
    {.name = "workers",
     .type = OPTION_INTEGER,
     .initial = "2",
     .min = 0,
     .max = 100000,
     .value = "N",
     .help = "workers that run"},
    {.name = "per_hour",
     .type = OPTION_INTEGER,
     .initial = "1000",
     .min = 1,
     .max = 1000000000,
     .value = "N",
     .help = "analyses that they answer in an hour together"},
    {.name = "training_devices",
     .type = OPTION_INTEGER,
     .initial = "0",
     .min = 0,
     .max = 100000,
     .value = "N",
     .help = "devices of a training run"},
    {.name = "training_minutes",
     .type = OPTION_INTEGER,
     .initial = "0",
     .min = 0,
     .max = 10000000,
     .value = "N",
     .help = "minutes of it"},
    {.name = NULL},
};

enum status cost_command(struct config *config, struct error *err)
{
    struct price_table table;
    struct json_line line;
    enum status status = price_table_read(config_text(config, "price_table"), &table, err);
    if (status != STATUS_OK)
        return status;
    double workers = (double)config_integer(config, "workers");
    double per_s = (double)config_integer(config, "per_hour") / 3600;
    double devices = (double)config_integer(config, "training_devices");
    double hours = (double)config_integer(config, "training_minutes") / 60;
    struct json_writer *writer = json_line_begin(&line);
    json_add_text(writer, "currency", table.currency);
    json_add_double(writer, "per_1000_analyses", cost_per_1000(&table, workers, per_s));
    json_add_double(writer, "training_run", cost_of_training(&table, devices, hours));
    json_line_end(&line, stdout);
    return STATUS_OK;
}
