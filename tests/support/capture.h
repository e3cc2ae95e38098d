// capture.h: whole command lines in tests: standard output and error go to files while a program runs and are
// then read back. Single-threaded tests only; include after cmocka.h.
#ifndef SKINSIGHT_TESTS_SUPPORT_CAPTURE_H
#define SKINSIGHT_TESTS_SUPPORT_CAPTURE_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/program/config.h"

enum { CAPTURE_SIZE = 32 * 1024, CAPTURE_WORDS_MAX = 16, CAPTURE_LINE_SIZE = 4096 };

struct capture {
    int stream; // STDOUT_FILENO or STDERR_FILENO
    int saved;
    FILE *file;
    char text[CAPTURE_SIZE]; // filled by capture_stop; cut at its size
};

static inline void capture_start(struct capture *capture, int stream)
{
    fflush(NULL);
    capture->stream = stream;
    capture->file = tmpfile();
    capture->saved = dup(stream);
    assert_true(capture->file && capture->saved >= 0);
    assert_true(dup2(fileno(capture->file), stream) >= 0);
}

static inline void capture_stop(struct capture *capture)
{
    fflush(NULL);
    dup2(capture->saved, capture->stream);
    close(capture->saved);
    rewind(capture->file);
    capture->text[fread(capture->text, 1, CAPTURE_SIZE - 1, capture->file)] = '\0';
    fclose(capture->file);
}

// Runs the program with the words of line ('~' stands for a space inside a word); the exit code.
static inline int capture_program(const struct program *program, const char *line, struct capture *out,
                                  struct capture *err)
{
    char copy[CAPTURE_LINE_SIZE];
    char name[] = "program";
    char *words[CAPTURE_WORDS_MAX + 1] = {name};
    int count = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word && count < CAPTURE_WORDS_MAX; word = strtok(NULL, " "))
        words[count++] = word;
    for (int i = 1; i < count; i++)
        for (char *c = words[i]; *c; c++)
            if (*c == '~')
                *c = ' ';
    capture_start(out, STDOUT_FILENO);
    capture_start(err, STDERR_FILENO);
    int code = config_main(program, count, words);
    capture_stop(err);
    capture_stop(out);
    return code;
}

static inline void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static inline void expect_text(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is missing in:\n%s", part, text);
}

static inline void expect_no_text(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("'%s' stands in:\n%s", part, text);
}

#endif
