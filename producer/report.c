// report.c: the output of submit. The progress bar is taken away before anything else is written, since both
// may share one terminal.
#include "producer/report.h"

#include <stdarg.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/text.h"

enum { NAME_COLUMNS_LEAST = 12, NAME_COLUMNS_MOST = 44 };

static const char untrained_sentence[] = "The model is untrained: these diagnoses mean nothing.";

bool report_is_quiet(const struct config *config)
{
    return config_choice(config, "log_level") > LOG_LEVEL_INFO;
}

void report_init(struct report *report, bool json, const char *topic)
{
    *report = (struct report){.out = stdout, .talk = stderr, .json = json, .topic = topic};
}

void report_set_files(struct report *report, char *const *files, size_t count)
{
    report->name_columns = NAME_COLUMNS_LEAST;
    for (size_t i = 0; i < count && report->name_columns < NAME_COLUMNS_MOST; i++) {
        size_t columns = text_columns(files[i]);
        if (columns > report->name_columns)
            report->name_columns = columns < NAME_COLUMNS_MOST ? columns : NAME_COLUMNS_MOST;
    }
    progress_init(&report->progress, report->talk, !report->json, count);
}

void report_trouble(struct report *report, const char *format, ...)
{
    struct error sentence, clean;
    va_list args;
    va_start(args, format);
    vsnprintf(sentence.message, sizeof sentence.message, format, args);
    va_end(args);
    text_clean(sentence.message, clean.message, sizeof clean.message);
    progress_clear(&report->progress);
    fprintf(report->talk, "skinsight-producer: %s\n", clean.message);
    report->troubles++;
}

void report_acknowledged(struct report *report, const struct ledger_entry *entry)
{
    if (!report->json)
        return;
    answer_write_json(report->out, entry, report->topic, (struct bytes){0}, 0);
    fflush(report->out);
}

static void write_row(struct report *report, const struct ledger_entry *entry,
                      const struct prediction *answer, int64_t elapsed_us)
{
    const char *known = known_labels_find(report->labels, entry->file);
    if (known && !answer->error.code) {
        report->known++;
        report->as_known += strcmp(known, answer->result.primary_diagnosis) == 0;
    }
    if (!report->heading_written) {
        if (answer->model_info.trained == 0)
            fprintf(report->out, "%s\n\n", untrained_sentence);
        answer_write_heading(report->out, report->name_columns, report->labels != NULL);
        report->heading_written = true;
    }
    answer_write_row(report->out, report->name_columns, entry, answer, elapsed_us, known);
}

void report_answer(struct report *report, const struct ledger_entry *entry, const struct prediction *answer,
                   struct bytes record, int64_t elapsed_us)
{
    progress_clear(&report->progress);
    report->untrained |= answer->model_info.trained == 0;
    report->rows++;
    if (report->json)
        answer_write_json(report->out, entry, report->topic, record, elapsed_us);
    else
        write_row(report, entry, answer, elapsed_us);
    fflush(report->out);
}

void report_finish(struct report *report, const char *format, ...)
{
    progress_clear(&report->progress);
    if (report->json)
        return;
    if (report->rows > 0)
        fputc('\n', report->out);
    va_list args;
    va_start(args, format);
    vfprintf(report->out, format, args);
    va_end(args);
    fputc('\n', report->out);
    if (report->known > 0)
        fprintf(report->out, "%zu of %zu diagnoses are the known ones\n", report->as_known, report->known);
    if (report->untrained)
        fprintf(report->out, "%s\n", untrained_sentence);
    fflush(report->out);
}
