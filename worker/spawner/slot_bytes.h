/* What goes to a slot process and what comes back, as bytes: an order per attempt, an answer to
 * each. Both ends are one program, so numbers are as they lie in memory.
 *
 * An order is written by the spawner and believed. An answer comes from a process in which handlers
 * run, and is checked before anything is done with it. */
#ifndef LEAT_WORKER_SPAWNER_SLOT_BYTES_H
#define LEAT_WORKER_SPAWNER_SLOT_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/messages.h"
#include "wire/buffer.h"

struct leat_slot_order {
    uint64_t seq;        /* 1, 2, 3... within one slot process */
    int64_t received_us; /* monotonic time at which the spawner got the RUN */
    size_t handler;      /* index in the config */
    bool apart;          /* the payload is a place in shared memory (bodies.h) */
    /* Its texts are terminated by a zero byte that does not count; `delivery` stays behind. */
    struct leat_item_attempt run;
    struct leat_item_header headers[LEAT_HEADERS_MAX]; /* of run */
};

/* Bytes that an order for `run` takes. */
size_t leat_slot_order_size(const struct leat_item_attempt *run);
/* Writes that many bytes; the order has no number yet. */
void leat_slot_order_write(const struct leat_item_attempt *run, size_t handler, int64_t received_us,
                           bool apart, uint8_t *to);
void leat_slot_order_number(uint8_t *order, uint64_t seq);
/* *ret_order borrows from `bytes` and points into itself. LEAT_ERR_MALFORMED: not written by the
 * above. */
LEAT_MUST_USE enum leat_err leat_slot_order_read(struct leat_bytes bytes,
                                                 struct leat_slot_order *ret_order);

/* Appends the answer to the attempt `seq`. Not part of it: id and delivery. LEAT_ERR_LIMIT,
 * LEAT_ERR_MEMORY. */
LEAT_MUST_USE enum leat_err leat_slot_answer_append(struct leat_wire_buffer *to, uint64_t seq,
                                                    const struct leat_item_outcome *ran);
/* Reads one; *ret_ran borrows from `bytes`, its id and delivery are zero. LEAT_ERR_MALFORMED: sizes
 * that do not fit, an error that is no UTF-8, or something over its limit. */
LEAT_MUST_USE enum leat_err leat_slot_answer_read(struct leat_bytes bytes, uint64_t *ret_seq,
                                                  struct leat_item_outcome *ret_ran);

#endif
