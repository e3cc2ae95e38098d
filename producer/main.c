// main.c: skinsight-producer, the door through which images enter SkinSight and answers leave it.
// Only the table of its commands stands here; config_main() does the rest.
#include <stdint.h>

#include "common/audit/command.h"
#include "common/identity/gate.h"
#include "common/program/config.h"
#include "producer/dead_letters.h"
#include "producer/gateway/doctor.h"
#include "producer/gateway/metrics_rows.h"
#include "producer/gateway/serve.h"
#include "producer/identity/keys.h"
#include "producer/send_feedback.h"
#include "producer/submit.h"
#include "producer/topics.h"

static const struct command commands[] = {
    {
        .name = "submit",
        .arguments = "PATH...",
        .arguments_min = 1,
        .arguments_max = SIZE_MAX,
        .summary = "sends images, and every .jpg and .jpeg of folders, as jobs; --wait shows the answers",
        .example = "skinsight-producer submit --wait --urgent lesion.jpg photographs/",
        .flags = submit_flags,
        .options = "brokers jobs_topic urgent_jobs_topic predictions_topic objects s3_endpoint s3_region "
                   "object_timeout_ms inline_limit_bytes keep_images max_image_bytes",
        .run = submit_run,
    },
    {
        .name = "topics",
        .arguments = "",
        .summary = "shows the Kafka topics SkinSight uses; --create makes those that are missing",
        .example = "skinsight-producer topics --create --partitions 16 --brokers kafka-1:9092",
        .flags = topics_flags,
        .options = "brokers jobs_topic urgent_jobs_topic predictions_topic dead_letters_topic feedback_topic "
                   "control_topic",
        .run = topics_run,
    },
    {
        .name = "dead-letters",
        .arguments = "list|replay",
        .arguments_min = 1,
        .arguments_max = 1,
        .summary = "shows the jobs that failed, or sends them again once what was wrong is mended",
        .example =
            "skinsight-producer dead-letters replay --reason image_unavailable --since 2026-11-23T08:00",
        .flags = dead_letters_flags,
        .options = "brokers jobs_topic urgent_jobs_topic dead_letters_topic",
        .check = dead_letters_check,
        .run = dead_letters_run,
    },
    {
        .name = "keys",
        .arguments = "add|list|revoke [KEY-ID]",
        .arguments_min = 1,
        .arguments_max = 2,
        .summary = "makes, lists and revokes the API keys of the gateway; a key is shown once",
        .example =
            "skinsight-producer keys add --actor dr-lee --site north --role analyst --api-keys keys.json",
        .flags = keys_flags,
        .options = "api_keys store audit_chain",
        .required = "api_keys",
        .check = keys_check,
        .run = keys_run,
    },
    {
        .name = "serve",
        .arguments = "",
        .summary = "the gateway: takes analyses over HTTP, hands them to the workers, gives their answers",
        .example =
            "skinsight-producer serve --api-keys keys.json --store sqlite:///var/lib/skinsight/gateway.db",
        .options =
            "brokers jobs_topic urgent_jobs_topic predictions_topic feedback_topic objects s3_endpoint "
            "s3_region object_timeout_ms inline_limit_bytes keep_images max_image_bytes drain_timeout_ms "
            "http_listen http_tls_cert http_tls_key admin_address public_url store answer_timeout_ms "
            "job_deadline_ms inflight_limit body_limit_bytes bodies_limit_bytes link_key "
            "link_lifetime_s subject_key requests_retention_days " IDENTITY_OPTIONS
            " audit_chain audit_key rate_per_s rate_burst daily_quota",
        .required = "store",
        .check = serve_check,
        .run = serve_run,
    },
    {
        .name = "doctor",
        .arguments = "",
        .summary = "looks at each thing the gateway depends on and says how to mend it",
        .example =
            "skinsight-producer doctor --api-keys keys.json --store sqlite:///var/lib/skinsight/store.db",
        .options =
            "brokers jobs_topic urgent_jobs_topic predictions_topic feedback_topic objects s3_endpoint "
            "s3_region object_timeout_ms public_url store link_key subject_key api_keys audit_key",
        .required = "api_keys store",
        .run = gateway_doctor,
    },
    {
        .name = "feedback",
        .arguments = "FILE.csv",
        .arguments_min = 1,
        .arguments_max = 1,
        .summary = "sends diagnoses that were confirmed later; the columns are named as the record's fields",
        .example = "skinsight-producer feedback labels.csv",
        .flags = send_feedback_flags,
        .options = "brokers feedback_topic",
        .run = send_feedback_run,
    },
    {
        .name = "audit",
        .arguments = "export | verify FILE [HEAD-FILE...]",
        .arguments_min = 1,
        .arguments_max = SIZE_MAX,
        .summary = "exports the record of who saw what, and says whether an export is whole",
        .example = "skinsight-producer audit verify audit.jsonl --public-key audit-public.pem",
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
        .name = "skinsight-producer",
        .bit = PROGRAM_PRODUCER,
        .summary = "sends images of skin lesions to the workers and shows their answers",
        .commands = commands,
        .metrics = &gateway_metrics,
    };
    return config_main(&program, argc, argv);
}
