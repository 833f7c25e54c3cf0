#include "worker/spawner/exec.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/spawner/process_limit.h"

#define OWN_VARIABLES 5

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

enum leat_err leat_exec_environment_init(struct leat_exec_environment *environment)
{
    size_t count = 0;
    while (environ != NULL && environ[count] != NULL) {
        count++;
    }
    char **base = calloc(count + 1, sizeof *base);
    if (base == NULL) {
        return LEAT_ERR_MEMORY;
    }
    *environment = (struct leat_exec_environment){.base = base};
    for (size_t i = 0; i < count; i++) {
        if (!starts_with(environ[i], "LEAT_JOB_") && !starts_with(environ[i], "LEAT_HEADER_")) {
            base[environment->count++] = environ[i];
        }
    }
    return LEAT_OK;
}

/* "NAME=value" for a header; a value ends at its first zero byte, as the environment wants it. */
static char *header_variable(const struct leat_item_header *header, struct leat_arena *arena)
{
    static const char prefix[] = "LEAT_HEADER_";
    const size_t start = sizeof prefix - 1;
    char *text = leat_arena_take(arena, start + header->name.size + 1 + header->value.size + 1);
    if (text == NULL) {
        return NULL;
    }
    memcpy(text, prefix, start);
    char *at = text + start;
    for (size_t i = 0; i < header->name.size; i++) {
        unsigned char c = (unsigned char)header->name.data[i];
        *at++ = (char)(isalnum(c) ? toupper(c) : '_');
    }
    *at++ = '=';
    if (header->value.size > 0) {
        memcpy(at, header->value.data, header->value.size);
    }
    return text;
}

char **leat_exec_variables(const struct leat_exec_environment *environment,
                           const struct leat_item_attempt *run, struct leat_arena *arena)
{
    const size_t count = environment->count + OWN_VARIABLES + run->headers.count;
    char **variables = leat_arena_take(arena, (count + 1) * sizeof *variables);
    if (variables == NULL) {
        return NULL;
    }
    memcpy(variables, environment->base, environment->count * sizeof *variables);
    char **own = variables + environment->count;
    char id[LEAT_ID_TEXT_BYTES];
    char numbers[2][64];
    snprintf(numbers[0], sizeof numbers[0], "LEAT_JOB_ATTEMPT=%" PRIu64, run->attempt);
    snprintf(numbers[1], sizeof numbers[1], "LEAT_JOB_TIMEOUT_MS=%" PRIu64, run->timeout_ms);
    const struct leat_str texts[OWN_VARIABLES] = {
        leat_arena_format(arena, "LEAT_JOB_ID=%s", leat_id_format(&run->id, id)),
        leat_arena_format(arena, "LEAT_JOB_QUEUE=%.*s", LEAT_STR_ARGS(run->queue)),
        leat_arena_format(arena, "LEAT_JOB_TYPE=%.*s", LEAT_STR_ARGS(run->type)),
        leat_arena_format(arena, "%s", numbers[0]),
        leat_arena_format(arena, "%s", numbers[1]),
    };
    for (size_t i = 0; i < OWN_VARIABLES; i++) {
        own[i] = leat_arena_take(arena, texts[i].size + 1);
        if (own[i] == NULL || texts[i].size == 0) {
            return NULL;
        }
        memcpy(own[i], texts[i].data, texts[i].size);
    }
    for (size_t i = 0; i < run->headers.count; i++) {
        own[OWN_VARIABLES + i] = header_variable(&run->headers.items[i], arena);
        if (own[OWN_VARIABLES + i] == NULL) {
            return NULL;
        }
    }
    return variables;
}

void leat_exec_close_end(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void leat_exec_close(struct leat_exec_files *files)
{
    int *pairs[] = {files->in, files->out, files->err};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        leat_exec_close_end(&pairs[i][0]);
        leat_exec_close_end(&pairs[i][1]);
    }
}

int leat_exec_open(struct leat_exec_files *files, int null_fd)
{
    *files = (struct leat_exec_files){{-1, -1}, {-1, -1}, {-1, -1}, null_fd};
    if ((null_fd < 0 && pipe2(files->in, O_CLOEXEC) != 0) || pipe2(files->out, O_CLOEXEC) != 0 ||
        pipe2(files->err, O_CLOEXEC) != 0 || fcntl(files->out[0], F_SETFL, O_NONBLOCK) != 0 ||
        fcntl(files->err[0], F_SETFL, O_NONBLOCK) != 0 ||
        (null_fd < 0 && fcntl(files->in[1], F_SETFL, O_NONBLOCK) != 0)) {
        int error = errno;
        leat_exec_close(files);
        return error;
    }
    return 0;
}

struct launch {
    const struct leat_slot_setup *setup;
    const struct leat_spawner_handler *handler;
    char **variables;
    const struct leat_exec_files *files;
    pid_t parent;
    int limit_fd;       /* where the listener goes; -1: processes are not limited */
    volatile int error; /* written by the child, in memory that it shares until exec */
};

/* dup2, also when the descriptor is in its place already and would be closed by exec. */
static bool place(int from, int to)
{
    return from == to ? fcntl(to, F_SETFD, 0) == 0 : dup2(from, to) == to;
}

/* Runs in the vfork child: only calls that change nothing in the memory which it shares. All
 * signals are blocked and none has a handler, so none can interfere. */
static noreturn void launch_child(struct launch *launch)
{
    const struct leat_exec_files *files = launch->files;
    const int in = files->in[0] >= 0 ? files->in[0] : files->null_fd;
    if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || !place(in, STDIN_FILENO) ||
        !place(files->out[1], STDOUT_FILENO) || !place(files->err[1], STDERR_FILENO)) {
        launch->error = errno;
        _exit(127);
    }
    if (getppid() != launch->parent) {
        _exit(127);
    }
    leat_slot_limits(launch->setup);
    launch->error = launch->limit_fd < 0 ? 0 : leat_process_limit_install(launch->limit_fd);
    if (launch->error != 0) {
        _exit(127);
    }
    leat_slot_restore_signals();
    execve(launch->handler->path, launch->handler->argv, launch->variables);
    launch->error = errno;
    _exit(127);
}

int leat_exec_start(const struct leat_slot_setup *setup, const struct leat_spawner_handler *handler,
                    char **variables, const struct leat_exec_files *files, pid_t *ret_pid,
                    int *ret_listener)
{
    int limit[2] = {-1, -1};
    *ret_listener = -1;
    if (setup->config->processes_max > 0 &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, limit) != 0) {
        return errno;
    }
    struct launch launch = {setup, handler, variables, files, getpid(), limit[1], 0};
    /* Not fork: it would copy the page tables for nothing. vfork comes back when the child has
     * called exec or has ended, and so also tells whether exec failed. */
    pid_t pid = vfork();
    if (pid == 0) {
        launch_child(&launch);
    }
    int error = pid < 0 ? errno : launch.error;
    if (limit[0] >= 0) {
        close(limit[1]);
        *ret_listener = leat_process_limit_receive(limit[0]); /* was sent before exec, or never */
        close(limit[0]);
    }
    *ret_pid = pid; /* one that could not call exec is a zombie now; the keeper reaps it, too */
    return error;
}

void leat_exec_report(const struct leat_spawner_handler *handler, int error,
                      struct leat_item_outcome *ran, char reason[LEAT_REPORT_REASON_BYTES])
{
    char text[128];
    ran->failure = LEAT_FAILURE_SPAWN;
    ran->code = error;
    ran->permanent = error == ENOENT || error == EACCES || error == ENOEXEC || error == ENOTDIR ||
                     error == E2BIG;
    snprintf(reason, LEAT_REPORT_REASON_BYTES, "cannot run %.100s: %s", handler->path,
             strerror_r(error, text, sizeof text));
}
