/* Who gets which job. Sessions with credit left take turns, one job each; a session takes turns
 * among the queues it serves; within a queue the oldest job comes first, but for types of which the
 * session may take no more. What one session was given in this turn leaves in one JOBS message, so
 * work is shared out evenly, and batches form by themselves when there is much of it. */
#include <stdlib.h>

#include "broker/ventilator/inside.h"

#define PICKS_PER_TURN LEAT_BATCH_ITEMS_MAX
#define PICKS_FIRST    64 /* room for so many; it grows with what is pushed */
#define BYTES_PER_TURN (4U << 20)
#define AHEAD          8   /* jobs between a look at memory and its use */
#define WASTE_PER_TURN 256 /* jobs that turn out to be expired or damaged */

struct leat_pick {
    struct leat_item_delivery delivery;
    size_t next; /* pick of the same session, counted from 1; 0: none */
};

struct turn {
    struct leat_ventilator *v;
    struct leat_out *out;
    size_t count, bytes, waste;
    bool full; /* no more in this turn */
};

/* ---- choosing ---- */

static struct leat_lane *oldest_lane(struct leat_ventilator *v, const struct leat_session *session,
                                     const struct leat_queue *queue)
{
    struct leat_lane *best = NULL;
    uint64_t best_seq = UINT64_MAX;
    for (size_t i = 0; i < queue->lane_count; i++) {
        struct leat_lane *lane = queue->lanes[i];
        if (lane->ready == 0 || !leat_session_may_take(session, lane)) {
            continue;
        }
        const struct leat_window_job *head = leat_lane_head(v, lane);
        if (head != NULL && head->seq < best_seq) {
            best = lane;
            best_seq = head->seq;
        }
    }
    return best;
}

/* The lane whose first job the session gets; NULL: there is none for it. */
static struct leat_lane *choose(struct leat_ventilator *v, struct leat_session *session)
{
    size_t at = session->queue_turn;
    for (size_t i = 0; i < session->queue_count; i++, at++) {
        at = at < session->queue_count ? at : 0;
        const struct leat_queue *queue = session->queues[at].queue;
        if (queue == NULL || queue->paused || queue->ready == 0) {
            continue;
        }
        struct leat_lane *lane = oldest_lane(v, session, queue);
        if (lane != NULL) {
            session->queue_turn = at + 1;
            return lane;
        }
    }
    return NULL;
}

/* ---- taking ---- */

/* Names live as long as what `out` holds, which may be longer than a lane does. */
static bool name_lane(struct turn *turn, struct leat_lane *lane)
{
    if (lane->named_turn != turn->v->turn) {
        struct leat_arena *arena = &turn->out->arena;
        lane->named_queue = leat_arena_copy_str(arena, leat_queue_name(lane->queue));
        lane->named_type = leat_arena_copy_str(arena, leat_lane_type(lane));
        if (lane->named_queue.data == NULL || lane->named_type.data == NULL) {
            return false;
        }
        lane->named_turn = turn->v->turn;
    }
    return true;
}

static void make_room_for_pick(struct leat_ventilator *v, size_t count)
{
    if (count == v->pick_capacity) {
        v->pick_capacity = count == 0 ? PICKS_FIRST : 2 * count;
        v->picks =
            leat_ventilator_must(realloc(v->picks, v->pick_capacity * sizeof(struct leat_pick)));
    }
}

static void add_pick(struct turn *turn, struct leat_session *session, struct leat_lane *lane,
                     const struct leat_held_lease *lease, const struct leat_ventilator_job *job,
                     struct leat_bytes body)
{
    make_room_for_pick(turn->v, turn->count);
    struct leat_pick *picks = turn->v->picks;
    size_t number = ++turn->count;
    picks[number - 1] = (struct leat_pick){
        .delivery =
            {
                .id = lease->id,
                .delivery = lease->delivery,
                .attempt = job->attempt,
                .queue = lane->named_queue,
                .type = lane->named_type,
                .expires_at_ms = job->expires_at_ms,
                .accepted_us = job->accepted_us,
                .ready_us = job->ready_us,
                .body = body,
            },
    };
    if (session->pick_first == 0) {
        session->pick_first = number;
    } else {
        picks[session->pick_last - 1].next = number;
    }
    session->pick_last = number;
    turn->bytes += body.size;
}

/* What waits in `out` must leave first. */
static void wait_for_room(struct turn *turn)
{
    turn->full = true;
    turn->v->push_again_us = turn->v->now.mono_us + LEAT_US_PER_MS;
}

/* The row of a lane's first job, from memory when it is there. The body is copied into `out`,
 * unless it is large: then it stays the store's until the step ends, as nothing settles behind
 * this. */
static enum leat_err read_first(struct turn *turn, const struct leat_window_job *first,
                                const struct leat_ventilator_place *place,
                                struct leat_ventilator_job *ret_job, struct leat_bytes *ret_body)
{
    struct leat_arena *arena = &turn->out->arena;
    const struct leat_window_row *row = first->row;
    if (row == NULL) {
        return leat_ventilator_store_read(turn->v->store, &first->id, place, ret_job, arena,
                                          ret_body);
    }
    struct leat_bytes body =
        leat_arena_copy(arena, leat_bytes_of(row->body, (size_t)row->job.body_bytes));
    if (body.data == NULL && row->job.body_bytes > 0) {
        return LEAT_ERR_MEMORY;
    }
    *ret_job = row->job;
    *ret_body = body;
    return LEAT_OK;
}

/* Gives the lane's first job to the session, or ends it when it must not run. */
static void take(struct turn *turn, struct leat_session *session, struct leat_lane *lane)
{
    struct leat_ventilator *v = turn->v;
    struct leat_window_job first = *leat_window_first(&lane->window);
    if (lane->window.count > AHEAD) {
        leat_map_prefetch(&v->lease_of, &leat_window_first(&lane->window)[AHEAD].id);
    }
    struct leat_ventilator_place place = {
        .where = LEAT_VENTILATOR_READY, .lane = lane->number, .seq = first.seq};
    struct leat_ventilator_job job = {0};
    struct leat_bytes body = {0};
    enum leat_err err =
        name_lane(turn, lane) ? read_first(turn, &first, &place, &job, &body) : LEAT_ERR_MEMORY;
    if (leat_ventilator_broke(v, err) || err == LEAT_ERR_MEMORY) {
        wait_for_room(turn);
        return;
    }
    leat_lane_leave(v, lane, first.seq);
    if (err != LEAT_OK) {
        turn->waste++;
        leat_ventilator_end_damaged(v, &first.id, &place, 0, turn->out);
    } else if (leat_ventilator_is_expired(v, job.expires_at_ms)) {
        turn->waste++;
        leat_ventilator_end_expired(v, &first.id, &place, &job, turn->out);
    } else {
        const struct leat_held_lease *lease =
            leat_lease_give(v, session, lane, first.seq, &first.id, &job);
        leat_session_count_push(session, lane);
        v->counts.pushed_total++;
        add_pick(turn, session, lane, lease, &job, body);
    }
    turn->full = turn->count == PICKS_PER_TURN || turn->bytes >= BYTES_PER_TURN ||
                 turn->waste == WASTE_PER_TURN || v->broken;
}

/* ---- sending ---- */

static bool is_closed(const struct leat_ventilator *v, size_t count, size_t bytes)
{
    const struct leat_ventilator_config *config = &v->config;
    return count >= config->batch_items_max ||
           bytes >= (count < LEAT_BATCH_FEW_ITEMS ? config->batch_few_bytes
                                                  : config->batch_bytes_target);
}

static size_t batch_length(const struct leat_ventilator *v, size_t number)
{
    size_t count = 0;
    size_t bytes = 0;
    while (number != 0 && !is_closed(v, count, bytes)) {
        const struct leat_pick *pick = &v->picks[number - 1];
        bytes += pick->delivery.body.size;
        count++;
        number = pick->next;
    }
    return count;
}

/* No room for the message: as if the jobs had never been picked. */
static void take_back(struct turn *turn, struct leat_session *session, size_t number)
{
    struct leat_ventilator *v = turn->v;
    for (; number != 0; number = v->picks[number - 1].next) {
        struct leat_held_lease *lease = leat_lease_find(v, &v->picks[number - 1].delivery.id);
        leat_session_uncount_push(session, lease->lane);
        leat_lease_return(v, lease, turn->out);
    }
    wait_for_room(turn);
}

static void send_picks(struct turn *turn, struct leat_session *session)
{
    struct leat_ventilator *v = turn->v;
    size_t number = session->pick_first;
    session->pick_first = 0;
    session->pick_last = 0;
    while (number != 0) {
        size_t count = batch_length(v, number);
        struct leat_item_delivery *items =
            leat_arena_take_unset(&turn->out->arena, count * sizeof *items);
        if (items == NULL) {
            take_back(turn, session, number);
            return;
        }
        for (size_t i = 0; i < count; i++) {
            items[i] = v->picks[number - 1].delivery;
            number = v->picks[number - 1].next;
        }
        struct leat_msg *msg = leat_session_send(session, turn->out, LEAT_MSG_JOBS);
        msg->jobs.jobs.items = items;
        msg->jobs.jobs.count = count;
    }
}

static struct leat_session *next_in_ring(struct leat_ventilator *v)
{
    struct leat_list_node *node = leat_list_pop_front(&v->ring);
    leat_list_push_back(&v->ring, node);
    return LEAT_CONTAINER_OF(node, struct leat_session, ring_link);
}

static bool may_push(const struct leat_ventilator *v)
{
    return v->phase == LEAT_VENTILATOR_RUNNING && v->now.mono_us >= v->push_from_us &&
           v->counts.ready > 0 && v->counts.leased < LEAT_LEASES_MAX && !v->broken;
}

void leat_ventilator_dispatch(struct leat_ventilator *v, struct leat_out *out)
{
    struct turn turn = {.v = v, .out = out};
    /* Also when nothing may be pushed now: a time that has passed would be a deadline for ever. */
    v->push_again_us = LEAT_NEVER_US;
    if (!may_push(v)) {
        return;
    }
    v->turn++;
    size_t idle = 0;
    while (idle < v->ring.count && !turn.full && v->counts.leased < LEAT_LEASES_MAX) {
        struct leat_session *session = next_in_ring(v);
        struct leat_lane *lane = leat_session_is_hungry(session) ? choose(v, session) : NULL;
        if (lane == NULL) {
            idle++;
        } else {
            idle = 0;
            take(&turn, session, lane);
        }
    }
    struct leat_list_node *node, *after;
    LEAT_LIST_FOR_EACH(&v->ring, node, after)
    {
        send_picks(&turn, LEAT_CONTAINER_OF(node, struct leat_session, ring_link));
    }
    v->more = v->more || (turn.full && v->push_again_us == LEAT_NEVER_US);
}
