/* What a job may be: the checks that producers make before they send, that the ventilator makes
 * before it accepts, and that workers make before they run. */
#ifndef LEAT_CORE_JOB_H
#define LEAT_CORE_JOB_H

#include <stddef.h>

#include "core/err.h"
#include "core/limits.h"
#include "core/messages.h"

/* At how many bytes a batch of so many items is closed. What is done once for each message is much
 * for four large jobs, but nothing for hundreds, which had better stay in the processor's cache. */
static inline size_t leat_batch_bytes(size_t items)
{
    return items < LEAT_BATCH_FEW_ITEMS ? LEAT_BATCH_FEW_BYTES : LEAT_BATCH_BYTES_TARGET;
}

/* The defaults of limits.h with an empty payload and no headers. */
void leat_job_body_defaults(struct leat_item_body *ret_body);

/* What the ventilator can see: id not zero, names of queue and type, times not negative, expires-at
 * after not-before, size of the opaque body for a payload of at most `payload_bytes_max`.
 * LEAT_ERR_INVALID or LEAT_ERR_LIMIT; `why` names the limit and the value. The names are taken for
 * good when they are those of `checked`, which has passed; it may be NULL. */
LEAT_MUST_USE enum leat_err leat_job_check_submission(const struct leat_item_submission *job,
                                                      const struct leat_item_submission *checked,
                                                      size_t payload_bytes_max,
                                                      struct leat_why *why);

/* What producer and worker can see: payload, timeout, attempts, backoff, and number, sizes and
 * characters of the headers. Header values are UTF-8, as every text on the wire, without zero
 * bytes, since they become environment variables; the same name twice is refused. Errors as above.
 */
LEAT_MUST_USE enum leat_err leat_job_check_body(const struct leat_item_body *body,
                                                size_t payload_bytes_max, struct leat_why *why);

#endif
