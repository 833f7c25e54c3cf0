/* Leases: which session has which job, and how that ends. They live in memory only; after a restart
 * the workers announce them (leat_lease_adopt).
 *
 * A lease's delivery number is that of the job's record plus one. It is written into the record
 * when the lease ends by a lost worker or a retry, so that no later lease has it again. When a job
 * is handed back, its number is used again: the worker that gave it back has said so, in order. */
#include "broker/ventilator/inside.h"
#include "core/check.h"

static struct leat_ventilator_place place_of(const struct leat_held_lease *lease)
{
    return (struct leat_ventilator_place){
        .where = LEAT_VENTILATOR_READY,
        .lane = lease->lane->number,
        .seq = lease->seq,
    };
}

struct leat_held_lease *leat_lease_find(const struct leat_ventilator *v, const struct leat_id *id)
{
    return leat_map_get_pointer(&v->lease_of, id);
}

struct leat_held_lease *leat_lease_give(struct leat_ventilator *v, struct leat_session *session,
                                        struct leat_lane *lane, uint64_t seq,
                                        const struct leat_id *id,
                                        const struct leat_ventilator_job *job)
{
    struct leat_held_lease *lease = leat_slab_take(&v->leases, sizeof *lease);
    *lease = (struct leat_held_lease){
        .id = *id,
        .delivery = job->delivery + 1,
        .session = session,
        .lane = lane,
        .seq = seq,
        .expires_at_ms = job->expires_at_ms,
        .body_bytes = job->body_bytes,
        .round = session->round,
    };
    leat_ventilator_must_ok(leat_map_put_pointer(&v->lease_of, id, lease));
    leat_list_push_back(&session->leases, &lease->link);
    lane->leased++;
    lane->leased_end = seq >= lane->leased_end ? seq + 1 : lane->leased_end;
    v->counts.leased++;
    leat_lane_touch(v, lane);
    return lease;
}

bool leat_lease_take(struct leat_ventilator *v, const struct leat_id *id,
                     struct leat_held_lease *ret_lease)
{
    struct leat_held_lease *lease = leat_map_erase_pointer(&v->lease_of, id);
    if (lease == NULL) {
        return false;
    }
    leat_list_remove(&lease->session->leases, &lease->link);
    leat_session_line_up(lease->session); /* it may have held as many as it may */
    lease->lane->leased--;
    v->counts.leased--;
    leat_lane_touch(v, lease->lane);
    *ret_lease = *lease;
    leat_slab_give(&v->leases, lease, sizeof *lease);
    if (v->counts.leased == 0) {
        leat_slab_reset(&v->leases); /* what a peak took goes back */
    }
    return true;
}

/* The lease as the rest of a call needs it, after it is gone. */
static struct leat_held_lease end_lease(struct leat_ventilator *v,
                                        const struct leat_held_lease *lease)
{
    struct leat_held_lease copy;
    struct leat_id id = lease->id;
    bool is_taken = leat_lease_take(v, &id, &copy);
    LEAT_ASSERT(is_taken);
    return copy;
}

/* Reads the job of a lease that has ended. False: there is nothing more to do with it. */
static bool read_job(struct leat_ventilator *v, const struct leat_held_lease *lease,
                     struct leat_ventilator_job *ret_job, struct leat_out *out)
{
    struct leat_ventilator_place place = place_of(lease);
    enum leat_err err =
        leat_ventilator_store_read(v->store, &lease->id, &place, ret_job, NULL, NULL);
    if (leat_ventilator_broke(v, err)) {
        return false;
    }
    if (err != LEAT_OK) {
        leat_ventilator_end_damaged(v, &lease->id, &place, lease->expires_at_ms, out);
        return false;
    }
    return true;
}

static bool move_job(struct leat_ventilator *v, const struct leat_held_lease *lease,
                     const struct leat_ventilator_place *to, const struct leat_ventilator_job *job)
{
    struct leat_ventilator_place from = place_of(lease);
    enum leat_err err = leat_ventilator_store_move(v->store, &lease->id, &from, to, job);
    return !leat_ventilator_broke(v, err);
}

static void be_ready(struct leat_ventilator *v, const struct leat_held_lease *lease)
{
    leat_ventilator_watch_expiry(v, lease->expires_at_ms);
    leat_lane_enter(v, lease->lane, lease->seq, &lease->id);
}

/* Ready for what is a new delivery, with a changed record. */
static bool be_ready_anew(struct leat_ventilator *v, const struct leat_held_lease *lease,
                          struct leat_ventilator_job *job)
{
    struct leat_ventilator_place place = place_of(lease);
    job->ready_us = v->now.wall.us;
    bool moved = move_job(v, lease, &place, job);
    if (moved) {
        be_ready(v, lease);
    }
    return moved;
}

void leat_lease_return(struct leat_ventilator *v, struct leat_held_lease *ending,
                       struct leat_out *out)
{
    struct leat_held_lease lease = end_lease(v, ending);
    v->counts.returned_total++;
    if (!leat_ventilator_is_expired(v, lease.expires_at_ms)) {
        be_ready(v, &lease);
        return;
    }
    struct leat_ventilator_job job;
    struct leat_ventilator_place place = place_of(&lease);
    if (read_job(v, &lease, &job, out)) {
        leat_ventilator_end_expired(v, &lease.id, &place, &job, out);
    }
}

void leat_lease_lose(struct leat_ventilator *v, struct leat_held_lease *ending,
                     struct leat_out *out)
{
    struct leat_held_lease lease = end_lease(v, ending);
    struct leat_ventilator_place place = place_of(&lease);
    struct leat_ventilator_job job;
    v->counts.redelivered_total++;
    if (!read_job(v, &lease, &job, out)) {
        return;
    }
    /* Whoever took a key away did not say that the job kills its workers. */
    job.lost += lease.session->revoked ? 0 : 1;
    job.delivery = lease.delivery;
    if (job.lost >= v->config.deliveries_max) {
        leat_ventilator_end_lost(v, &lease.id, &place, &job, out);
    } else if (leat_ventilator_is_expired(v, job.expires_at_ms)) {
        leat_ventilator_end_expired(v, &lease.id, &place, &job, out);
    } else if (be_ready_anew(v, &lease, &job)) {
        leat_out_note(out, LEAT_NOTE_JOB_REDELIVERED, &lease.id, leat_queue_name(lease.lane->queue),
                      (int64_t)job.lost);
    }
}

static void retry_later(struct leat_ventilator *v, const struct leat_held_lease *lease,
                        const struct leat_ventilator_job *job, uint64_t delay_ms)
{
    struct leat_ventilator_place to = place_of(lease);
    to.where = LEAT_VENTILATOR_RETRYING;
    to.due_ms = leat_ventilator_steady_ms(v) + (int64_t)delay_ms;
    if (!move_job(v, lease, &to, job)) {
        return;
    }
    leat_lane_add_waiting(v, lease->lane, to.where);
    leat_ventilator_watch_expiry(v, lease->expires_at_ms);
    leat_ventilator_watch_due(v, &to);
}

void leat_lease_retry(struct leat_ventilator *v, struct leat_held_lease *ending,
                      const struct leat_item_repeat *repeat, struct leat_out *out)
{
    struct leat_held_lease lease = end_lease(v, ending);
    struct leat_ventilator_place place = place_of(&lease);
    struct leat_ventilator_job job;
    if (!read_job(v, &lease, &job, out)) {
        return;
    }
    v->counts.retried_total++;
    /* Once only: a record restored from an older copy may meet a lease of before, with the number
     * of one of now. */
    job.attempt += repeat->attempt == job.attempt ? 1 : 0;
    job.delivery = lease.delivery;
    if (leat_ventilator_is_expired(v, job.expires_at_ms)) {
        leat_ventilator_end_expired(v, &lease.id, &place, &job, out);
    } else if (repeat->delay_ms == 0) {
        (void)be_ready_anew(v, &lease, &job);
    } else {
        uint64_t most = (uint64_t)LEAT_BACKOFF_MS_MAX;
        retry_later(v, &lease, &job, repeat->delay_ms < most ? repeat->delay_ms : most);
    }
}

bool leat_lease_adopt(struct leat_ventilator *v, struct leat_session *session,
                      const struct leat_item_lease *announced)
{
    struct leat_ventilator_place place;
    struct leat_ventilator_job job;
    if (v->counts.leased >= LEAT_LEASES_MAX || session->leases.count >= LEAT_SESSION_LEASES_MAX) {
        return false;
    }
    enum leat_err err = leat_ventilator_store_find(v->store, &announced->id, &place);
    if (err != LEAT_OK || place.where != LEAT_VENTILATOR_READY) {
        (void)leat_ventilator_broke(v, err);
        return false;
    }
    err = leat_ventilator_store_read(v->store, &announced->id, &place, &job, NULL, NULL);
    if (err != LEAT_OK || announced->delivery != job.delivery + 1 ||
        leat_lane_at(v, place.lane) == NULL) {
        (void)leat_ventilator_broke(v, err);
        return false;
    }
    struct leat_lane *lane = v->lanes[place.lane];
    leat_lane_leave(v, lane, place.seq);
    (void)leat_lease_give(v, session, lane, place.seq, &announced->id, &job);
    return true;
}
