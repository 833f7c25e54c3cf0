/* Signals as something to poll for. czmq's own handlers are turned off: after SIGTERM they would
 * end its authentication actor while the process still drains, and would let unknown keys in.
 *
 *   leat_signals_start()      first thing in main, before threads, sockets and forks
 *   fd = leat_signals_open()  poll for POLLIN; leat_signals_read(fd) gives the numbers
 */
#ifndef LEAT_IO_SIGNALS_H
#define LEAT_IO_SIGNALS_H

#include "core/err.h"

/* Turns czmq's handlers off, removes ZSYS_* from the environment, ignores SIGPIPE, blocks SIGINT,
 * SIGTERM and SIGHUP in this thread and in all that it will start. Creates no ZeroMQ context. A
 * process that is forked later inherits the blocked set: see leat_signals_reset. */
void leat_signals_start(void);

/* A close-on-exec, non-blocking descriptor for the blocked signals. LEAT_ERR_IO. The caller closes
 * it. */
LEAT_MUST_USE enum leat_err leat_signals_open(int *ret_fd, struct leat_why *why);

/* The number of the next signal, or 0 when there is none. Never blocks. */
int leat_signals_read(int fd);

/* In a child that is to run a foreign program: nothing blocked, everything default again. */
void leat_signals_reset(void);

#endif
