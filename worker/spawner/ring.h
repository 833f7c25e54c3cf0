/* A queue of pieces of bytes from one process to another in memory that both share: one writes, the
 * other takes, neither waits and neither makes a system call. What was put stays there when the
 * writer dies.
 *
 * The taker believes nothing that lies in the memory: it keeps its own place, checks every length,
 * and copies a piece before it looks at it. The writer believes it all; it is the one that can be
 * harmed.
 *
 * Invariants: `written` and `taken` count bytes since the beginning and never fall;
 * taken <= written <= taken + LEAT_RING_BYTES. A piece is its length (4 bytes) and its bytes; it
 * may go over the end of the memory and on at its front. */
#ifndef LEAT_WORKER_SPAWNER_RING_H
#define LEAT_WORKER_SPAWNER_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/limits.h"
#include "core/view.h"
#include "wire/buffer.h"

#define LEAT_RING_BYTES (256u << 10) /* a power of two */
#define LEAT_RING_LINE  64           /* apart, so that writer and taker do not share a cache line */

struct leat_ring {
    _Alignas(LEAT_RING_LINE) _Atomic uint64_t written;
    _Alignas(LEAT_RING_LINE) _Atomic uint64_t taken;
    _Alignas(LEAT_RING_LINE) uint8_t bytes[LEAT_RING_BYTES];
};

/* The ring is all zero at first. Caller's storage; the memory stays the caller's. */
struct leat_ring_writer {
    struct leat_ring *ring;
    uint64_t written;
    uint64_t taken; /* as it was when it was looked at last */
};

struct leat_ring_taker {
    struct leat_ring *ring;
    uint64_t taken;
};

/* Whether all that was put has been taken. */
static inline bool leat_ring_is_taken(const struct leat_ring_writer *writer)
{
    return atomic_load_explicit(&writer->ring->taken, memory_order_relaxed) == writer->written;
}
/* False: there is no room for it now. */
bool leat_ring_put(struct leat_ring_writer *writer, struct leat_bytes piece);
/* Takes note that the next piece goes another way. Room for this is kept free: LEAT_PIPELINE_JOBS
 * of them always fit. False: there were more. */
bool leat_ring_put_elsewhere(struct leat_ring_writer *writer);

/* Takes the next piece into `piece`, whose contents are replaced; or, for a piece that goes another
 * way, sets *ret_elsewhere.
 *   LEAT_ERR_NOT_FOUND  nothing is there
 *   LEAT_ERR_MALFORMED  the memory holds nonsense: the ring is of no use any more
 *   LEAT_ERR_MEMORY     nothing was taken */
LEAT_MUST_USE enum leat_err leat_ring_take(struct leat_ring_taker *taker,
                                           struct leat_wire_buffer *piece, bool *ret_elsewhere);

#endif
