// config_options.c: the shared option table, one row per option. A new option is one row here and nothing
// else. The help text is one phrase with the unit; it stands in --help and in docs/CONFIGURATION.md.
#include "common/program/config.h"

#include <string.h>

#include "common/services/http_server.h"
#include "common/services/object_store.h"
#include "common/services/redis.h"

enum {
    P = PROGRAM_PRODUCER,
    W = PROGRAM_WORKER,
    T = PROGRAM_TRAINER,
    M = PROGRAM_MONITOR,
    TOPIC_MAX = 249, // Kafka's own limit
    MINUTE_MS = 60 * 1000,
    YEAR_S = 365 * 24 * 3600,
};

#define MIB                  (INT64_C(1024) * 1024)
#define TEXT(least)          OPTION_TEXT, .min = (least), .max = CONFIG_TEXT_MAX
#define TOPIC                OPTION_NAME, .min = 1, .max = TOPIC_MAX, .value = "TOPIC"
#define INTEGER(least, most) OPTION_INTEGER, .min = (least), .max = (most)
#define CHOICE(names)        OPTION_CHOICE, .choices = names

static enum status check_cache(const char *text, struct error *err)
{
    return strcmp(text, "none") == 0 ? STATUS_OK : redis_url_check(text, err);
}

static enum status check_public_url(const char *text, struct error *err)
{
    size_t length = strlen(text);
    bool good = strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
    if (good && text[length - 1] != '/' && strcspn(text, " \"<>\\?#") == length)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "'%s' is no URL of http or https without '/' at its end", text);
}

const struct option config_options[] = {
    {"brokers", TEXT(1), .initial = "127.0.0.1:9092", .programs = P | W | T | M, .value = "HOST:PORT,...",
     .help = "Kafka brokers to start from"},
    {"jobs_topic", TOPIC, .initial = "skinsight.jobs", .programs = P | W, .help = "routine jobs"},
    {"urgent_jobs_topic", TOPIC, .initial = "skinsight.jobs.urgent", .programs = P | W,
     .help = "jobs that go first"},
    {"predictions_topic", TOPIC, .initial = "skinsight.predictions", .programs = P | W | T | M,
     .help = "answers, one per job record"},
    {"dead_letters_topic", TOPIC, .initial = "skinsight.dead_letters", .programs = P | W,
     .help = "the bytes of jobs that failed"},
    {"feedback_topic", TOPIC, .initial = "skinsight.feedback", .programs = P | T | M,
     .help = "diagnoses confirmed later"},
    {"control_topic", TOPIC, .initial = "skinsight.control", .programs = P | W,
     .help = "which model is in service; made by topics, used by nothing else"},
    {"group", TEXT(1), .initial = "skinsight-workers", .programs = W, .value = "NAME",
     .help = "Kafka consumer group of the workers"},
    {"instance", OPTION_NAME, .initial = "", .programs = W, .max = 64, .value = "NAME",
     .help = "fixed name of this worker in its group; empty: a random one"},

    {"model", TEXT(0), .initial = "", .programs = W, .value = "DIR",
     .help = "directory of the model, as skinsight-trainer import makes one"},
    {"policy", TEXT(0), .initial = "", .programs = W, .value = "FILE",
     .help = "decision policy as JSON; empty: the built-in 2.0.0"},
    {"backend", CHOICE("auto|cpu|cuda|simulated"), .initial = "auto", .programs = W,
     .help = "device; auto: cuda where there is one; simulated: computes nothing"},
    {"precision", CHOICE("auto|fp32|fp16|bf16|int8"), .initial = "fp32", .programs = W,
     .help = "number format of the network; auto: what quantise found near to fp32"},
    {"threads", INTEGER(0, 256), .initial = "0", .programs = W | T, .value = "N",
     .help = "threads that compute on the CPU; 0: every core that mask and quota leave"},

    {"cache", TEXT(1), .initial = "none", .programs = W, .value = "URL", .check = check_cache,
     .help = "redis://[user:password@]host[:port][/database], unix://[...@]/path, or none"},
    {"cache_secret", TEXT(0), .initial = "", .programs = W, .value = "FILE",
     .help = "file of 16 to 1024 bytes that seals cached answers; empty: only a local Redis"},
    {"cache_ttl_s", INTEGER(1, YEAR_S), .initial = "2592000", .programs = W, .value = "S",
     .help = "how long an answer stays in the cache, seconds"},
    {"cache_timeout_ms", INTEGER(1, MINUTE_MS), .initial = "50", .programs = W, .value = "MS",
     .help = "limit of one cache command, milliseconds"},
    {"objects", TEXT(0), .initial = "", .programs = P | W | T, .value = "URL", .check = object_root_check,
     .help = "object store, file:///folder or s3://bucket/prefix; empty: the user's state folder"},
    {"s3_endpoint", TEXT(0), .initial = "", .programs = P | W | T, .value = "URL",
     .check = object_endpoint_check, .help = "S3 server; empty: Amazon's of s3_region"},
    {"s3_region", OPTION_NAME, .initial = "us-east-1", .programs = P | W | T, .min = 1, .max = 63,
     .value = "NAME", .check = object_region_check, .help = "region that signs S3 requests"},
    {"object_timeout_ms", INTEGER(10, 10 * MINUTE_MS), .initial = "5000", .programs = P | W | T,
     .value = "MS", .help = "limit of one object store request, milliseconds"},
    {"http_address", TEXT(0), .initial = "", .programs = W, .value = "HOST:PORT", .check = http_address_check,
     .help = "listener of /metrics, /healthz, /readyz; empty: none"},

    {"inline_limit_bytes", INTEGER(0, 6 * MIB), .initial = "262144", .programs = P, .value = "BYTES",
     .help = "larger images go to the object store, not into the record, bytes"},
    {"keep_images", OPTION_SWITCH, .initial = "true", .programs = P,
     .help = "images in records go to the object store too, to be learnt from later"},
    {"max_image_bytes", INTEGER(1, 256 * MIB), .initial = "20971520", .programs = P | W | T, .value = "BYTES",
     .help = "largest image file, bytes"},
    {"max_image_pixels", INTEGER(1, 1000000000), .initial = "40000000", .programs = W, .value = "N",
     .help = "largest image, width times height"},

    {"session_timeout_ms", INTEGER(1000, 30 * MINUTE_MS), .initial = "10000", .programs = W, .value = "MS",
     .help = "silence after which the group takes a worker for dead, milliseconds"},
    {"clock_tolerance_ms", INTEGER(0, 10 * MINUTE_MS), .initial = "1000", .programs = W, .value = "MS",
     .help = "off the brokers' clocks by more, no deadline is refused; 0: not compared, ms"},
    {"drain_timeout_ms", INTEGER(0, 60 * MINUTE_MS), .initial = "30000", .programs = P | W, .value = "MS",
     .help = "time to finish what was begun when stopping, milliseconds"},
    {"commit_interval_ms", INTEGER(1, 1000), .initial = "20", .programs = W, .value = "MS",
     .help = "time over which answers are gathered for one commit under load, milliseconds"},
    {"transaction_timeout_ms", INTEGER(2000, 15 * MINUTE_MS), .initial = "10000", .programs = W,
     .value = "MS", .help = "after which the broker aborts a dead worker's transaction, milliseconds"},
    {"job_budget_ms", INTEGER(0, 60 * MINUTE_MS), .initial = "30000", .programs = W, .value = "MS",
     .help = "time a job may spend on retries of the object store, milliseconds"},

    {"unreadable_after_s", INTEGER(0, 7 * 24 * 3600), .initial = "60", .programs = W, .value = "S",
     .help = "wait before records that can't be read are answered as such, s; 0: for ever"},
    {"stage_timeout_ms", INTEGER(100, 60 * MINUTE_MS), .initial = "120000", .programs = W, .value = "MS",
     .help = "a step that takes longer hangs; the worker ends after twice that, ms"},
    {"known_answer_batches", INTEGER(0, 1000000000), .initial = "1000", .programs = W, .value = "N",
     .help = "batches between two checks by known images; 0: only at start"},

    {"batch_max", INTEGER(1, 256), .initial = "8", .programs = W, .value = "N",
     .help = "images computed together at most"},
    {"batch_delay_ms", INTEGER(0, 1000), .initial = "5", .programs = W, .value = "MS",
     .help = "longest wait for a fuller batch, milliseconds"},
    {"window", INTEGER(64, 8192), .initial = "2048", .programs = W, .value = "N",
     .help = "most jobs of a partition between the first unfinished and the last taken"},
    {"metadata_format", CHOICE("ss2|ss1"), .initial = "ss2", .programs = W,
     .help = "of commit metadata; ss1: while builds from before ss2 share the group"},
    {"fetch_threads", INTEGER(1, 64), .initial = "4", .programs = W, .value = "N",
     .help = "threads that read records, and as many that load images"},
    {"decode_threads", INTEGER(0, 64), .initial = "0", .programs = W, .value = "N",
     .help = "threads that decode images; 0: as many as cores"},
    {"postprocess_threads", INTEGER(0, 64), .initial = "0", .programs = W, .value = "N",
     .help = "threads that draw and store maps; 0: as many as cores, at least 4"},
    {"queue_jobs", INTEGER(1, 4096), .initial = "64", .programs = W, .value = "N",
     .help = "jobs waiting in front of a stage at most"},
    {"intake_limit_jobs", INTEGER(1, 65536), .initial = "512", .programs = W, .value = "N",
     .help = "most jobs that wait for their answer, an eighth of them urgent ones only"},
    {"intake_limit_bytes", INTEGER(MIB, 64 * 1024 * MIB), .initial = "268435456", .programs = W,
     .value = "BYTES", .help = "most bytes of records, images and decoded pictures in the pipeline"},
    {"urgent_share", INTEGER(50, 99), .initial = "80", .programs = W, .value = "PERCENT",
     .help = "share of the intake that urgent jobs may take while routine ones wait, percent"},
    {"http_listen", TEXT(1), .initial = "127.0.0.1:8080", .programs = P, .value = "HOST:PORT",
     .check = http_address_check, .help = "listener of the gateway, for clinics"},
    {"http_tls_cert", TEXT(0), .initial = "", .programs = P | M, .value = "FILE",
     .help = "certificate of the gateway and its chain, PEM, read again on SIGHUP; empty: no TLS"},
    {"http_tls_key", TEXT(0), .initial = "", .programs = P | M, .value = "FILE",
     .help = "key of that certificate, PEM"},
    {"admin_address", TEXT(0), .initial = "", .programs = P, .value = "HOST:PORT",
     .check = http_address_check,
     .help = "listener of the gateway's /metrics, /healthz, /readyz; empty: none"},
    {"public_url", TEXT(0), .initial = "", .programs = P, .value = "URL", .check = check_public_url,
     .help = "what clients call the gateway, for links; empty: links without a host"},
    {"answer_timeout_ms", INTEGER(1, 10 * MINUTE_MS), .initial = "6500", .programs = P, .value = "MS",
     .help = "longest wait of an HTTP request for its answer, milliseconds; then 202"},
    {"job_deadline_ms", INTEGER(1000, 24 * 60 * MINUTE_MS), .initial = "60000", .programs = P | M,
     .value = "MS", .help = "after which the gateway's jobs are of no use any more, milliseconds"},
    {"inflight_limit", INTEGER(1, 100000), .initial = "1000", .programs = P, .value = "N",
     .help = "requests that wait for the fleet at most; more get 503"},
    {"body_limit_bytes", INTEGER(1024, 512 * MIB), .initial = "29360128", .programs = P, .value = "BYTES",
     .help = "largest body of a request to the gateway, bytes"},
    {"bodies_limit_bytes", INTEGER(MIB, 64 * 1024 * MIB), .initial = "536870912", .programs = P,
     .value = "BYTES", .help = "most bytes of all requests that the gateway holds at once"},
    {"link_key", TEXT(0), .initial = "", .programs = P, .value = "FILE",
     .help = "one or two lines that sign links to maps, the first new ones; empty: random ones"},
    {"link_lifetime_s", INTEGER(1, 7 * 24 * 3600), .initial = "900", .programs = P, .value = "S",
     .help = "how long a link to a map is good, seconds"},
    {"subject_key", TEXT(0), .initial = "", .programs = P, .value = "FILE",
     .help = "key of at least 16 bytes that makes subjects of patients' references; empty: none"},
    {"requests_retention_days", INTEGER(1, 3650), .initial = "30", .programs = P, .value = "DAYS",
     .help = "how long requests and their answers are kept, days"},
    {"api_keys", TEXT(0), .initial = "", .programs = P | M, .value = "FILE",
     .help = "hashes of the gateway's API keys, as the command keys makes them"},
    {"jwt_jwks", TEXT(0), .initial = "", .programs = P | M, .value = "FILE|URL",
     .help = "JWK set of the identity provider whose tokens are accepted, file or https://; empty: none"},
    {"jwt_authorities", TEXT(0), .initial = "", .programs = P | M, .value = "FILE",
     .help = "PEM of who may sign the certificate of jwt_jwks' server; empty: the system's"},
    {"jwt_issuer", TEXT(0), .initial = "", .programs = P | M, .value = "TEXT", .help = "iss of its tokens"},
    {"jwt_audience", TEXT(0), .initial = "", .programs = P | M, .value = "TEXT",
     .help = "aud that its tokens must have"},
    {"jwt_site_claim", TEXT(1), .initial = "site", .programs = P | M, .value = "NAME",
     .help = "claim of a token that names the site"},
    {"jwt_role_claim", TEXT(1), .initial = "role", .programs = P | M, .value = "NAME",
     .help = "claim that gives a role or a list of them: reader, analyst or operator"},
    {"jwt_clock_skew_s", INTEGER(0, 600), .initial = "60", .programs = P | M, .value = "S",
     .help = "by how much the provider's clock may differ, seconds"},
    {"rate_per_s", INTEGER(0, 100000), .initial = "10", .programs = P, .value = "N",
     .help = "requests of one key or person each second in the long run; 0: no limit"},
    {"rate_burst", INTEGER(1, 100000), .initial = "20", .programs = P, .value = "N",
     .help = "requests of one key or person at once"},
    {"daily_quota", INTEGER(0, 100000000), .initial = "0", .programs = P, .value = "N",
     .help = "requests of one key or person each day of UTC; 0: no limit"},
    {"store", TEXT(0), .initial = "", .programs = P | M, .value = "URL",
     .help = "requests and audit, or the monitor's archive: sqlite:///path or "
             "postgresql://[user[:password]@]host[:port]/database"},
    {"retention_days", INTEGER(0, 36500), .initial = "0", .programs = M, .value = "DAYS",
     .help = "whole days that the monitor's archive keeps; 0: all"},
    {"audit_chain", OPTION_NAME, .initial = "", .programs = P | M, .max = 64, .value = "NAME",
     .help = "chain of this program's audit entries, of the monitor with -monitor behind it; empty: the name "
             "of the host"},
    {"audit_key", TEXT(0), .initial = "", .programs = P | M, .value = "FILE",
     .help = "PEM of the Ed25519 key that signs the heads of the audit; empty: not signed"},
    {"monitor_listen", TEXT(1), .initial = "127.0.0.1:8090", .programs = M, .value = "HOST:PORT",
     .check = http_address_check,
     .help = "listener of the monitor; beyond this machine it needs TLS and keys"},
    {"report_folder", TEXT(0), .initial = "", .programs = M, .value = "FOLDER",
     .help = "where the monitor publishes the reports of each day as files; empty: nowhere"},
    {"report_folder_days", INTEGER(0, 36500), .initial = "400", .programs = M, .value = "DAYS",
     .help = "published reports in report_folder that are older go; 0: they stay"},
    {"report_folder_wait_s", INTEGER(0, 86399), .initial = "600", .programs = M, .value = "S",
     .help = "seconds after midnight of UTC, and after the start, at which the reports of the day are made"},
    {"workers_metrics", TEXT(0), .initial = "", .programs = M, .value = "URL,...",
     .help = "http://host:port/metrics of workers, each address of a host is one; empty: no scale advice"},
    {"scale_min", INTEGER(1, 1000), .initial = "2", .programs = M, .value = "N",
     .help = "fewest workers that are ever wanted"},
    {"scale_max", INTEGER(1, 1000), .initial = "8", .programs = M, .value = "N",
     .help = "most workers that are ever wanted"},
    {"price_table", TEXT(0), .initial = "", .programs = M, .value = "FILE",
     .help = "prices as JSON, from which costs are worked out; empty: none"},
    {"references", TEXT(0), .initial = "", .programs = M, .value = "DIR",
     .help = "signed references that drift is measured against; empty: none"},
    {"reference_key", TEXT(0), .initial = "", .programs = M, .value = "FILE",
     .help = "PEM of the public Ed25519 key that references are signed with; empty: only their digests are "
             "checked"},
    {"alarm_budget_per_year", INTEGER(1, 10000), .initial = "12", .programs = M, .value = "N",
     .help = "false alarms a year that all calibrated alarms together may give"},

    {"log_level", CHOICE("debug|info|warn|error"), .initial = "warn", .programs = P | W | T | M,
     .help = "lowest level that is logged"},
    {0},
};
