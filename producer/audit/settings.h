// settings.h: the options of the audit, read in one place for the gateway and for commands.
#ifndef SKINSIGHT_PRODUCER_AUDIT_SETTINGS_H
#define SKINSIGHT_PRODUCER_AUDIT_SETTINGS_H

#include "common/program/config.h"
#include "producer/audit/audit.h"

// Options store and audit_chain (empty: the host's name). chain is what options->chain points to. No signer,
// no object store: commands leave signing to the gateway.
void audit_settings_read(struct audit_options *options, char chain[AUDIT_NAME_SIZE],
                         const struct config *config);

#endif
