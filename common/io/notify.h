/* Tells a supervisor (systemd, or what speaks like it) that the process is ready, stops, and lives:
 * the protocol of sd_notify(3), datagrams to $NOTIFY_SOCKET. Without that variable nothing happens.
 *
 * Written here and not taken from libsystemd: it is one datagram of text, documented as stable and
 * free to be spoken by anybody, and libsystemd would come with five libraries of its own.
 *
 * The watchdog is fed by the loop (io/runner.h) and by nothing else, so that a loop that hangs is
 * noticed. All of this belongs to the thread that runs the loop.
 */
#ifndef LEAT_IO_NOTIFY_H
#define LEAT_IO_NOTIFY_H

#include <stdint.h>

#include "core/err.h"

/* Reads $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID and removes them, so that nothing this
 * process starts can speak in its place. Before anything is forked. */
void leat_notify_start(void);

/* READY=1, with a line for people ("peers=tcp://..."; cut at its end of line). LEAT_ERR_IO when the
 * supervisor cannot be told: it would kill what it takes for not started. */
LEAT_MUST_USE enum leat_err leat_notify_ready(const char *status, struct leat_why *why);

/* STOPPING=1, once. */
void leat_notify_stopping(void);

/* WATCHDOG=1 when it is due; called in each turn of the loop. Never blocks. */
void leat_notify_alive(int64_t mono_us);

/* How long the loop may sleep so that the next call comes in time; a large number without a
 * watchdog. */
int64_t leat_notify_wait_us(void);

#endif
