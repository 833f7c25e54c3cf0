/* How long results are kept, by the steady clock: who sets the wall clock removes nothing. Removed
 * in small steps, so that a step stays short; a result whose number the ventilator has not
 * confirmed is never removed, so that a job that it may still run again finds its first result
 * here. Successes go with their numbers, in the order of the log; failures by rows of their own. */
#include "broker/sink/sink_inside.h"

#define RETIRE_PER_STEP 256
#define RETIRE_PAUSE_US (5 * LEAT_US_PER_MS)
/* Repeats are kept as long as the successes between which they stand; more of them than this push
 * those out early, for they must have a bound, too. */
#define REPEATS_MAX ((uint64_t)1 << 20)

static int64_t due_us(struct leat_wall stored, int64_t keep_ms)
{
    int64_t keep_us =
        keep_ms > LEAT_NEVER_US / LEAT_US_PER_MS ? LEAT_NEVER_US : keep_ms * LEAT_US_PER_MS;
    return leat_add_us(stored.us, keep_us);
}

/* Monotonic time of a steady one. */
static int64_t when_us(const struct leat_sink *sink, int64_t due, struct leat_now now)
{
    int64_t steady_us = leat_sink_steady(sink, now).us;
    if (due <= steady_us) {
        return leat_add_us(now.mono_us, RETIRE_PAUSE_US);
    }
    /* Not due, so due > steady; the difference may still not fit when the clock is absurd. */
    uint64_t wait = (uint64_t)due - (uint64_t)steady_us;
    return leat_add_us(now.mono_us, wait > INT64_MAX ? INT64_MAX : (int64_t)wait);
}

/* ---- failures ---- */

void leat_sink_retention_added(struct leat_sink *sink, struct leat_wall stored)
{
    struct leat_sink_oldest *oldest = &sink->oldest_failure;
    if (oldest->known && (!oldest->any || stored.us < oldest->failure.stored.us)) {
        oldest->known = false;
    }
}

/* False when there is none. */
static bool find_oldest_failure(struct leat_sink *sink, struct leat_out *out)
{
    struct leat_sink_oldest *oldest = &sink->oldest_failure;
    if (!oldest->known) {
        enum leat_err err = leat_sink_store_oldest_failure(sink->store, &oldest->failure);
        if (err != LEAT_OK && err != LEAT_ERR_NOT_FOUND) {
            leat_sink_break(sink, out);
            return false;
        }
        oldest->known = true;
        oldest->any = err == LEAT_OK;
    }
    return oldest->any;
}

/* Returns when it wants to be called again, monotonic; unconfirmed results wait for FOLLOW, not for
 * time. */
static int64_t retire_failures(struct leat_sink *sink, struct leat_now now, uint64_t limit,
                               uint64_t *removed, struct leat_out *out)
{
    int64_t steady_us = leat_sink_steady(sink, now).us;
    struct leat_sink_oldest *oldest = &sink->oldest_failure;
    while (find_oldest_failure(sink, out) && oldest->failure.number <= sink->meta.confirmed) {
        int64_t due = due_us(oldest->failure.stored, sink->config.keep_failures_ms);
        if (due > steady_us || limit == 0) {
            return when_us(sink, due, now);
        }
        leat_sink_store_remove_failure(sink->store, &oldest->failure);
        oldest->known = false;
        sink->meta.failures--;
        ++*removed;
        limit--;
    }
    return LEAT_NEVER_US;
}

/* ---- successes, and the log ---- */

/* The block that the log begins with. False when there is none. */
static bool find_first_block(struct leat_sink *sink, struct leat_out *out)
{
    uint64_t number = sink->meta.trimmed + 1;
    if (number > sink->meta.last) {
        return false;
    }
    if (number >= sink->first_block.first && number <= sink->first_block.last) {
        return true;
    }
    enum leat_err err = leat_sink_store_block(sink->store, number, &sink->first_block);
    if (err == LEAT_ERR_CORRUPT || err == LEAT_ERR_NOT_FOUND) {
        err = leat_sink_mend_log(sink, out);
        if (err == LEAT_OK) {
            err = leat_sink_store_block(sink->store, number, &sink->first_block);
        }
    }
    if (err != LEAT_OK) {
        leat_sink_break(sink, out);
    }
    return err == LEAT_OK;
}

/* How many numbers of the first block are to go now, because there is too much of something. */
static uint64_t surplus(const struct leat_sink *sink)
{
    const uint64_t most = (uint64_t)sink->config.keep_results_max;
    if (sink->meta.successes > most) {
        return sink->meta.successes - most;
    }
    return sink->meta.repeats > REPEATS_MAX ? sink->meta.repeats - REPEATS_MAX : 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* As retire_failures. */
static int64_t retire_successes(struct leat_sink *sink, struct leat_now now, uint64_t limit,
                                uint64_t *removed, struct leat_out *out)
{
    int64_t steady_us = leat_sink_steady(sink, now).us;
    while (find_first_block(sink, out) && sink->meta.trimmed < sink->meta.confirmed) {
        uint64_t first = sink->meta.trimmed + 1;
        int64_t due = due_us(sink->first_block.stored, sink->config.keep_results_ms);
        uint64_t most = due <= steady_us ? limit : smaller(limit, surplus(sink));
        if (most == 0) {
            return surplus(sink) > 0 ? when_us(sink, steady_us, now) : when_us(sink, due, now);
        }
        uint64_t end = smaller(sink->first_block.last, sink->meta.confirmed);
        uint64_t last = smaller(end, first + most - 1);
        struct leat_sink_retired retired;
        if (leat_sink_store_retire(sink->store, first, last, &retired) != LEAT_OK) {
            leat_sink_break(sink, out);
            return LEAT_NEVER_US;
        }
        sink->meta.trimmed = last;
        sink->meta.successes -= retired.successes;
        sink->meta.repeats -= retired.repeats;
        sink->meta_changed = true;
        *removed += retired.successes;
        limit -= last - first + 1;
    }
    return LEAT_NEVER_US;
}

void leat_sink_retire(struct leat_sink *sink, struct leat_now now, struct leat_out *out)
{
    /* Twice what came in, so that a backlog shrinks also while results arrive fast. */
    uint64_t limit = RETIRE_PER_STEP + 2 * sink->recorded_now;
    uint64_t removed = 0;
    int64_t successes_at_us = retire_successes(sink, now, limit, &removed, out);
    int64_t failures_at_us = retire_failures(sink, now, limit, &removed, out);
    if (removed > 0) {
        sink->meta_changed = true;
        sink->removed_total += removed;
        leat_out_note(out, LEAT_NOTE_RETENTION, NULL, leat_str_of(""), (int64_t)removed);
    }
    sink->retire_at_us = leat_min_us(successes_at_us, failures_at_us);
}
