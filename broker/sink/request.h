/* What is asked of the metrics actor: one map, as msgpack or as JSON text. Pure; for bytes from
 * outside: nothing is allocated for what is only declared.
 *
 * A request is text when its first byte is below 0x80, which no msgpack map has; a text is answered
 * with JSON, msgpack with msgpack. Keys that are not known are skipped. */
#ifndef LEAT_SINK_REQUEST_H
#define LEAT_SINK_REQUEST_H

#include "core/err.h"
#include "core/id.h"
#include "core/limits.h"
#include "core/view.h"

#define LEAT_REQUEST_LIMIT_DEFAULT 100
/* Of a cursor: a position in the failures, as hexadecimal text. */
#define LEAT_REQUEST_CURSOR_BYTES 64

enum leat_request_verb {
    LEAT_REQUEST_PING = 1,
    LEAT_REQUEST_VERSION,
    LEAT_REQUEST_STATS,
    LEAT_REQUEST_QUEUES,
    LEAT_REQUEST_WORKERS,
    LEAT_REQUEST_JOB,
    LEAT_REQUEST_FAILURES,
};

struct leat_request {
    enum leat_request_verb verb;
    bool has_id;
    struct leat_id id;                         /* job */
    char queue[LEAT_QUEUE_BYTES_MAX + 1];      /* stats, queues, failures: only this one; "": all */
    char type[LEAT_TYPE_BYTES_MAX + 1];        /* stats, failures */
    char kind[LEAT_TYPE_BYTES_MAX + 1];        /* failures: name of a failure; "": all */
    char after[LEAT_REQUEST_CURSOR_BYTES + 1]; /* failures: `next` of the page before; "": first */
    uint64_t limit;                            /* failures: 1 to LEAT_PAGE_MAX */
    bool with_body;                            /* failures: the jobs' bodies too */
    bool reruns;                               /* failures: also those that were run again */
};

/* Whether the bytes are to be read, and answered, as JSON text. */
bool leat_request_is_text(struct leat_bytes bytes);

/* LEAT_ERR_LIMIT       more than LEAT_REQUEST_BYTES_MAX, or a value over its limit
 * LEAT_ERR_MALFORMED   neither a msgpack map nor a JSON object, or a value of another type
 * LEAT_ERR_UNKNOWN_TYPE  no such request
 * LEAT_ERR_INVALID     a value that cannot be; a field that the request needs is missing */
LEAT_MUST_USE enum leat_err
leat_request_parse(struct leat_bytes bytes, struct leat_request *ret_request, struct leat_why *why);

/* "stats"; "unknown" for what is none. */
const char *leat_request_name(enum leat_request_verb verb);

#endif
