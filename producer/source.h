/* Sources of jobs for leat-producer: lines, JSON lines, files, a ticker. A source never blocks: it
 * says what there is now, and what to wait for when there is nothing.
 *
 * One source, one thread. Jobs and labels are borrowed until the next call on the source. */
#ifndef LEAT_PRODUCER_SOURCE_H
#define LEAT_PRODUCER_SOURCE_H

#include "core/err.h"
#include "core/instant.h"
#include "core/view.h"
#include "leat/producer.h"

struct leat_source;

struct leat_source_job {
    struct leat_producer_job job;
    const char *label; /* where it comes from, for people: "line 7", a path, "tick 3" */
};

/* Each takes a template: what a job has unless the source says otherwise. It is borrowed for the
 * life of the source. `path` "-" is the standard input. LEAT_ERR_IO and `why` names the path. */
LEAT_MUST_USE enum leat_err leat_source_open_lines(const char *path, char delimiter,
                                                   const struct leat_producer_job *template,
                                                   struct leat_source **ret_source,
                                                   struct leat_why *why);
/* One JSON object per line; keys: id, queue, type, payload (text) or payload_base64, timeout,
 * attempts, backoff_base, backoff_factor, backoff_cap, jitter, not_before, delay, expires_at,
 * expires_in, headers. Durations are text with a unit ("30s") or a number of milliseconds, times
 * are Unix milliseconds. */
LEAT_MUST_USE enum leat_err leat_source_open_json(const char *path,
                                                  const struct leat_producer_job *template,
                                                  struct leat_source **ret_source,
                                                  struct leat_why *why);
/* One job per regular file below a directory, in the order of names; symbolic links are not
 * followed. with_content: the payload is the file's content (at most max_bytes), and header "path"
 * its path; else the payload is the path. */
LEAT_MUST_USE enum leat_err leat_source_open_files(const char *directory, bool with_content,
                                                   size_t max_bytes,
                                                   const struct leat_producer_job *template,
                                                   struct leat_source **ret_source,
                                                   struct leat_why *why);
/* `burst` jobs at once every `every_us`, `count` ticks in all (0: without end). The ticks keep to
 * the grid from the first one: a late tick does not move the next. */
LEAT_MUST_USE enum leat_err leat_source_open_ticker(int64_t every_us, uint64_t count,
                                                    uint64_t burst,
                                                    const struct leat_producer_job *template,
                                                    struct leat_source **ret_source,
                                                    struct leat_why *why);

/* LEAT_OK: a job. LEAT_ERR_BUSY: nothing now; wait for leat_source_fd or leat_source_due_us.
 * LEAT_ERR_NOT_FOUND: the end. LEAT_ERR_INVALID: this one cannot be a job, `why` names it; the next
 * may. LEAT_ERR_IO: reading failed; the end. */
LEAT_MUST_USE enum leat_err leat_source_next(struct leat_source *source, struct leat_now now,
                                             struct leat_source_job *ret_job, struct leat_why *why);
/* Readable when more may be there; -1: none. */
int leat_source_fd(const struct leat_source *source);
/* Monotonic time of the next job; LEAT_NEVER_US: not known. */
int64_t leat_source_due_us(const struct leat_source *source);
/* How many jobs there will be in all; 0 when that is not known. */
uint64_t leat_source_total(const struct leat_source *source);

/* Accepts NULL. */
void leat_source_close(struct leat_source **source);

#endif
