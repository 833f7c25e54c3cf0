/* What has a time: jobs that become ready, and jobs that expire.
 *
 * Two clocks. not-before and expires-at were given as wall time and follow the wall clock wherever
 * it jumps. The delay of a retry is a duration: it runs on the steady clock, which starts at the
 * wall time of the start (or where it stood when it was last saved, if that is later) and follows
 * the monotonic clock from there, so that nobody who sets the clock can stall or hasten a retry. */
#include "broker/ventilator/inside.h"

#define STEPS_PER_TURN 512 /* jobs moved or ended by one step */

bool leat_ventilator_is_expired(const struct leat_ventilator *v, int64_t expires_at_ms)
{
    return expires_at_ms != 0 && expires_at_ms <= leat_ventilator_wall_ms(v);
}

void leat_ventilator_watch_expiry(struct leat_ventilator *v, int64_t expires_at_ms)
{
    if (expires_at_ms == 0) {
        return;
    }
    if (expires_at_ms <= v->expiry_at.expires_at_ms) {
        /* Before every row of that time. */
        v->expiry_at = (struct leat_ventilator_expiry){.expires_at_ms = expires_at_ms - 1};
        memset(v->expiry_at.id.bytes, 0xff, LEAT_ID_BYTES);
    }
    if (expires_at_ms < v->expiry_ms) {
        v->expiry_ms = expires_at_ms;
    }
}

static int64_t *watched(struct leat_ventilator *v, enum leat_ventilator_where where)
{
    return where == LEAT_VENTILATOR_SCHEDULED ? &v->due_ms : &v->retry_ms;
}

void leat_ventilator_watch_due(struct leat_ventilator *v, const struct leat_ventilator_place *place)
{
    int64_t *first_ms = watched(v, place->where);
    if (place->due_ms < *first_ms) {
        *first_ms = place->due_ms;
    }
}

static void make_ready(struct leat_ventilator *v, const struct leat_id *id,
                       const struct leat_ventilator_place *from, struct leat_out *out)
{
    struct leat_ventilator_job job;
    struct leat_lane *lane = leat_lane_at(v, from->lane);
    enum leat_err err = leat_ventilator_store_read(v->store, id, from, &job, NULL, NULL);
    if (leat_ventilator_broke(v, err)) {
        return;
    }
    if (lane != NULL) {
        leat_lane_remove_waiting(v, lane, from->where);
    }
    if (err != LEAT_OK || lane == NULL) {
        leat_ventilator_end_damaged(v, id, from, 0, out);
    } else if (leat_ventilator_is_expired(v, job.expires_at_ms)) {
        leat_ventilator_end_expired(v, id, from, &job, out);
    } else {
        struct leat_ventilator_place to = *from;
        to.where = LEAT_VENTILATOR_READY;
        to.due_ms = 0;
        job.ready_us = v->now.wall.us;
        if (!leat_ventilator_broke(v, leat_ventilator_store_move(v->store, id, from, &to, &job))) {
            leat_lane_enter(v, lane, to.seq, id);
        }
    }
}

/* Makes ready what is due at `now_ms`. */
static void tend_due(struct leat_ventilator *v, enum leat_ventilator_where where, int64_t now_ms,
                     struct leat_out *out)
{
    int64_t *first_ms = watched(v, where);
    for (int steps = 0; *first_ms <= now_ms && !v->broken; steps++) {
        struct leat_id id;
        struct leat_ventilator_place place;
        enum leat_err err = leat_ventilator_store_first_due(v->store, where, &id, &place);
        if (leat_ventilator_broke(v, err)) {
            return;
        }
        if (err != LEAT_OK) {
            leat_lanes_mend_waiting(v, where);
        }
        *first_ms = err == LEAT_OK ? place.due_ms : INT64_MAX;
        if (*first_ms > now_ms) {
            return;
        }
        if (steps == STEPS_PER_TURN) {
            v->more = true;
            return;
        }
        make_ready(v, &id, &place, out);
    }
}

/* Ends the job whose expires-at has come, wherever it waits. */
static void expire(struct leat_ventilator *v, const struct leat_ventilator_expiry *row,
                   struct leat_out *out)
{
    const struct leat_id *id = &row->id;
    struct leat_ventilator_place place;
    struct leat_ventilator_job job;
    enum leat_err err = leat_ventilator_store_find(v->store, id, &place);
    if (err != LEAT_OK || place.where == LEAT_VENTILATOR_ENDING ||
        place.where == LEAT_VENTILATOR_SETTLED || leat_lane_at(v, place.lane) == NULL) {
        /* The row of a job whose record was damaged: who ended it did not know of the row. */
        if (!leat_ventilator_broke(v, err)) {
            leat_ventilator_store_del_expiry(v->store, id, row->expires_at_ms);
        }
        return;
    }
    err = leat_ventilator_store_read(v->store, id, &place, &job, NULL, NULL);
    if (leat_ventilator_broke(v, err)) {
        return;
    }
    if (err == LEAT_ERR_NOT_FOUND && place.where == LEAT_VENTILATOR_READY) {
        leat_ventilator_store_del_expiry(v->store, id, row->expires_at_ms); /* it is settled */
        return;
    }
    if (place.where == LEAT_VENTILATOR_READY) {
        leat_lane_leave(v, v->lanes[place.lane], place.seq);
    } else {
        leat_lane_remove_waiting(v, v->lanes[place.lane], place.where);
    }
    if (err == LEAT_OK) {
        leat_ventilator_end_expired(v, id, &place, &job, out);
    } else {
        leat_ventilator_end_damaged(v, id, &place, row->expires_at_ms, out);
    }
}

/* Rows are taken in order. Those of leased jobs are passed over, since a job that runs may finish;
 * it is looked at again when its lease ends (lease.c). After a restart nothing is done until
 * workers have had the time to announce what they run. */
static void tend_expiry(struct leat_ventilator *v, struct leat_out *out)
{
    int64_t now_ms = leat_ventilator_wall_ms(v);
    if (v->now.mono_us < v->push_from_us) {
        return;
    }
    for (int steps = 0; v->expiry_ms <= now_ms && !v->broken; steps++) {
        struct leat_ventilator_expiry row = {.expires_at_ms = INT64_MAX};
        enum leat_err err = leat_ventilator_store_next_expiry(v->store, &v->expiry_at, &row);
        if (leat_ventilator_broke(v, err)) {
            return;
        }
        v->expiry_ms = row.expires_at_ms;
        if (v->expiry_ms > now_ms) {
            return;
        }
        if (steps == STEPS_PER_TURN) {
            v->more = true;
            return;
        }
        v->expiry_at = row;
        if (leat_lease_find(v, &row.id) == NULL) {
            expire(v, &row, out);
        }
    }
}

void leat_ventilator_tend_due(struct leat_ventilator *v, struct leat_out *out)
{
    tend_expiry(v, out);
    tend_due(v, LEAT_VENTILATOR_SCHEDULED, leat_ventilator_wall_ms(v), out);
    tend_due(v, LEAT_VENTILATOR_RETRYING, leat_ventilator_steady_ms(v), out);
}

/* When a clock that stands at now_ms reaches at_ms, as monotonic time. */
static int64_t reached_us(const struct leat_ventilator *v, int64_t at_ms, int64_t now_ms)
{
    if (at_ms == INT64_MAX) {
        return LEAT_NEVER_US;
    }
    if (at_ms <= now_ms) {
        return v->now.mono_us;
    }
    /* Both are non-negative times in practice, but a clock may be set to anything. */
    uint64_t wait_ms = (uint64_t)at_ms - (uint64_t)now_ms;
    uint64_t most = (uint64_t)(LEAT_NEVER_US / LEAT_US_PER_MS);
    return leat_add_us(v->now.mono_us, (int64_t)(wait_ms < most ? wait_ms : most) * LEAT_US_PER_MS);
}

int64_t leat_ventilator_due_deadline_us(const struct leat_ventilator *v)
{
    int64_t wall_ms = leat_ventilator_wall_ms(v);
    int64_t deadline_us = reached_us(v, v->due_ms, wall_ms);
    int64_t expiry_us = reached_us(v, v->expiry_ms, wall_ms);
    if (expiry_us < v->push_from_us) {
        expiry_us = v->push_from_us;
    }
    deadline_us = leat_min_us(deadline_us, expiry_us);
    return leat_min_us(deadline_us, reached_us(v, v->retry_ms, leat_ventilator_steady_ms(v)));
}
