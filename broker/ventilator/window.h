/* The ready jobs of a lane that are known in memory: the ones that come next, in the order of seq.
 *
 * A plain sorted array with room at both ends: jobs leave at the front and enter at the back,
 * nearly always; what enters in between (a redelivery, a retry) moves the shorter side. Caller's
 * storage. */
#ifndef LEAT_VENTILATOR_WINDOW_H
#define LEAT_VENTILATOR_WINDOW_H

#include "core/id.h"

struct leat_window_job {
    uint64_t seq;
    struct leat_id id;
};

/* Jobs jobs[first] to jobs[first + count - 1], seq strictly increasing. All zero is a valid start.
 */
struct leat_window {
    struct leat_window_job *jobs; /* owned */
    size_t first, count, capacity;
};

void leat_window_fini(struct leat_window *window);
/* `seq` must not be in the window. Out of memory ends the process. */
void leat_window_insert(struct leat_window *window, uint64_t seq, const struct leat_id *id);
/* False: it is not in the window. */
bool leat_window_remove(struct leat_window *window, uint64_t seq);

static inline const struct leat_window_job *leat_window_first(const struct leat_window *window)
{
    return window->count == 0 ? NULL : &window->jobs[window->first];
}

static inline const struct leat_window_job *leat_window_last(const struct leat_window *window)
{
    return window->count == 0 ? NULL : &window->jobs[window->first + window->count - 1];
}

#endif
