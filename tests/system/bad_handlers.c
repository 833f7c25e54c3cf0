/* A plug-in that does to its process whatever the payload says, for test_isolation.py. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leat/handler.h"

/* Appends this process's id to the file that the test reads. */
static void sign(void)
{
    char text[32];
    int size = snprintf(text, sizeof text, "%d\n", (int)getpid());
    int fd = open("pids", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, (size_t)size) != size) {
        abort();
    }
    close(fd);
}

static int echo(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    return leat_handler_output(result, job->payload, job->payload_bytes);
}

static int loop(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)job;
    (void)result;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    sign();
    for (volatile unsigned i = 0;; i++) {
    }
}

/* Leaves a daemon that nothing but SIGKILL ends, and then waits itself. */
static int daemonize(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)job;
    (void)result;
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            signal(SIGTERM, SIG_IGN);
            signal(SIGHUP, SIG_IGN);
            sign();
            for (;;) {
                pause();
            }
        }
        _exit(0);
    }
    for (;;) {
        pause();
    }
}

/* Forks as often as it can; says how often that was, and why not once more. */
static int forks(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)job;
    char text[64];
    static pid_t children[4096];
    int count = 0;
    while (count < 4096) {
        pid_t pid = fork();
        if (pid == 0) {
            for (;;) {
                pause();
            }
        }
        if (pid < 0) {
            break;
        }
        children[count++] = pid;
    }
    int error = errno;
    for (int i = 0; i < count; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    int size = snprintf(text, sizeof text, "%d %s", count, strerror(error));
    return leat_handler_output(result, text, (size_t)size);
}

static int bomb(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)job;
    (void)result;
    for (;;) {
        (void)!fork();
    }
}

static int closes(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    for (int fd = 0; fd < 1024; fd++) {
        close(fd);
    }
    return leat_handler_output(result, job->payload, job->payload_bytes);
}

static int floods(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)job;
    static char line[1024];
    memset(line, 'x', sizeof line);
    for (int i = 0; i < 20000; i++) {
        if (write(i % 2 + 1, line, sizeof line) < 0 ||
            leat_handler_append(result, line, sizeof line) != 0) {
            continue; /* the output was too large long ago */
        }
    }
    return 0;
}

static int allocates(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)job;
    size_t mib = 0;
    for (;; mib++) {
        char *block = malloc(1 << 20);
        if (block == NULL) {
            break;
        }
        memset(block, 1, 1 << 20);
    }
    return leat_handler_fail(result, LEAT_HANDLER_PERMANENT, 12, "no memory after %zu MiB", mib);
}

static int ends(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)result;
    _exit(atoi(job->payload));
}

static int dies(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)result;
    signal(atoi(job->payload), SIG_DFL);
    raise(atoi(job->payload));
    return 0;
}

static int segfaults(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)result;
    volatile int *volatile nowhere = (int *)(uintptr_t)(job->attempt >> 63);
    *nowhere = 1;
    return 0;
}

static const struct leat_handler handlers[] = {
    {"p.echo", echo}, {"p.loop", loop},     {"p.daemon", daemonize},    {"p.forks", forks},
    {"p.bomb", bomb}, {"p.closes", closes}, {"p.floods", floods},       {"p.memory", allocates},
    {"p.ends", ends}, {"p.dies", dies},     {"p.segfaults", segfaults},
};
LEAT_HANDLERS(handlers);
