/* Which texts may be names: of queues, types and headers. Not empty, at most so many bytes, only
 * A-Z a-z 0-9 _ . and -, so that a name can stand in an option, a topic, a log line and an
 * environment variable without quoting. */
#ifndef LEAT_CORE_NAME_H
#define LEAT_CORE_NAME_H

#include <stddef.h>

#include "core/err.h"
#include "core/limits.h"
#include "core/view.h"

/* `what` is the word for people: "queue", "type", "header name". LEAT_ERR_INVALID (empty, or a byte
 * that is not allowed) or LEAT_ERR_LIMIT (too long), with the limit and the value in `why`. */
LEAT_MUST_USE enum leat_err leat_name_check(const char *what, struct leat_str name,
                                            size_t bytes_max, struct leat_why *why);

static inline enum leat_err leat_name_check_queue(struct leat_str name, struct leat_why *why)
{
    return leat_name_check("queue", name, LEAT_QUEUE_BYTES_MAX, why);
}

static inline enum leat_err leat_name_check_type(struct leat_str name, struct leat_why *why)
{
    return leat_name_check("type", name, LEAT_TYPE_BYTES_MAX, why);
}

#endif
