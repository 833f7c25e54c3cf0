/* Messages over a stream socket: a length (4 bytes, little endian) and that many bytes, again and
 * again. Between worker and spawner, and between spawner and slot processes. Used from one thread;
 * never blocks (every call is MSG_DONTWAIT, whatever the socket's flags).
 *
 * Reading:  leat_frames_fill() when the socket is readable, then leat_frames_next() until
 * NOT_FOUND. Writing:  leat_frames_send_msg() queues, leat_frames_flush() sends; as long as
 *           leat_frames_queued_bytes() is not 0, wait for the socket to be writable and flush
 * again.
 */
#ifndef LEAT_WORKER_SPAWNER_FRAMES_H
#define LEAT_WORKER_SPAWNER_FRAMES_H

#include <stddef.h>

#include "core/err.h"
#include "core/messages.h"
#include "core/view.h"
#include "wire/buffer.h"

struct leat_frames {
    int fd;                     /* borrowed */
    struct leat_wire_buffer in; /* [consumed, size) is received and not yet handed out */
    size_t consumed;
    struct leat_wire_buffer out; /* [sent, size) waits to be sent */
    size_t sent;
    size_t queue_bytes_max;
};

/* Caller's storage; `fd` stays the caller's. queue_bytes_max bounds what waits to be sent, except
 * that an empty queue takes any one frame; 0: LEAT_MESSAGE_BYTES_MAX. Allocates nothing yet. */
void leat_frames_init(struct leat_frames *frames, int fd, size_t queue_bytes_max);
/* Frees the buffers; does not close the socket. */
void leat_frames_fini(struct leat_frames *frames);

/* Reads once what the socket has: a quarter of a MiB, or of a longer frame as much again as has
 * come of it, so that memory is taken for what came and not for what was announced. LEAT_OK at
 * least one byte came LEAT_ERR_NOT_FOUND  nothing to read now LEAT_ERR_CLOSED     the other end is
 * closed (frames received before can still be taken) LEAT_ERR_MEMORY, LEAT_ERR_IO Frames handed out
 * before are no longer valid. */
LEAT_MUST_USE enum leat_err leat_frames_fill(struct leat_frames *frames);

/* The next whole frame, borrowed until the next fill.
 *   LEAT_ERR_NOT_FOUND  no whole frame has arrived
 *   LEAT_ERR_LIMIT      its length is over LEAT_MESSAGE_BYTES_MAX: the stream is of no use any more
 */
LEAT_MUST_USE enum leat_err leat_frames_next(struct leat_frames *frames,
                                             struct leat_bytes *ret_frame);

/* Queues one message. LEAT_ERR_BUSY: the queue is full, flush first; LEAT_ERR_MEMORY; and the
 * errors of leat_wire_encode. On failure nothing was queued. */
LEAT_MUST_USE enum leat_err leat_frames_send_msg(struct leat_frames *frames,
                                                 const struct leat_msg *msg);
/* The same for bytes that are there already: `head` and `body` become one frame. */
LEAT_MUST_USE enum leat_err leat_frames_send(struct leat_frames *frames, struct leat_bytes head,
                                             struct leat_bytes body);

/* Sends what the socket takes. LEAT_OK (also when some is left), LEAT_ERR_CLOSED, LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_frames_flush(struct leat_frames *frames);

/* Received and not yet handed out. */
static inline size_t leat_frames_unread_bytes(const struct leat_frames *frames)
{
    return frames->in.size - frames->consumed;
}

static inline size_t leat_frames_queued_bytes(const struct leat_frames *frames)
{
    return frames->out.size - frames->sent;
}

#endif
