/* How long results are kept, by the steady clock: who sets the wall clock removes nothing. Removed
 * in small steps, so that a step stays short; a result whose number the ventilator has not
 * confirmed is never removed, so that a job that it may still run again finds its first result
 * here. */
#include "broker/sink/sink_inside.h"

#define RETIRE_PER_STEP 256
#define RETIRE_PAUSE_US (5 * LEAT_US_PER_MS)

void leat_sink_retention_added(struct leat_sink *sink, bool success,
                               const struct leat_sink_oldest *added)
{
    struct leat_sink_head *head = &sink->head[success];
    if (head->known && (!head->any || added->stored.us < head->oldest.stored.us)) {
        head->known = false;
    }
}

/* False when there is none. */
static bool oldest(struct leat_sink *sink, bool success, struct leat_out *out)
{
    struct leat_sink_head *head = &sink->head[success];
    if (!head->known) {
        enum leat_err err = leat_sink_store_oldest(sink->store, success, &head->oldest);
        if (err != LEAT_OK && err != LEAT_ERR_NOT_FOUND) {
            leat_sink_break(sink, out);
            return false;
        }
        head->known = true;
        head->any = err == LEAT_OK;
    }
    return head->any;
}

static bool is_over_count(const struct leat_sink *sink, bool success)
{
    return success && sink->meta.successes > (uint64_t)sink->config.keep_results_max;
}

/* Steady time at which the oldest of the kind is due. */
static int64_t due_us(const struct leat_sink *sink, bool success)
{
    if (is_over_count(sink, success)) {
        return INT64_MIN;
    }
    int64_t keep_ms = success ? sink->config.keep_results_ms : sink->config.keep_failures_ms;
    int64_t keep_us =
        keep_ms > LEAT_NEVER_US / LEAT_US_PER_MS ? LEAT_NEVER_US : keep_ms * LEAT_US_PER_MS;
    return leat_add_us(sink->head[success].oldest.stored.us, keep_us);
}

static uint64_t retire_kind(struct leat_sink *sink, bool success, struct leat_wall steady,
                            uint64_t limit, struct leat_out *out)
{
    uint64_t removed = 0;
    struct leat_sink_head *head = &sink->head[success];
    while (removed < limit && oldest(sink, success, out) && due_us(sink, success) <= steady.us &&
           head->oldest.number <= sink->meta.confirmed) {
        leat_sink_store_remove(sink->store, success, &head->oldest);
        head->known = false;
        if (success) {
            sink->meta.successes--;
        } else {
            sink->meta.failures--;
        }
        removed++;
    }
    return removed;
}

/* Monotonic time at which the kind wants a step; unconfirmed results wait for FOLLOW, not for time.
 */
static int64_t next_us(struct leat_sink *sink, bool success, struct leat_now now,
                       struct leat_out *out)
{
    if (!oldest(sink, success, out) || sink->head[success].oldest.number > sink->meta.confirmed) {
        return LEAT_NEVER_US;
    }
    int64_t due = due_us(sink, success);
    int64_t steady_us = leat_sink_steady(sink, now).us;
    if (due <= steady_us) {
        return leat_add_us(now.mono_us, RETIRE_PAUSE_US);
    }
    /* Not due, so due > steady; the difference may still not fit when the clock is absurd. */
    uint64_t wait = (uint64_t)due - (uint64_t)steady_us;
    return leat_add_us(now.mono_us, wait > INT64_MAX ? INT64_MAX : (int64_t)wait);
}

void leat_sink_retire(struct leat_sink *sink, struct leat_now now, struct leat_out *out)
{
    /* Twice what came in, so that a backlog shrinks also while results arrive fast. */
    uint64_t limit = RETIRE_PER_STEP + 2 * sink->recorded_now;
    struct leat_wall steady = leat_sink_steady(sink, now);
    uint64_t removed = retire_kind(sink, true, steady, limit, out);
    removed += retire_kind(sink, false, steady, limit, out);
    if (removed > 0) {
        sink->meta_changed = true;
        sink->removed_total += removed;
        leat_out_note(out, LEAT_NOTE_RETENTION, NULL, leat_str_of(""), (int64_t)removed);
    }
    sink->retire_at_us = leat_min_us(next_us(sink, true, now, out), next_us(sink, false, now, out));
}
