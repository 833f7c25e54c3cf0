/* Large payloads on their way from the worker to plug-in children: written once, into memory that
 * worker, spawner and children share, and read in place. Between the processes go only their
 * places.
 *
 * A ring of pieces in the order in which they were put. The spawner marks a piece when its attempt
 * is gone; the worker takes room back from the oldest on. So a slow attempt can keep room that is
 * free behind it; a payload that finds none goes over the sockets, as small ones do.
 *
 *      tail            head
 *      | piece | piece |  ...      piece: a head of LEAT_BODIES_ALIGN bytes, the payload, a zero
 *
 * Children may read all of it and write nothing (leat_bodies_protect). */
#ifndef LEAT_WORKER_SPAWNER_BODIES_H
#define LEAT_WORKER_SPAWNER_BODIES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/view.h"

#define LEAT_BODIES_BYTES       (32u << 20)
#define LEAT_BODIES_LARGE_BYTES (16u << 10) /* from here on payloads go this way */
#define LEAT_BODIES_ALIGN       64u

struct leat_bodies {
    uint8_t *memory; /* owned, shared; NULL: there is none */
    size_t size;
    size_t head, tail, count; /* the worker's: where the next piece goes, the oldest, how many */
};

/* Before the spawner is forked; `size` is a multiple of LEAT_BODIES_ALIGN. LEAT_ERR_MEMORY. */
LEAT_MUST_USE enum leat_err leat_bodies_open(struct leat_bodies *bodies, size_t size);
/* Accepts one without memory. */
void leat_bodies_close(struct leat_bodies *bodies);

/* The worker: copies a payload in. *ret_place is what stands for it in a RUN; it borrows from the
 * shared memory until the piece is done. False: no room. */
bool leat_bodies_put(struct leat_bodies *bodies, struct leat_bytes payload,
                     struct leat_bytes *ret_place);

/* The worker: takes these back, which nobody was told of. */
void leat_bodies_drop(struct leat_bodies *bodies, const struct leat_bytes *places, size_t count);

/* What is at a place; *ret_done is to be set when nobody will read it any more. LEAT_ERR_MALFORMED:
 * nothing that was put. */
LEAT_MUST_USE enum leat_err leat_bodies_find(const struct leat_bodies *bodies,
                                             struct leat_bytes place,
                                             struct leat_bytes *ret_payload,
                                             _Atomic uint32_t **ret_done);

/* A child: from now on it can only read. */
LEAT_MUST_USE enum leat_err leat_bodies_protect(const struct leat_bodies *bodies);

static inline void leat_bodies_done(_Atomic uint32_t *done)
{
    atomic_store_explicit(done, 1, memory_order_release);
}

#endif
