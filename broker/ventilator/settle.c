/* The sink's stream of settled ids: each number is taken once, in order; the job goes and the
 * number is stored in the same batch. FOLLOW asks for more and says how far everything is on disk,
 * which is true because FOLLOW, like every message, leaves only when what was written before it is
 * durable. */
#include "broker/ventilator/inside.h"
#include "core/check.h"

#define FOLLOW_US (1 * LEAT_US_PER_S)
/* Ids between a look at memory and its use: the place in the map first, then the lease. */
#define AHEAD       8
#define AHEAD_LEASE 4
/* What another sink has to say of jobs that are with workers should have come by then. */
#define RENEW_US (5 * LEAT_US_PER_S)

static void forget_bytes(struct leat_ventilator *v, uint64_t bytes)
{
    /* A record that became damaged may say another size than it had. */
    v->counts.bytes -= bytes < v->counts.bytes ? bytes : v->counts.bytes;
}

static void settle_leased(struct leat_ventilator *v, const struct leat_held_lease *lease)
{
    struct leat_ventilator_place place = {
        .where = LEAT_VENTILATOR_READY,
        .lane = lease->lane->number,
        .seq = lease->seq,
    };
    leat_ventilator_store_settle(v->store, &lease->id, &place, lease->expires_at_ms,
                                 lease->body_bytes);
    forget_bytes(v, lease->body_bytes);
}

static void leave_lane(struct leat_ventilator *v, const struct leat_ventilator_place *place)
{
    struct leat_lane *lane = v->lanes[place->lane];
    if (place->where == LEAT_VENTILATOR_READY) {
        leat_lane_leave(v, lane, place->seq);
    } else {
        leat_lane_remove_waiting(v, lane, place->where);
    }
}

/* False: there is nothing to settle. */
static bool settle_unleased(struct leat_ventilator *v, const struct leat_id *id)
{
    struct leat_ventilator_place place;
    struct leat_ventilator_job job = {0};
    enum leat_err err = leat_ventilator_store_find(v->store, id, &place);
    if (err != LEAT_OK || place.where == LEAT_VENTILATOR_SETTLED) {
        (void)leat_ventilator_broke(v, err);
        return false;
    }
    if (place.where == LEAT_VENTILATOR_ENDING) {
        err = leat_ventilator_store_ending_bytes(v->store, id, &job.body_bytes);
        v->counts.ending -= v->counts.ending > 0 ? 1 : 0;
    } else {
        if (leat_lane_at(v, place.lane) == NULL) {
            return false;
        }
        err = leat_ventilator_store_read(v->store, id, &place, &job, NULL, NULL);
        if (err == LEAT_ERR_NOT_FOUND && place.where == LEAT_VENTILATOR_READY) {
            return false; /* it is settled already */
        }
        leave_lane(v, &place);
    }
    if (leat_ventilator_broke(v, err)) {
        return false;
    }
    leat_ventilator_store_settle(v->store, id, &place, job.expires_at_ms, job.body_bytes);
    forget_bytes(v, job.body_bytes);
    return true;
}

static bool settle(struct leat_ventilator *v, const struct leat_id *id)
{
    struct leat_held_lease lease;
    if (leat_lease_take(v, id, &lease)) {
        settle_leased(v, &lease);
    } else if (!settle_unleased(v, id)) {
        return false;
    }
    if (leat_ventilator_jobs(v) == 0) {
        v->counts.bytes = 0;
    }
    v->counts.settled_total++;
    return true;
}

static void remember(struct leat_ventilator *v, const struct leat_item_job_id *ids, size_t count)
{
    leat_ventilator_store_remember(v->store, v->remembered_next, leat_ventilator_steady_ms(v), ids,
                                   count);
    v->counts.remembered += count;
    v->remembered_next++;
    if (v->forget_at_ms == INT64_MAX) {
        leat_ventilator_look_at_oldest(v);
    }
}

static void send_follow(struct leat_ventilator *v, struct leat_out *out)
{
    struct leat_msg *msg =
        leat_out_send_patiently(out, LEAT_LINK_SINK, (struct leat_peer){0}, LEAT_MSG_FOLLOW);
    msg->follow.stream = v->meta.stream;
    msg->follow.settled = v->meta.settled;
    v->follow_at_us = v->now.mono_us + FOLLOW_US;
}

void leat_ventilator_save_meta(struct leat_ventilator *v)
{
    v->meta.steady_ms = leat_ventilator_steady_ms(v);
    v->meta.bytes = v->counts.bytes;
    v->meta.next_seq = v->next_seq;
    v->counts.settled = v->meta.settled;
    leat_ventilator_store_save(v->store, &v->meta);
}

/* The sink is another one, or a restored one. Its first number comes next, and what was reported to
 * its predecessor may be unknown to it. So may be results that its predecessor had confirmed to
 * workers: nobody would ever settle those jobs. A new round of every session tells which they are,
 * for their workers hold them no longer. */
static void start_stream(struct leat_ventilator *v, const struct leat_id *stream,
                         struct leat_out *out)
{
    if (!leat_id_is_zero(&v->meta.stream)) {
        v->renew_at_us = leat_add_us(v->now.mono_us, RENEW_US);
    }
    v->meta.stream = *stream;
    v->meta.settled = 0;
    leat_ventilator_save_meta(v);
    leat_out_note(out, LEAT_NOTE_STREAM_STARTED, stream, leat_str_of(""), 0);
    leat_ventilator_report_again(v);
}

/* Takes the ids that come after what was taken before. */
static void take_ids(struct leat_ventilator *v, const struct leat_item_job_id *ids, size_t count)
{
    struct leat_item_job_id settled[256];
    size_t settled_count = 0;
    for (size_t i = 0; i < count && !v->broken; i++) {
        if (i + AHEAD < count) {
            leat_map_prefetch(&v->lease_of, &ids[i + AHEAD].id);
        }
        if (i + AHEAD_LEASE < count) {
            leat_lease_prefetch(v, &ids[i + AHEAD_LEASE].id);
        }
        if (settle(v, &ids[i].id)) {
            settled[settled_count++] = ids[i];
        }
        if (settled_count == sizeof settled / sizeof settled[0]) {
            remember(v, settled, settled_count);
            settled_count = 0;
        }
    }
    if (settled_count > 0) {
        remember(v, settled, settled_count);
    }
    v->meta.settled += count;
    leat_ventilator_save_meta(v);
}

void leat_ventilator_on_settled(struct leat_ventilator *v, const struct leat_msg_settled *msg,
                                struct leat_out *out)
{
    size_t count = msg->jobs.count;
    v->sink_heard_us = v->now.mono_us;
    if (count > 0 && v->phase == LEAT_VENTILATOR_LAST) {
        v->last_until_us = v->now.mono_us + LEAT_LAST_WORD_US;
        v->sink_idle = false;
    }
    if (leat_id_is_zero(&msg->stream) || msg->first == 0 || msg->first > UINT64_MAX - count) {
        leat_out_note(out, LEAT_NOTE_MESSAGE_REFUSED, NULL, leat_str_of("bad SETTLED"),
                      LEAT_ERR_INVALID);
        v->counts.malformed_total++;
        return;
    }
    bool same_stream = leat_id_equal(&msg->stream, &v->meta.stream);
    if (!same_stream && msg->first != 1) {
        return; /* the FOLLOW that is repeated every second brings it to begin at 1 */
    }
    if (!same_stream) {
        start_stream(v, &msg->stream, out);
    }
    if (msg->first > v->meta.settled + 1) {
        send_follow(v, out); /* something in between was lost */
        return;
    }
    uint64_t seen = v->meta.settled + 1 - msg->first;
    if (seen < count) {
        take_ids(v, msg->jobs.items + seen, count - (size_t)seen);
        send_follow(v, out);
    } else if (count > 0 || !same_stream) {
        send_follow(v, out); /* the sink has not heard how far we are */
    } else {
        v->sink_idle = true;
    }
}

void leat_ventilator_tend_sink(struct leat_ventilator *v, struct leat_out *out)
{
    if (v->now.mono_us >= v->follow_at_us) {
        send_follow(v, out);
    }
}

/* ---- forgetting ---- */

static bool visit_oldest(const struct leat_ventilator_settled *settled, void *context)
{
    *(struct leat_ventilator_settled *)context = *settled;
    return false;
}

void leat_ventilator_look_at_oldest(struct leat_ventilator *v)
{
    struct leat_ventilator_settled oldest = {0};
    enum leat_err err =
        leat_ventilator_store_each_settled(v->store, v->remembered_first, visit_oldest, &oldest);
    v->forget_at_ms = INT64_MAX;
    if (leat_ventilator_broke(v, err) || v->remembered_first == v->remembered_next) {
        return;
    }
    if (oldest.number == 0) {
        v->remembered_first = v->remembered_next; /* the rows are gone */
        return;
    }
    v->remembered_first = oldest.number;
    v->oldest_count = oldest.count;
    v->forget_at_ms =
        oldest.damaged ? leat_ventilator_steady_ms(v) : oldest.at_ms + v->config.dedupe_ms;
}

/* By the steady clock: who sets the wall clock must not make settled jobs acceptable again. What
 * lies too far ahead all the same (META was older than its rows) is not kept for ever. */
static bool may_forget(const struct leat_ventilator *v)
{
    if (v->forget_at_ms == INT64_MAX) {
        return false;
    }
    int64_t now_ms = leat_ventilator_steady_ms(v);
    return v->counts.remembered > v->config.dedupe_max || v->forget_at_ms <= now_ms ||
           v->forget_at_ms > now_ms + 2 * v->config.dedupe_ms;
}

void leat_ventilator_tend_memory(struct leat_ventilator *v)
{
    for (int rows = 0; rows < 8 && may_forget(v) && !v->broken; rows++) {
        enum leat_err err = leat_ventilator_store_forget(v->store, v->remembered_first);
        if (leat_ventilator_broke(v, err)) {
            return;
        }
        uint64_t count = v->oldest_count;
        v->counts.remembered -= count < v->counts.remembered ? count : v->counts.remembered;
        v->remembered_first++;
        leat_ventilator_look_at_oldest(v);
    }
}

int64_t leat_ventilator_memory_deadline_us(const struct leat_ventilator *v)
{
    if (v->forget_at_ms == INT64_MAX) {
        return LEAT_NEVER_US;
    }
    if (may_forget(v)) {
        return v->now.mono_us;
    }
    int64_t wait_ms = v->forget_at_ms - leat_ventilator_steady_ms(v);
    return leat_add_us(v->now.mono_us, wait_ms * LEAT_US_PER_MS);
}
