/* A bound on the processes of one slot's handler, without cgroups and without root.
 *
 * The handler's first process installs a seccomp filter (seccomp(2)) that stops every fork below it
 * until its keeper has answered; the keeper counts what is below it (tree.h) and lets the fork go
 * on, or has it fail with EAGAIN, as RLIMIT_NPROC would. RLIMIT_NPROC itself counts all processes
 * of the user, and does not bind root.
 *
 * Threads are not counted. Forks that are let go at the same instant do not see each other, so a
 * moment's count may be above the bound, never above twice the bound. Programs of another machine
 * type (32-bit ones) are not counted. When the keeper is gone, forks fail. */
#ifndef LEAT_WORKER_SPAWNER_PROCESS_LIMIT_H
#define LEAT_WORKER_SPAWNER_PROCESS_LIMIT_H

#include <stddef.h>

#include "core/err.h"

/* Whether this machine and kernel can do it: a filter is installed in a child that is thrown away.
 * Call it while there is one thread. LEAT_ERR_INVALID (says why not). */
LEAT_MUST_USE enum leat_err leat_process_limit_check(struct leat_why *why);

/* In the process to be bounded, which must have PR_SET_NO_NEW_PRIVS: installs the filter and sends
 * its listener over `socket`. 0 or the error number. Makes system calls only: safe in a vfork
 * child. */
int leat_process_limit_install(int socket);

/* In the keeper: takes the listener that was sent, waiting for it; -1 when the other end closed
 * before. The caller closes it. */
int leat_process_limit_receive(int socket);

/* In the keeper, when the listener is readable: answers one fork. `most` processes may be below the
 * caller. */
void leat_process_limit_answer(int listener, size_t most);

#endif
