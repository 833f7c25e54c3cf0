/* The ready jobs of a lane that are known in memory: the ones that come next, in the order of seq.
 *
 * A plain sorted array with room at both ends: jobs leave at the front and enter at the back,
 * nearly always; what enters in between (a redelivery, a retry) moves the shorter side. Caller's
 * storage.
 *
 * A row in the window is what the store has under that job's key: while a job is ready and not
 * leased nobody changes its row. */
#ifndef LEAT_VENTILATOR_WINDOW_H
#define LEAT_VENTILATOR_WINDOW_H

#include "broker/ventilator/store.h"
#include "core/id.h"
#include "store/slab.h"

/* What a job's row in the store says, so that it need not be read again when the job is pushed.
 * All rows lie in one slab, in pieces of three sizes, so that a shift of what bodies are like
 * cannot leave much of it unused: it grows to three times the most that rows ever took. */
struct leat_window_row {
    struct leat_ventilator_job job;
    uint8_t body[]; /* job.body_bytes */
};

struct leat_window_job {
    uint64_t seq;
    struct leat_id id;
    struct leat_window_row *row; /* NULL: to be read from the store */
};

/* Jobs jobs[first] to jobs[first + count - 1], seq strictly increasing. All zero is a valid start.
 */
struct leat_window {
    struct leat_window_job *jobs; /* owned */
    size_t first, count, capacity;
};

/* A body of at most LEAT_VENTILATOR_INLINE_BYTES. */
struct leat_window_row *leat_window_row_take(struct leat_slab *rows,
                                             const struct leat_ventilator_job *job,
                                             struct leat_bytes body);
/* Accepts NULL. With the last one the slab is emptied. */
void leat_window_row_give(struct leat_slab *rows, struct leat_window_row *row);

/* Rows stay where they are, in their slab. */
void leat_window_fini(struct leat_window *window);
/* The row is the window's now. False: a job with this seq is there, nothing has changed. Out of
 * memory ends the process. */
bool leat_window_insert(struct leat_window *window, const struct leat_window_job *job);
/* The row is the caller's now. False: it is not in the window. */
bool leat_window_remove(struct leat_window *window, uint64_t seq, struct leat_window_job *ret_job);

static inline const struct leat_window_job *leat_window_first(const struct leat_window *window)
{
    return window->count == 0 ? NULL : &window->jobs[window->first];
}

static inline const struct leat_window_job *leat_window_last(const struct leat_window *window)
{
    return window->count == 0 ? NULL : &window->jobs[window->first + window->count - 1];
}

#endif
