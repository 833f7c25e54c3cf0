/* A DEALER as bytes on a Unix socket: what a crowd of peers needs to be light. libzmq takes some
 * descriptors, a pipe and a place in a poll for each socket; this takes one descriptor.
 *
 * ZMTP 3.0, https://rfc.zeromq.org/spec/23/, mechanism NULL, messages of one frame. Never blocks.
 */
#ifndef LEAT_BENCH_ZMTP_H
#define LEAT_BENCH_ZMTP_H

#include <stdbool.h>

#include "core/view.h"
#include "wire/buffer.h"

struct zmtp {
    int fd; /* owned; -1: not connected */
    struct leat_wire_buffer in;
    size_t taken;     /* of `in` */
    size_t handshake; /* bytes of greeting still to come */
    struct leat_wire_buffer out;
    size_t sent;     /* of `out` */
    size_t may_send; /* of `out`: no more than greeting and READY before the other's READY */
};

/* Connects to ipc://PATH and sends greeting and READY. False: nobody listens there (yet). */
bool zmtp_connect(struct zmtp *peer, const char *endpoint);
void zmtp_close(struct zmtp *peer);
/* Queues one message and sends what the socket takes. */
void zmtp_send(struct zmtp *peer, struct leat_bytes message);
/* Sends what is queued. False: the other side is gone. */
bool zmtp_flush(struct zmtp *peer);
/* Reads what has come. False: the other side is gone. */
bool zmtp_fill(struct zmtp *peer);
/* The next message, borrowed until the next fill; false: none is there. */
bool zmtp_next(struct zmtp *peer, struct leat_bytes *ret_message);

#endif
