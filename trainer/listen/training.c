// training.c: fork and exec. What the child does before exec is fit for a process with threads.
#include "trainer/listen/training.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/memory.h"

enum { FIRST_OTHER_FD = 3, EXIT_NO_PROGRAM = 127 };

#define ITSELF "/proc/self/exe"

// The texts that are made stand behind the array's NULL.
struct command_line {
    char *data, *images, *out, *checkpoint;
    const char **words;
};

static void make_command_line(struct command_line *line, const char *dataset, const char *version,
                              const struct training_recipe *recipe)
{
    line->data = memory_format("%s/%s/labels.csv", dataset, version);
    line->images = memory_format("%s/images", dataset);
    line->out = memory_format("%s/models/%s", dataset, version);
    line->checkpoint = memory_format("%s/checkpoint/checkpoint.json", line->out);
    const char *const fixed[] = {"skinsight-trainer", "train",      "--data", line->data,
                                 "--images",          line->images, "--out",  line->out};
    size_t count = sizeof fixed / sizeof *fixed;
    line->words = memory_alloc((count + recipe->count + 2) * sizeof *line->words);
    memcpy(line->words, fixed, sizeof fixed);
    for (size_t i = 0; i < recipe->count; i++)
        line->words[count++] = recipe->arguments[i];
    if (access(line->checkpoint, F_OK) == 0)
        line->words[count++] = "--resume";
    line->words[count] = NULL;
}

static void release_command_line(struct command_line *line)
{
    free(line->data);
    free(line->images);
    free(line->out);
    free(line->checkpoint);
    free(line->words);
}

static _Noreturn void become(const struct command_line *line, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) // it died before it could be watched
        _exit(EXIT_NO_PROGRAM);
    setpgid(0, 0); // a terminal's interrupt is for listen, which asks it once to save
    signal(SIGPIPE, SIG_DFL);
    close_range(FIRST_OTHER_FD, ~0u, 0);
    execv(ITSELF, (char *const *)line->words);
    _exit(EXIT_NO_PROGRAM);
}

enum status training_start(struct training *training, const char *dataset, const char *version,
                           const struct training_recipe *recipe, struct error *err)
{
    struct command_line line;
    pid_t parent = getpid();
    make_command_line(&line, dataset, version, recipe);
    pid_t process = fork();
    if (process == 0)
        become(&line, parent);
    int reason = errno;
    release_command_line(&line);
    if (process < 0)
        return error_set(err, STATUS_FATAL, "no process for a training: %s", strerror(reason));
    training->process = process;
    return STATUS_OK;
}

bool training_runs(const struct training *training)
{
    return training->process > 0;
}

bool training_ended(struct training *training, int *code)
{
    int state;
    if (!training_runs(training) || waitpid(training->process, &state, WNOHANG) != training->process)
        return false;
    training->process = 0;
    *code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    return true;
}

void training_stop(struct training *training)
{
    if (!training_runs(training))
        return;
    kill(training->process, SIGTERM);
    while (waitpid(training->process, NULL, 0) < 0 && errno == EINTR)
        ;
    training->process = 0;
}
