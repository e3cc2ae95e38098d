// main.c: skinsight-monitor, which watches what the workers answer and what becomes of it.
// Only the table of its commands stands here; config_main() does the rest.
#include "common/audit/command.h"
#include "common/identity/gate.h"
#include "common/program/config.h"
#include "monitor/archive/collect.h"
#include "monitor/archive/import.h"
#include "monitor/comparison/plan_command.h"
#include "monitor/drift/command.h"
#include "monitor/report/command.h"
#include "monitor/service/cost.h"
#include "monitor/service/metrics_rows.h"
#include "monitor/service/run.h"
#include "monitor/simulate/simulate.h"

static const struct command commands[] = {
    {
        .name = "run",
        .arguments = "",
        .summary =
            "the service: collects, and shows reports, alarms, metrics and how many workers are wanted",
        .example = "skinsight-monitor run --store sqlite:///var/lib/monitor.db --workers-metrics "
                   "http://workers:9100/metrics",
        .run = run_command,
        .options =
            "brokers predictions_topic feedback_topic store retention_days references "
            "reference_key alarm_budget_per_year monitor_listen http_tls_cert http_tls_key " IDENTITY_OPTIONS
            " audit_chain audit_key report_folder report_folder_days report_folder_wait_s workers_metrics "
            "scale_min scale_max job_deadline_ms price_table "
            "log_level",
        .required = "store",
        .check = run_check,
    },
    {
        .name = "collect",
        .arguments = "",
        .summary = "follows predictions and feedback into the archive",
        .example = "skinsight-monitor collect --store sqlite:///var/lib/skinsight/monitor.db",
        .flags = collect_flags,
        .run = collect_run,
        .options = "brokers predictions_topic feedback_topic store retention_days log_level",
        .required = "store",
    },
    {
        .name = "rebuild",
        .arguments = "",
        .summary =
            "reads all that the topics hold once more; what the archive lacks comes back, and nothing goes",
        .example = "skinsight-monitor rebuild --store sqlite:///var/lib/skinsight/monitor.db",
        .run = rebuild_run,
        .options = "brokers predictions_topic feedback_topic store retention_days log_level",
        .required = "store",
    },
    {
        .name = "import-predictions",
        .arguments = "FILE",
        .arguments_min = 1,
        .arguments_max = 1,
        .summary =
            "history of answers, one terminal record in a line, into the archive; again changes nothing",
        .example =
            "skinsight-monitor import-predictions predictions.jsonl --store sqlite:///var/lib/monitor.db",
        .run = import_predictions_run,
        .options = "store predictions_topic log_level",
        .required = "store",
    },
    {
        .name = "import-feedback",
        .arguments = "FILE",
        .arguments_min = 1,
        .arguments_max = 1,
        .summary = "history of confirmed diagnoses, one feedback record in a line, into the archive",
        .example = "skinsight-monitor import-feedback feedback.jsonl --store sqlite:///var/lib/monitor.db",
        .run = import_feedback_run,
        .options = "store feedback_topic log_level",
        .required = "store",
    },
    {
        .name = "plan",
        .arguments = "",
        .summary =
            "power of a comparison of two models before it starts, the size that would do, and the plan's "
            "registration",
        .example = "skinsight-monitor plan --kind ab --p0 0.90 --p1 0.95 --n-a 96 --n-b 12",
        .flags = plan_flags,
        .options = "store audit_chain log_level",
        .check = plan_check,
        .run = plan_command,
    },
    {
        .name = "simulate",
        .arguments = "",
        .summary = "a seeded clinic's answers and labels, with planted changes, as files or to Kafka",
        .example = "skinsight-monitor simulate --seed 7 --days 28 --plant melanoma_share --out clinic",
        .flags = simulate_flags,
        .options = "brokers predictions_topic feedback_topic",
        .check = simulate_check,
        .run = simulate_run,
    },
    {
        .name = "cost",
        .arguments = "",
        .summary = "what 1,000 analyses and a training run cost, from rates and a table of prices",
        .example = "skinsight-monitor cost --price-table deploy/prices.json --workers 2 --per-hour 36000",
        .flags = cost_flags,
        .run = cost_command,
        .options = "price_table",
        .required = "price_table",
    },
    {
        .name = "report",
        .arguments = "",
        .summary = "one report as a page and as JSON, published, so that it can be made again byte for byte",
        .example =
            "skinsight-monitor report --kind drift --store sqlite:///var/lib/monitor.db --out drift.html",
        .flags = report_flags,
        .run = report_command,
        .options = "store references reference_key alarm_budget_per_year audit_chain log_level",
        .required = "store",
        .check = report_check,
    },
    {
        .name = "reference",
        .arguments = "create|sign|show ID",
        .arguments_min = 2,
        .arguments_max = 2,
        .summary = "what a clinic is like while all is well: create it from the archive, sign it, show it",
        .example = "skinsight-monitor reference create north-2026 --from 2026-11-02 --to 2026-11-30 "
                   "--references refs",
        .flags = reference_flags,
        .run = reference_command,
        .options = "store references reference_key alarm_budget_per_year log_level",
        .required = "references",
        .check = reference_command_check,
    },
    {
        .name = "audit",
        .arguments = "export | verify FILE [HEAD-FILE...]",
        .arguments_min = 1,
        .arguments_max = SIZE_MAX,
        .summary = "exports the record of who read lists of answers, and says whether an export is whole",
        .example = "skinsight-monitor audit export --store sqlite:///var/lib/monitor.db --output audit.jsonl",
        .flags = audit_flags,
        .options = "store audit_chain",
        .check = audit_check,
        .run = audit_run,
    },
    {0},
};

int main(int argc, char **argv)
{
    static const struct program program = {
        .name = "skinsight-monitor",
        .bit = PROGRAM_MONITOR,
        .summary = "watches answers and labels: drift, comparison of models, reports, alarms, scale",
        .commands = commands,
        .metrics = &monitor_metrics,
    };
    return config_main(&program, argc, argv);
}
