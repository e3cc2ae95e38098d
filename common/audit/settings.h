// settings.h: the options of the audit, and who runs a command, in one place for services and commands.
#ifndef SKINSIGHT_COMMON_AUDIT_SETTINGS_H
#define SKINSIGHT_COMMON_AUDIT_SETTINGS_H

#include "common/audit/audit.h"
#include "common/program/config.h"

// Options store and audit_chain (empty: the host's name; of the monitor "-monitor" behind either, cut where
// it would be too long). A store may be the gateway's too, and the monitor signs heads that it does not
// export: in one chain they would keep the gateway from exporting its own. chain is what options->chain
// points to. No signer, no object store: commands leave signing to the service.
void audit_settings_read(struct audit_options *options, char chain[AUDIT_NAME_SIZE],
                         const struct config *config);

// Writes down what a command is about to do, and waits until it is on the disk. entry->actor becomes
// "command:" and the user who runs the process.
enum status audit_command_note(const struct config *config, struct audit_entry *entry,
                               struct error *err) MUST_CHECK;

#endif
