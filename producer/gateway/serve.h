// serve.h: the command "serve": the gateway between clinics, which speak HTTP, and the fleet, which speaks
// Kafka.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_SERVE_H
#define SKINSIGHT_PRODUCER_GATEWAY_SERVE_H

#include "common/program/config.h"

enum status serve_check(const struct config *config, struct error *err) MUST_CHECK; // wrong usage
// Serves until it is asked to stop; then answers what it has, or says that it is queued.
enum status serve_run(struct config *config, struct error *err) MUST_CHECK;

#endif
