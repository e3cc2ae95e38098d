// main.c: the subcommands of skinsight-worker.
#include "common/program/config.h"
#include "kernels/model/weights.h"
#include "worker/commands/commands.h"
#include "worker/metrics_rows.h"

static const struct command commands[] = {
    {.name = "run",
     .arguments = "",
     .summary = "the service: takes jobs from Kafka and answers them",
     .example =
         "skinsight-worker run --model models/vit-base --brokers kafka:9092 --cache redis://127.0.0.1:6379",
     .required = "model",
     .check = run_check,
     .run = run_command},
    {.name = "classify",
     .arguments = "FILE...",
     .arguments_min = 1,
     .arguments_max = 1000000,
     .summary = "analyses files without Kafka, one JSON object a line",
     .example = "skinsight-worker classify --model models/vit-base --attention maps lesion.jpg",
     .flags = classify_flags,
     .options = "model backend precision threads max_image_bytes max_image_pixels",
     .required = "model",
     .check = classify_check,
     .run = classify_command},
    {.name = "preprocess",
     .arguments = "FILE",
     .arguments_min = 1,
     .arguments_max = 1,
     .summary = "writes the network's input of a file as raw float32, 3 x 224 x 224 or as the model wants it",
     .example = "skinsight-worker preprocess --model models/vit-base lesion.jpg --output lesion.f32",
     .flags = preprocess_flags,
     .options = "model max_image_bytes max_image_pixels",
     .required = "output",
     .run = preprocess_command},
    {.name = "bench",
     .arguments = "",
     .summary = "measures latency, throughput and memory for several batch sizes",
     .example = "skinsight-worker bench --model models/vit-base --batch 1,4,16,64",
     .flags = bench_flags,
     .options = "model backend precision threads max_image_bytes max_image_pixels",
     .required = "model",
     .check = bench_check,
     .run = bench_command},
    {.name = "doctor",
     .arguments = "",
     .summary = "checks each thing the worker depends on and says how to mend it",
     .example = "skinsight-worker doctor --model models/vit-base",
     .run = doctor_command},
    {.name = NULL},
};

static const struct program program = {.name = "skinsight-worker",
                                       .bit = PROGRAM_WORKER,
                                       .summary =
                                           "analyses skin-lesion photographs with a vision transformer",
                                       .commands = commands,
                                       .metrics = &worker_metrics};

int main(int argc, char **argv)
{
    weights_explain_sigbus();
    return config_main(&program, argc, argv);
}
