// training.c: fork and exec. What the child does before exec is fit for a process with threads.
#include "trainer/listen/training.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/memory.h"

enum { LOCK_FD = 3, EXIT_NO_PROGRAM = 127, FOLDERS_OPEN = 16 };

#define ITSELF "/proc/self/exe"

// What can't be looked at counts as there: nothing is removed for that.
static bool holds(const char *dataset, const char *version, const char *file)
{
    char *path = memory_format("%s/models/%s/%s", dataset, version, file);
    bool there = access(path, F_OK) == 0 || errno != ENOENT;
    free(path);
    return there;
}

bool training_has_checkpoint(const char *dataset, const char *version)
{
    return holds(dataset, version, "checkpoint/checkpoint.json");
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

enum status training_tidy(const char *dataset, const char *version, bool *ended, struct error *err)
{
    enum status status = STATUS_OK;
    *ended = holds(dataset, version, "manifest.json");
    if (*ended || training_has_checkpoint(dataset, version))
        return STATUS_OK;
    char *folder = memory_format("%s/models/%s", dataset, version);
    if (nftw(folder, remove_one, FOLDERS_OPEN, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        status = error_set(err, STATUS_RETRY, "%s can't be removed: %s", folder, strerror(errno));
    free(folder);
    return status;
}

// The texts that are made stand behind the array's NULL.
struct command_line {
    char *data, *images, *out;
    const char **words;
};

static void make_command_line(struct command_line *line, const char *dataset, const char *version,
                              const struct training_recipe *recipe)
{
    line->data = memory_format("%s/%s/labels.csv", dataset, version);
    line->images = memory_format("%s/images", dataset);
    line->out = memory_format("%s/models/%s", dataset, version);
    const char *const fixed[] = {"skinsight-trainer", "train",      "--data", line->data,
                                 "--images",          line->images, "--out",  line->out};
    size_t count = sizeof fixed / sizeof *fixed;
    line->words = memory_alloc((count + recipe->count + 2) * sizeof *line->words);
    memcpy(line->words, fixed, sizeof fixed);
    for (size_t i = 0; i < recipe->count; i++)
        line->words[count++] = recipe->arguments[i];
    if (training_has_checkpoint(dataset, version))
        line->words[count++] = "--resume";
    line->words[count] = NULL;
}

static void release_command_line(struct command_line *line)
{
    free(line->data);
    free(line->images);
    free(line->out);
    free(line->words);
}

// Signals are blocked until they mean the child's own end and no longer what this process does with them.
static _Noreturn void become(const struct command_line *line, pid_t parent, int lock, const sigset_t *mask)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) // it died before it could be watched
        _exit(EXIT_NO_PROGRAM);
    setpgid(0, 0); // a terminal's interrupt is for listen, which asks it once to save
    signal(SIGPIPE, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (lock == LOCK_FD)
        fcntl(lock, F_SETFD, 0); // stays open behind exec, as what dup2 makes does
    else
        dup2(lock, LOCK_FD);
    close_range(LOCK_FD + 1, ~0u, 0);
    execv(ITSELF, (char *const *)line->words);
    _exit(EXIT_NO_PROGRAM);
}

enum status training_start(struct training *training, const char *dataset, const char *version,
                           const struct training_recipe *recipe, struct error *err)
{
    struct command_line line;
    sigset_t stops, mask;
    pid_t parent = getpid();
    make_command_line(&line, dataset, version, recipe);
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stops, &mask);
    pid_t process = fork();
    if (process == 0)
        become(&line, parent, recipe->lock, &mask);
    int reason = errno;
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
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
