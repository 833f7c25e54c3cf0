/* The job's body as the worker's core needs it. The core speaks in structs; the bytes are read by
 * wire/codec.h behind this one call, which is as pure as the core itself. */
#ifndef LEAT_WORKER_BODY_H
#define LEAT_WORKER_BODY_H

#include "core/err.h"
#include "core/messages.h"

#define LEAT_WORKER_BODY_END_BYTES 56

/* How the last body without headers went on behind its payload, and what that meant: bodies of one
 * producer mostly differ in the payload only. Caller's storage, all zero at first. */
struct leat_worker_body_end {
    uint32_t elements; /* of the whole body, as its head says */
    size_t size;
    uint8_t bytes[LEAT_WORKER_BODY_END_BYTES];
    struct leat_item_body body; /* checked; without a payload */
};

/* Reads a body and checks it (core/job.h). Payload and texts of *ret_body borrow from `bytes`; its
 * header list is malloced and the caller's. LEAT_ERR_MALFORMED, LEAT_ERR_VERSION, LEAT_ERR_LIMIT,
 * LEAT_ERR_INVALID with the reason; LEAT_ERR_MEMORY. What is known of it by `last` is not read
 * again. */
LEAT_MUST_USE enum leat_err leat_worker_body_read(struct leat_worker_body_end *last,
                                                  struct leat_bytes bytes,
                                                  struct leat_item_body *ret_body,
                                                  struct leat_why *why);

#endif
