// doctor.h: the command "doctor": looks at each thing that "serve" depends on and says how to mend what is
// wrong.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_DOCTOR_H
#define SKINSIGHT_PRODUCER_GATEWAY_DOCTOR_H

#include "common/program/config.h"

// Exit code: 0 when everything is there.
enum status gateway_doctor(struct config *config, struct error *err) MUST_CHECK;

#endif
