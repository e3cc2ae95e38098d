// letter_list.h: the letters a command is about, and the decision which of them may be sent again. Used by
// one thread.
#ifndef SKINSIGHT_PRODUCER_LETTER_LIST_H
#define SKINSIGHT_PRODUCER_LETTER_LIST_H

#include "producer/letter.h"

enum { LETTER_LIST_LIMIT = 1 << 18 }; // letters of one command; some 200 MB

enum letter_fate {
    LETTER_SEND,     // to be sent, or on its way
    LETTER_SENT,     // acknowledged by the broker
    LETTER_FAILED,   // tried in vain
    LETTER_REPEATED, // a later letter holds the same job
    LETTER_KILLER,   // the job ended a worker
    LETTER_NO_VALUE, // its bytes were not kept
    LETTER_FOREIGN,  // it comes from a topic that is none of the job topics
    LETTER_FATES
};

struct listed_letter {
    struct letter letter;
    bool matches; // the filter; killers are listed whether they do or not
    enum letter_fate fate;
};

struct letter_list {
    struct listed_letter *entries;
    size_t count;
    size_t capacity;
    size_t counts[LETTER_FATES]; // entries of each fate
};

void letter_list_init(struct letter_list *list);
void letter_list_release(struct letter_list *list);

// Keeps the letter if it matches, or is a killer, which letter_list_triage needs to know of. REJECTED: full.
enum status letter_list_add(struct letter_list *list, const struct letter *letter, bool matches,
                            struct error *err) MUST_CHECK;

// Drops what does not match; the rest in the order of failing. Every fate is LETTER_SEND.
void letter_list_select(struct letter_list *list);

struct triage_rules {
    const char *jobs_topic, *urgent_jobs_topic;
    bool force_killers;
};
// letter_list_select, and decides each fate. A job with several letters is sent once, and not at all when any
// of them, matching or not, says that it killed (but with force_killers).
void letter_list_triage(struct letter_list *list, const struct triage_rules *rules);

void letter_list_set_fate(struct letter_list *list, struct listed_letter *entry, enum letter_fate fate);

#endif
