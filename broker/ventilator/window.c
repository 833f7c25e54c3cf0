#include "broker/ventilator/window.h"

#include <stdlib.h>

#include "core/check.h"

#define CAPACITY_FIRST 16
#define CAPACITY_KEPT  256 /* an empty window keeps no more memory than this */

/* ---- rows ---- */

#define ROW_BYTES_MAX (sizeof(struct leat_window_row) + LEAT_VENTILATOR_INLINE_BYTES)
_Static_assert(ROW_BYTES_MAX <= LEAT_SLAB_SMALL_BYTES_MAX, "pieces of rows are used again");

/* What a row with such a body takes from the slab. */
static size_t piece_bytes(size_t body_bytes)
{
    size_t bytes = sizeof(struct leat_window_row) + body_bytes;
    return bytes <= 256 ? 256 : bytes <= 512 ? 512 : ROW_BYTES_MAX;
}

struct leat_window_row *leat_window_row_take(struct leat_slab *rows,
                                             const struct leat_ventilator_job *job,
                                             struct leat_bytes body)
{
    LEAT_ASSERT(body.size == job->body_bytes && body.size <= LEAT_VENTILATOR_INLINE_BYTES);
    struct leat_window_row *row = leat_slab_take(rows, piece_bytes(body.size));
    row->job = *job;
    if (body.size > 0) {
        memcpy(row->body, body.data, body.size);
    }
    return row;
}

void leat_window_row_give(struct leat_slab *rows, struct leat_window_row *row)
{
    if (row == NULL) {
        return;
    }
    leat_slab_give(rows, row, piece_bytes((size_t)row->job.body_bytes));
    if (rows->used_bytes == 0) {
        leat_slab_reset(rows); /* what a peak took goes back */
    }
}

/* ---- windows ---- */

void leat_window_fini(struct leat_window *window)
{
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

bool leat_window_remove(struct leat_window *window, uint64_t seq, struct leat_window_job *ret_job)
{
    struct leat_window_job *from = window->jobs + window->first;
    bool is_first = window->count > 0 && from->seq == seq; /* nearly always */
    size_t place = is_first ? 0 : find(window, seq);
    if (place == window->count || from[place].seq != seq) {
        return false;
    }
    *ret_job = from[place];
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
