// test_listen_rules.c: what listen makes of labels: the rules for one image, and of all records in any order
// the same outcomes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/records/verdict.h"
#include "trainer/listen/outcome.h"

static char folder[] = "/tmp/test_listen.XXXXXX";

static struct opinion opinion(int id, int label, int certainty, int64_t reviewed_at)
{
    struct opinion made = {.label = label, .certainty = certainty, .reviewed_at = reviewed_at};
    snprintf(made.feedback_id, sizeof made.feedback_id, "%08x-0000-4000-8000-000000000000", (unsigned)id);
    return made;
}

static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        struct {
            int label, certainty, reviewed_at;
        } opinions[3];
        int count, best; // -1: a conflict
    } cases[] = {
        {{{LESION_NV, CERTAINTY_CLINICIAN, 5}}, 1, 0},
        // the stronger certainty, however old
        {{{LESION_NV, CERTAINTY_CLINICIAN, 9}, {LESION_MEL, CERTAINTY_FOLLOW_UP, 1}}, 2, 1},
        {{{LESION_NV, CERTAINTY_FOLLOW_UP, 9}, {LESION_MEL, CERTAINTY_CONSENSUS, 1}}, 2, 1},
        {{{LESION_NV, CERTAINTY_CONSENSUS, 9}, {LESION_MEL, CERTAINTY_CONFOCAL, 1}}, 2, 1},
        {{{LESION_NV, CERTAINTY_CONFOCAL, 9}, {LESION_MEL, CERTAINTY_HISTOPATHOLOGY, 1}}, 2, 1},
        // then the later review
        {{{LESION_NV, CERTAINTY_CONSENSUS, 8}, {LESION_MEL, CERTAINTY_CONSENSUS, 9}}, 2, 1},
        // a tie that agrees, and one that does not
        {{{LESION_NV, CERTAINTY_CONSENSUS, 8}, {LESION_NV, CERTAINTY_CONSENSUS, 8}}, 2, 0},
        {{{LESION_NV, CERTAINTY_CONSENSUS, 8}, {LESION_MEL, CERTAINTY_CONSENSUS, 8}}, 2, -1},
        // a conflict below the best is none
        {{{LESION_NV, CERTAINTY_CONSENSUS, 8},
          {LESION_MEL, CERTAINTY_CONSENSUS, 8},
          {FEEDBACK_OTHER, CERTAINTY_CONFOCAL, 1}},
         3,
         2},
        {{{LESION_NV, CERTAINTY_CONSENSUS, 8},
          {FEEDBACK_UNGRADABLE, CERTAINTY_CONSENSUS, 8},
          {LESION_MEL, CERTAINTY_CLINICIAN, 9}},
         3,
         -1},
    };
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int order = 0; order < 6; order++) {
            struct verdict verdict;
            verdict_init(&verdict);
            for (int k = 0; k < 3; k++) {
                int which = orders[order][k];
                struct opinion one =
                    opinion(which, cases[i].opinions[which].label, cases[i].opinions[which].certainty,
                            cases[i].opinions[which].reviewed_at);
                if (which < cases[i].count)
                    (void)verdict_add(&verdict, &one);
            }
            struct opinion best = opinion(cases[i].best, 0, 0, 0);
            assert_int_equal(verdict_is_conflict(&verdict), cases[i].best < 0);
            if (cases[i].best >= 0)
                assert_string_equal(verdict.best.feedback_id, best.feedback_id);
        }
}

// ---- the index: any order of arrival ----

#define UUID(last) "0d4fae1c-7dec-41d0-a765-00000000000" #last
#define IMAGE(c)   c c c c c c c c
#define A          IMAGE("aaaaaaaa")
#define B          IMAGE("bbbbbbbb")
#define C          IMAGE("cccccccc")
#define D          IMAGE("dddddddd")
#define SUBJECT    IMAGE("12345678")
#define REQUEST(n) "f81d4fae-7dec-41d0-a765-00000000000" #n

// One record of either topic.
struct arrival {
    const char *id; // NULL: an answer
    const char *request, *image;
    const char *label, *certainty;
    int reviewed_at;
    const char *supersedes;
};

static const struct arrival arrivals[] = {
    {NULL, REQUEST(1), A, NULL, NULL, 0, NULL},
    {NULL, REQUEST(2), B, NULL, NULL, 0, NULL},
    {NULL, REQUEST(3), A, NULL, NULL, 0, NULL}, // two answers for one request
    {NULL, REQUEST(3), C, NULL, NULL, 0, NULL},
    {UUID(0), REQUEST(1), "", "MEL", "consensus", 5, ""},
    {UUID(1), "", A, "NV", "clinician", 9, ""},                // weaker
    {UUID(2), REQUEST(2), "", "BCC", "histopathology", 5, ""}, // withdrawn by 3
    {UUID(3), REQUEST(2), B, "NV", "confocal", 6, UUID(2)},    // so B is NV
    {UUID(4), REQUEST(3), "", "NV", "histopathology", 7, ""},  // which image?
    {UUID(5), REQUEST(3), C, "DF", "follow_up", 7, ""},        // this one
    {UUID(6), REQUEST(2), A, "SCC", "histopathology", 8, ""},  // not its image
    {UUID(7), REQUEST(9), "", "SCC", "histopathology", 8, ""}, // nobody knows it
    {UUID(8), REQUEST(1), "", "AK", "histopathology", 1, ""},  // one id, two meanings
    {UUID(8), REQUEST(1), "", "BKL", "histopathology", 1, ""},
    {UUID(9), REQUEST(1), "", "VASC", "histopathology", 1, UUID(a)}, // a ring of two
    {UUID(a), REQUEST(1), "", "DF", "histopathology", 2, UUID(9)},
    {NULL, REQUEST(4), D, NULL, NULL, 0, NULL},
    {UUID(b), REQUEST(4), "", "NV", "clinician", 1, ""},      // holds, whatever others say of its id:
    {UUID(c), REQUEST(1), "", "AK", "clinician", 1, UUID(b)}, // withdraws it of its own picture alone
    {UUID(b), REQUEST(1), "", "AK", "clinician", 2, ""},      // says something of that one
    {UUID(7), REQUEST(8), "", "DF", "clinician", 8, UUID(d)}, // of the same picture, as far as is known
};
enum { ARRIVALS = sizeof arrivals / sizeof *arrivals };

static int find(const char *text, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return i;
    fail_msg("no name %s", text);
    return -1;
}

static void arrive(struct feedback_index *index, const struct arrival *arrival)
{
    struct error err = {""};
    enum status status;
    if (!arrival->id) {
        const struct answered_request request = {arrival->request, arrival->image, "north", SUBJECT, 1000};
        bool awaited;
        status = feedback_index_add_request(index, &request, &awaited, &err);
    } else {
        struct feedback feedback;
        bool is_new;
        feedback_init(&feedback);
        strcpy(feedback.feedback_id, arrival->id);
        strcpy(feedback.request_id, arrival->request);
        strcpy(feedback.image_sha256, arrival->image);
        strcpy(feedback.supersedes, arrival->supersedes);
        feedback.label = find(arrival->label, feedback_label_names, FEEDBACK_LABELS);
        feedback.certainty = find(arrival->certainty, certainty_names, CERTAINTY_COUNT);
        feedback.reviewed_at = arrival->reviewed_at;
        status = feedback_index_add(index, &feedback, &is_new, &err);
    }
    if (status != STATUS_OK)
        fail_msg("%s", err.message);
}

static enum status note(void *context, const struct label_row *row, enum outcome outcome, struct error *err)
{
    (void)err;
    char *text = context;
    size_t used = strlen(text);
    snprintf(text + used, 4096 - used, "%.1s %c %s %s\n", row->image_sha256, row->feedback_id[35],
             feedback_label_names[row->label], outcome_names[outcome]);
    return STATUS_OK;
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// The lines in order of their texts: within an image their order does not matter.
static void sort_lines(char *text)
{
    char copy[4096], *lines[64], *rest = NULL;
    size_t count = 0;
    strcpy(copy, text);
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        lines[count++] = line;
    qsort(lines, count, sizeof *lines, compare_lines);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        strcat(strcat(text, lines[i]), "\n");
}

static void outcomes_of(struct feedback_index *index, const int order[ARRIVALS], char text[4096])
{
    struct error err = {""};
    if (feedback_index_begin(index, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    for (int i = 0; i < ARRIVALS; i++)
        arrive(index, &arrivals[order[i]]);
    text[0] = '\0';
    const struct outcome_taker taker = {note, text};
    assert_int_equal(outcomes_walk(index, &taker, &err), STATUS_OK);
    feedback_index_rollback(index);
    sort_lines(text);
}

// By hand, from the rules of docs/FORMATS.md.
static const char expected[] = " 7 DF unknown_request\n"
                               " 7 SCC unknown_request\n"
                               "a 0 MEL label\n"
                               "a 4 NV several_images\n"
                               "a 6 SCC image_disagrees\n"
                               "a 8 AK contradictory\n"
                               "a 8 BKL contradictory\n"
                               "a 9 VASC withdrawn\n"
                               "a a DF withdrawn\n"
                               "a b AK withdrawn\n"
                               "b 2 BCC withdrawn\n"
                               "b 3 NV label\n"
                               "c 5 DF label\n"
                               "d b NV label\n";

static void test_any_order(void **state)
{
    (void)state;
    struct feedback_index *index;
    struct error err = {""};
    uint64_t random = 20261130;
    int order[ARRIVALS];
    char text[4096];
    if (feedback_index_open(&index, folder, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    for (int i = 0; i < ARRIVALS; i++)
        order[i] = i;
    for (int round = 0; round < 300; round++) {
        outcomes_of(index, order, text);
        if (strcmp(text, expected) != 0)
            fail_msg("round %d gave\n%s, expected\n%s", round, text, expected);
        for (int i = ARRIVALS - 1; i > 0; i--) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            int other = (int)((random >> 33) % (unsigned)(i + 1)), kept = order[i];
            order[i] = order[other];
            order[other] = kept;
        }
    }
    feedback_index_close(index);
}

// Answered requests are forgotten by their age, but for those that feedback names, or their image.
static void test_forgetting(void **state)
{
    (void)state;
    static const struct arrival old_label = {UUID(1), REQUEST(1), "", "NV", "clinician", 9, ""};
    static const struct arrival young_label = {UUID(2), REQUEST(2), "", "NV", "clinician", 9, ""};
    static const struct arrival image_label = {UUID(3), "", C, "DF", "clinician", 9, ""};
    static const struct arrival image_answer = {NULL, REQUEST(3), C, NULL, NULL, 0, NULL};
    struct feedback_index *index;
    struct error err = {""};
    int64_t forgotten = 0;
    char text[4096] = "";
    if (feedback_index_open(&index, folder, &err) != STATUS_OK ||
        feedback_index_begin(index, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    arrive(index, &arrivals[0]);  // request 1, answered at 1000
    arrive(index, &arrivals[1]);  // request 2
    arrive(index, &image_answer); // request 3
    arrive(index, &image_label);
    arrive(index, &old_label);
    assert_int_equal(feedback_index_forget(index, 1000, &forgotten, &err), STATUS_OK);
    assert_int_equal(forgotten, 0); // none was answered before 1000
    assert_int_equal(feedback_index_forget(index, 1001, &forgotten, &err), STATUS_OK);
    assert_int_equal(forgotten, 1);
    arrive(index, &young_label);
    const struct outcome_taker taker = {note, text};
    assert_int_equal(outcomes_walk(index, &taker, &err), STATUS_OK);
    sort_lines(text);
    assert_string_equal(text, " 2 NV unknown_request\na 1 NV label\nc 3 DF label\n");
    feedback_index_rollback(index);
    feedback_index_close(index);
}

// Numbers and offsets are what was committed; what was rolled back is not there.
static void test_transactions(void **state)
{
    (void)state;
    struct feedback_index *index;
    struct error err = {""};
    int64_t value;
    struct read_place place;
    assert_int_equal(feedback_index_open(&index, folder, &err), STATUS_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(feedback_index_begin(index, &err), STATUS_OK);
        arrive(index, &arrivals[4]);
        arrive(index, &arrivals[4]);
        feedback_index_count_refused(index);
        place = (struct read_place){8 + round, -5 + round};
        assert_int_equal(feedback_index_set_place(index, "topic", 3, &place, &err), STATUS_OK);
        if (round == 0)
            feedback_index_rollback(index);
        else
            assert_int_equal(feedback_index_commit(index, &err), STATUS_OK);
    }
    assert_int_equal(feedback_index_number(index, INDEX_LABELS, &value, &err), STATUS_OK);
    assert_int_equal(value, 1);
    assert_int_equal(feedback_index_number(index, INDEX_REPEATED, &value, &err), STATUS_OK);
    assert_int_equal(value, 1);
    assert_int_equal(feedback_index_number(index, INDEX_REFUSED, &value, &err), STATUS_OK);
    assert_int_equal(value, 1);
    assert_int_equal(feedback_index_place(index, "topic", 3, &place, &err), STATUS_OK);
    assert_int_equal(place.next, 9);
    assert_int_equal(place.witness, -4);
    assert_int_equal(feedback_index_place(index, "topic", 4, &place, &err), STATUS_OK);
    assert_int_equal(place.next, -1);
    feedback_index_close(index);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts), cmocka_unit_test(test_any_order), cmocka_unit_test(test_forgetting),
        cmocka_unit_test(test_transactions), // the last: what it commits stays
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    char *path = memory_format("%s/listen.db", folder);
    unlink(path);
    free(path);
    rmdir(folder);
    return failures;
}
