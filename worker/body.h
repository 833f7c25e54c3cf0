/* The job's body as the worker's core needs it. The core speaks in structs; the bytes are read by
 * wire/codec.h behind this one call, which is as pure as the core itself. */
#ifndef LEAT_WORKER_BODY_H
#define LEAT_WORKER_BODY_H

#include "core/err.h"
#include "core/messages.h"

/* Reads a body and checks it (core/job.h). Payload and texts of *ret_body borrow from `bytes`; its
 * header list is malloced and the caller's. LEAT_ERR_MALFORMED, LEAT_ERR_VERSION, LEAT_ERR_LIMIT,
 * LEAT_ERR_INVALID with the reason; LEAT_ERR_MEMORY. */
LEAT_MUST_USE enum leat_err leat_worker_body_read(struct leat_bytes bytes,
                                                  struct leat_item_body *ret_body,
                                                  struct leat_why *why);

#endif
