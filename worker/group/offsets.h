// offsets.h: which records of one partition have been answered. Pure data, no lock, no Kafka.
//
// first is the first unfinished offset. A bitmap names those behind it that are answered; it bounds the
// window. What it says travels as commit metadata:
//
//     "ss2 <owner> <deaths> <since> <alone_deaths> <alone> <bitmap> <witness>"
//
// owner: 8 hexadecimal digits of the process that works on the partition, 00000000 after an orderly revoke or
// stop. deaths: owners that died and are not yet forgiven; since: how many of the records that were open when
// the last of them died are answered, 0 without deaths; alone_deaths: how often an owner died with first
// marked. alone: 1: first is marked, it runs alone; 6: first is marked, it is read alone; 2 to 4: no mark,
// and 1 to 3 unmarked deaths (5: 3 of them, as builds from before write it); 0: neither. bitmap: base64
// without padding; bit i (lowest first) is offset first + i; trailing zero bytes left out; "-": empty.
// witness: <offset>:<16 hexadecimal digits>, the newest answered record that was readable, by which another
// log of the same name is told; "-": none. "ss1" is the same without the last word.
#ifndef SKINSIGHT_WORKER_GROUP_OFFSETS_H
#define SKINSIGHT_WORKER_GROUP_OFFSETS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"

enum { OFFSETS_MAX_WINDOW = 8192, OFFSETS_TEXT_SIZE = 1536 };

struct offsets {
    int64_t first;
    int64_t next; // after the last one taken or named by the bitmap
    int64_t seen; // after the last one taken since offsets_init or offsets_decode
    int window;   // most offsets between first and next
    int deaths, alone_deaths;
    int unmarked;        // careful owners that died with no record marked, up to OFFSETS_UNMARKED
    int64_t forgiven_at; // where first has to get for the deaths to be forgiven
    uint32_t owner;      // 0: none
    bool alone;          // marked: first runs alone
    bool reading;        // marked: first is being read, alone
    int64_t witness;     // an answered record, -1: none
    uint64_t witness_digest;
    bool at_end;                            // nothing lies behind seen, as far as is known
    uint64_t done[OFFSETS_MAX_WINDOW / 64]; // ring: offset o is bit o % OFFSETS_MAX_WINDOW
};

void offsets_init(struct offsets *offsets, int64_t first, int window);

enum offsets_take { OFFSETS_NEW, OFFSETS_ANSWERED, OFFSETS_NO_ROOM };
// A record arrived, in order. ANSWERED: it has an answer, or was taken before. Offsets skipped over
// (transaction markers, compaction) count as answered. NO_ROOM: nothing changed.
enum offsets_take offsets_take(struct offsets *offsets, int64_t offset);

// offset is answered. first moves past everything answered.
void offsets_finish(struct offsets *offsets, int64_t offset);
// The answered record at offset has this digest, 0: none (worker/group/witness.h). The newest one stays.
void offsets_note(struct offsets *offsets, int64_t offset, uint64_t digest);
// No record before offset is there any more: all of it counts as answered, and reading goes on at offset.
void offsets_skip(struct offsets *offsets, int64_t offset);
bool offsets_is_finished(const struct offsets *offsets, int64_t offset);

// A record that kills its worker is found by elimination. After one death the worker is wary: it takes few
// jobs at once, so that the killer is soon among them; after two it is careful: one job alone in the whole
// process. The record that killed is one of the first that were open at the death, as many as were in the
// process: once so many are answered, the deaths are forgiven. Where it killed while it was fetched ahead it
// may lie behind those; that is for worker/stages/careful.h.
enum offsets_caution { CAUTION_NONE, CAUTION_WARY, CAUTION_CAREFUL };
enum { OFFSETS_WARY_JOBS = 8, OFFSETS_WARY_SPAN = 256, OFFSETS_CONVICTION = 3, OFFSETS_DEATHS_LIMIT = 16 };
enum offsets_caution offsets_caution(const struct offsets *offsets);
// owner (never 0) takes over. Counts the death of the one before, if another is still named. Where that one
// was careful and no record of this partition was marked, the death is an unmarked one: most likely another
// partition's, since each record is marked before it runs.
void offsets_new_owner(struct offsets *offsets, uint32_t owner);
// A record can also kill while it is read, before anyone has it in hand to mark. After OFFSETS_UNMARKED
// unmarked deaths at one place, first is therefore marked before it is read, until the deaths are forgotten.
// With two deaths before, and three after, the ninth life convicts.
enum { OFFSETS_UNMARKED = 3 };
bool offsets_marks_reading(const struct offsets *offsets);
// So many owners died without progress that several different records must have killed: a bad build or
// device. The mark is cleared by an orderly stop, after which the next owner begins careful.
bool offsets_is_hopeless(const struct offsets *offsets);
// The end of the partition was reached. Once no record is open, deaths are forgotten; true: just now.
bool offsets_reach_end(struct offsets *offsets);
// first has killed OFFSETS_CONVICTION owners that ran it alone.
bool offsets_is_convicted(const struct offsets *offsets);

// old_form: ss1, which holds no witness.
// The most bytes that offsets_encode writes with this window, in either form.
int offsets_text_most(int window);
void offsets_encode(const struct offsets *offsets, bool old_form, char text[OFFSETS_TEXT_SIZE]);
// text NULL or empty: nothing is known beyond first. REJECTED: not ours; *offsets is then as after
// offsets_init.
enum status offsets_decode(struct offsets *offsets, int64_t first, int window, const char *text,
                           struct error *err) MUST_CHECK;

#endif
