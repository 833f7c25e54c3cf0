#include "broker/ventilator/window.h"

#include <stdlib.h>

#include "core/check.h"

#define CAPACITY_FIRST 16
#define CAPACITY_KEPT  256 /* an empty window keeps no more memory than this */

void leat_window_fini(struct leat_window *window)
{
    for (size_t i = 0; i < window->count; i++) {
        free(window->jobs[window->first + i].row);
    }
    free(window->jobs);
    *window = (struct leat_window){0};
}

/* The place of the first job with a seq not below. */
static size_t find(const struct leat_window *window, uint64_t seq)
{
    size_t low = 0;
    size_t high = window->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (window->jobs[window->first + middle].seq < seq) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void grow(struct leat_window *window)
{
    size_t capacity = window->capacity == 0 ? CAPACITY_FIRST : 2 * window->capacity;
    struct leat_window_job *jobs = realloc(window->jobs, capacity * sizeof *jobs);
    if (jobs == NULL) {
        abort();
    }
    window->jobs = jobs;
    window->capacity = capacity;
}

/* Room for one more at the end. Moves everything to the beginning only when at least half of the
 * array is free there, so that each job is moved a bounded number of times. */
static void make_room(struct leat_window *window)
{
    if (window->first + window->count < window->capacity) {
        return;
    }
    if (window->capacity > 0 && window->first >= window->capacity / 2) {
        memmove(window->jobs, window->jobs + window->first, window->count * sizeof *window->jobs);
        window->first = 0;
        return;
    }
    grow(window);
}

bool leat_window_insert(struct leat_window *window, const struct leat_window_job *entering)
{
    const uint64_t seq = entering->seq;
    size_t place = window->count;
    if (place > 0 && leat_window_last(window)->seq >= seq) {
        place = find(window, seq);
        if (leat_window_first(window)[place].seq == seq) {
            return false;
        }
    }
    if (window->first > 0 && place < window->count - place) {
        struct leat_window_job *from = window->jobs + window->first;
        memmove(from - 1, from, place * sizeof *from);
        window->first--;
    } else {
        make_room(window);
        struct leat_window_job *from = window->jobs + window->first + place;
        memmove(from + 1, from, (window->count - place) * sizeof *from);
    }
    window->count++;
    struct leat_window_job *job = &window->jobs[window->first + place];
    *job = *entering;
    LEAT_ASSERT(place + 1 == window->count || job[1].seq > seq);
    LEAT_ASSERT(place == 0 || job[-1].seq < seq);
    return true;
}

const struct leat_window_job *leat_window_find(const struct leat_window *window, uint64_t seq)
{
    const struct leat_window_job *first = leat_window_first(window);
    if (first != NULL && first->seq == seq) {
        return first; /* nearly always */
    }
    size_t place = find(window, seq);
    bool is_there = place < window->count && first[place].seq == seq;
    return is_there ? first + place : NULL;
}

bool leat_window_remove(struct leat_window *window, uint64_t seq)
{
    const struct leat_window_job *job = leat_window_find(window, seq);
    if (job == NULL) {
        return false;
    }
    struct leat_window_job *from = window->jobs + window->first;
    size_t place = (size_t)(job - from);
    free(job->row);
    if (place < window->count - place) {
        memmove(from + 1, from, place * sizeof *from);
        window->first++;
    } else {
        memmove(from + place, from + place + 1, (window->count - place - 1) * sizeof *from);
    }
    window->count--;
    if (window->count == 0) {
        window->first = 0;
        if (window->capacity > CAPACITY_KEPT) {
            leat_window_fini(window);
        }
    }
    return true;
}
