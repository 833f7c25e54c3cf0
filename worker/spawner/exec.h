/* Starting a command: its environment, its files, its process. For the keeper of an exec slot. */
#ifndef LEAT_WORKER_SPAWNER_EXEC_H
#define LEAT_WORKER_SPAWNER_EXEC_H

#include "core/arena.h"
#include "worker/spawner/inside.h"
#include "worker/spawner/report.h"

/* The keeper's own environment without what describes another attempt (LEAT_JOB_*, LEAT_HEADER_*):
 * a worker may itself run below a handler. */
struct leat_exec_environment {
    char **base; /* owned array of borrowed texts */
    size_t count;
};

LEAT_MUST_USE enum leat_err leat_exec_environment_init(struct leat_exec_environment *environment);

/* The environment of one attempt, NULL-terminated, in the arena: the base and LEAT_JOB_ID,
 * LEAT_JOB_QUEUE, LEAT_JOB_TYPE, LEAT_JOB_ATTEMPT, LEAT_JOB_TIMEOUT_MS, LEAT_HEADER_<NAME> (upper
 * case, '_' for '-' and
 * '.'). NULL: out of memory. */
char **leat_exec_variables(const struct leat_exec_environment *environment,
                           const struct leat_item_attempt *run, struct leat_arena *arena);

/* Pipes to and from a command; [0] is the end that is read; -1: closed, or there is none. The
 * command's ends of `out` and `err` stay open here until it has ended: else the keeper would be
 * woken when the command closes them, and at once again when it has ended. */
struct leat_exec_files {
    int in[2];
    int out[2];
    int err[2];
    int null_fd;
};

/* `null_fd`: what the command reads instead of a pipe, or -1. Our ends do not block. errno or 0. */
int leat_exec_open(struct leat_exec_files *files, int null_fd);
/* Closes one end. */
void leat_exec_close_end(int *fd);
/* Closes what is still open, but null_fd. */
void leat_exec_close(struct leat_exec_files *files);

/* Starts the command in a session of its own, that dies with this process. 0 and *ret_pid, or the
 * errno of whatever failed, exec included. With a bound
 * on processes *ret_listener is what leat_process_limit_answer takes, and the caller's to close;
 * else -1. */
int leat_exec_start(const struct leat_slot_setup *setup, const struct leat_spawner_handler *handler,
                    char **variables, const struct leat_exec_files *files, pid_t *ret_pid,
                    int *ret_listener);

/* SPAWN with the reason. A missing or forbidden file is permanent, lack of memory is not. */
void leat_exec_report(const struct leat_spawner_handler *handler, int error,
                      struct leat_item_outcome *ran, char reason[LEAT_REPORT_REASON_BYTES]);

#endif
