// entry.h: one entry of the audit: who did what, when, with which request, and how it ended. Its text is
// canonical JSON (RFC 8785: names in order, no blanks, nothing to escape in these texts):
//
//     {"action":"answer_read","actor":"dr-lee","at":1796074307317,"chain":"gateway-1","outcome":"ok",
//      "request_id":"…","seq":17,"site":"north"}            on one line
//
// An entry of a list of answers (incident_read) also says what the list was of, between "chain" and
// "outcome":
//
//     "list":{"answers":120,"from":1796074307317,"model":"vit-2","site":null,"to":1796160707317}
//
// Entries of a chain have numbers from 1 without a gap. hash n = SHA-256(hash n-1 ‖ text n); hash 0 is 32
// zero bytes. Nothing of a patient stands in an entry: names are pseudonyms, and a request has an id. No
// state, any thread.
#ifndef SKINSIGHT_COMMON_AUDIT_ENTRY_H
#define SKINSIGHT_COMMON_AUDIT_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/digest.h"
#include "common/base/status.h"

enum audit_action {
    AUDIT_REQUEST,       // POST of an analysis
    AUDIT_ANSWER_READ,   // an answer was given out
    AUDIT_MAP_READ,      // an attention map
    AUDIT_REVIEWS_READ,  // the list of reviews
    AUDIT_REVIEW_CLOSED, // by feedback
    AUDIT_FEEDBACK,
    AUDIT_KEY_ADDED,
    AUDIT_KEY_REVOKED,
    AUDIT_AUDIT_READ,      // an export of this
    AUDIT_REFUSED,         // requests that got no further; one entry for each address, code and minute
    AUDIT_INCIDENT_READ,   // the list of the answers that a model gave between two moments
    AUDIT_PLAN_REGISTERED, // of a comparison; outcome is the plan's id
    AUDIT_ACTION_COUNT
};

enum {
    AUDIT_NAME_SIZE = 65, // of actor, site and chain
    AUDIT_REQUEST_ID_SIZE = 65,
    AUDIT_OUTCOME_SIZE = 65,
    AUDIT_TEXT_MOST = 1024, // bytes of an entry's text
};

// What a list of answers is of.
struct audit_list {
    int64_t answers;                                    // how many it has, from 0 on as all numbers
    int64_t from, to;                                   // Unix ms
    char model[AUDIT_NAME_SIZE], site[AUDIT_NAME_SIZE]; // "": all of them
};

// Texts are 1 to 64 of the printable characters of ASCII but blank, '"' and '\'; "" stands for null.
struct audit_entry {
    enum audit_action action;
    char actor[AUDIT_NAME_SIZE], site[AUDIT_NAME_SIZE];
    char request_id[AUDIT_REQUEST_ID_SIZE];
    char outcome[AUDIT_OUTCOME_SIZE]; // "ok", a problem's code, a count
    struct audit_list list;           // of AUDIT_INCIDENT_READ; else not looked at, and zeros when read
};

// Where an entry stands.
struct audit_place {
    const char *chain; // 1 to 64 of A-Za-z0-9_.-, not beginning with a dot
    int64_t seq, at;
};

const char *audit_action_name(enum audit_action action); // "answer_read"
bool audit_chain_name_good(const char *chain);

// Appends the entry's text. REJECTED: one of its texts is none, or a list's number is below 0 or above
// 2^53-1.
enum status audit_entry_write(const struct audit_entry *entry, const struct audit_place *place,
                              struct buffer *text, struct error *err) MUST_CHECK;

// Reads a text that audit_entry_write could have written, byte for byte; chain is copied. False for every
// other one.
bool audit_entry_read(struct bytes text, struct audit_entry *entry, char chain[AUDIT_NAME_SIZE],
                      struct audit_place *place);

// The hash of the next entry.
struct digest audit_link(const struct digest *previous, struct bytes text);

#endif
