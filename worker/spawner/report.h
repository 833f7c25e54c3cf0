/* How an attempt ended, in words: the texts and numbers of a RAN. Pure but for strsignal's tables.
 */
#ifndef LEAT_WORKER_SPAWNER_REPORT_H
#define LEAT_WORKER_SPAWNER_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/messages.h"

/* The end of a stream of bytes, of which only so many are kept. Caller's storage; owns `data`. */
struct leat_tail {
    char *data; /* 2 * keep bytes */
    size_t size;
    size_t keep;
    bool cut; /* something was dropped */
};

LEAT_MUST_USE enum leat_err leat_tail_init(struct leat_tail *tail, size_t keep);
void leat_tail_fini(struct leat_tail *tail);
void leat_tail_clear(struct leat_tail *tail);
void leat_tail_append(struct leat_tail *tail, const char *data, size_t size);
/* What is kept, without white space at its end. Borrowed. */
struct leat_str leat_tail_view(const struct leat_tail *tail);

#define LEAT_REPORT_BYTES (LEAT_ERROR_BYTES_MAX + 1)

/* Writes "reason", or "reason: tail" when the tail is not empty, as valid UTF-8 of at most
 * LEAT_ERROR_BYTES_MAX bytes; the end of the tail is what is kept. Returns a view of `text`. */
struct leat_str leat_report_text(char text[LEAT_REPORT_BYTES], const char *reason,
                                 struct leat_str tail);

#define LEAT_REPORT_REASON_BYTES 192
#define LEAT_REPORT_EXPIRED      "expired before it could be started"

/* "timeout after 2 s", "timeout after 1.5 s", "timeout after 20 ms". */
void leat_report_timeout(char reason[LEAT_REPORT_REASON_BYTES], uint64_t timeout_ms);

/* Fills failure, permanent and code of `ran` from the wait status of a command or child and writes
 * the reason: "exit status 3", "killed by SIGSEGV". `permanent_exits`: bit set of 256 bits. Status
 * 0: success. */
void leat_report_status(struct leat_item_outcome *ran, int status,
                        const uint32_t permanent_exits[8], char reason[LEAT_REPORT_REASON_BYTES]);

#endif
