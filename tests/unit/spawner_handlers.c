/* Handlers that misbehave, for the tests of the spawner. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "leat/handler.h"

static int echo(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    return leat_handler_output(result, job->payload, job->payload_bytes);
}

static int describe(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const long long now_ms = (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    const long long left_ms = job->deadline_ms - now_ms;
    const char *color = leat_handler_header(job, "color");
    const char *none = leat_handler_header(job, "none");
    char text[512];
    int size =
        snprintf(text, sizeof text, "%s %s %s %llu %llu %s %s %s %s", job->id, job->queue,
                 job->type, (unsigned long long)job->attempt, (unsigned long long)job->timeout_ms,
                 color == NULL ? "-" : color, none == NULL ? "-" : none,
                 left_ms > 4000 && left_ms <= 5000 ? "in time" : "wrong deadline",
                 (const char *)job->payload);
    return leat_handler_output(result, text, (size_t)size);
}

static int fail(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    const char *how = job->payload;
    if (strcmp(how, "plain") == 0) {
        return 42;
    }
    return leat_handler_fail(
        result, strcmp(how, "permanent") == 0 ? LEAT_HANDLER_PERMANENT : LEAT_HANDLER_RETRY, 7,
        "it is %s", how);
}

static int crash(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)job;
    (void)result;
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
    return 0;
}

static int leave(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)job;
    (void)result;
    _exit(0);
}

/* Hangs, ignores SIGTERM, and has a daemon. */
static int hang(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)job;
    (void)result;
    signal(SIGTERM, SIG_IGN);
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            execlp("sleep", "sleep", getenv("MARK"), (char *)NULL);
        }
        _exit(0);
    }
    for (;;) {
        pause();
    }
}

static void ignore(int number)
{
    (void)number;
}

/* Succeeds as soon as it gets SIGTERM. */
static int late(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)job;
    sigset_t term;
    sigset_t before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    signal(SIGTERM, ignore);
    sigsuspend(&before);
    return leat_handler_output(result, "done", 4);
}

static int nap(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)result;
    usleep((useconds_t)atoi(job->payload) * 1000);
    return 0;
}

static int large(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)job;
    for (int i = 0; i < 11; i++) {
        if (leat_handler_append(result, "0123456789", 10) != 0) {
            break;
        }
    }
    return 0;
}

static int whoami(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)job;
    char text[32];
    int size = snprintf(text, sizeof text, "%d", (int)getpid());
    return leat_handler_output(result, text, (size_t)size);
}

static int nap_whoami(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)nap(job, result);
    return whoami(job, result);
}

/* Writes over what the spawner reads, and waits for what comes of it. */
static int scribble(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    (void)job;
    (void)result;
    for (int fd = 3; fd < 64; fd++) {
        if (write(fd, "\4\0\0\0junk", 8) < 0) {
            continue;
        }
    }
    for (;;) {
        pause();
    }
}

/* Writes zeros over what is shared with another process, all of it or the first bytes, where the
 * gate is, and goes on for ever. */
static int erase(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    (void)result;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        uintptr_t from;
        uintptr_t to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2 &&
            strstr(line, " rw-s ") != NULL) {
            memset((void *)from, 0, job->payload_bytes > 0 ? 16 : to - from);
        }
    }
    for (;;) {
        pause();
    }
}

/* Says how its payload is aligned, what is behind it, and its size. */
static int place(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    const unsigned char *bytes = job->payload;
    char text[96];
    int size = snprintf(text, sizeof text, "%u %u %zu", (unsigned)((uintptr_t)bytes % 64),
                        bytes[job->payload_bytes], job->payload_bytes);
    return leat_handler_output(result, text, (size_t)size);
}

/* Writes over its payload. */
static int spoil(const struct leat_handler_job *job, struct leat_handler_result *result)
{
    signal(SIGSEGV, SIG_DFL); /* the test's own handler was inherited */
    memset((void *)(uintptr_t)job->payload, 0, job->payload_bytes);
    return leat_handler_output(result, "spoiled", 7);
}

static const struct leat_handler handlers[] = {
    {"echo", echo},         {"describe", describe},
    {"fail", fail},         {"crash", crash},
    {"hang", hang},         {"nap", nap},
    {"large", large},       {"leave", leave},
    {"whoami", whoami},     {"nap_whoami", nap_whoami},
    {"scribble", scribble}, {"late", late},
    {"erase", erase},       {"place", place},
    {"spoil", spoil},
};

#ifdef LEAT_TEST_OLD_ABI
extern const struct leat_handlers leat_handlers;
const struct leat_handlers leat_handlers = {LEAT_HANDLER_ABI + 1, 1, handlers};
#elif defined(LEAT_TEST_NO_SYMBOL)
extern const struct leat_handler *const not_the_symbol;
const struct leat_handler *const not_the_symbol = handlers;
#else
LEAT_HANDLERS(handlers);
#endif

#ifdef LEAT_TEST_CRASH_IN_LOAD
__attribute__((constructor)) static void crash_in_load(void)
{
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}
#endif

/* Crashes while it is loaded, if the variable is set; so not when it is checked. */
__attribute__((constructor)) static void crash_if_told(void)
{
    const char *path = getenv("LEAT_TEST_CRASH_FILE");
    if (path != NULL && access(path, F_OK) == 0) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    }
}
