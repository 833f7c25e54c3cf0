/* Who gets which job. Queues with ready jobs take turns, one job each; its oldest job goes to the
 * session that has waited longest in its line, but for types of which the session may take no more.
 * Who was given a job goes to the end of every line. What one session was given in this turn leaves
 * in one JOBS message, so work is shared out evenly, and batches form by themselves when there is
 * much of it. */
#include <stdlib.h>

#include "broker/ventilator/inside.h"
#include "core/job.h"

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

/* The first in line that may take a job of the queue, and the lane of that job; NULL: nobody. Who
 * may not goes to the end, before whoever takes: see line.c. */
static struct leat_session *next_in_line(struct leat_ventilator *v, struct leat_queue *queue,
                                         struct leat_lane **ret_lane)
{
    struct leat_list_node *node;
    for (size_t left = queue->line.count;
         left > 0 && queue->ready > 0 && (node = leat_list_first(&queue->line)) != NULL; left--) {
        struct leat_session *session =
            LEAT_CONTAINER_OF(node, struct leat_session_queue, line_link)->session;
        v->counts.looks_total++;
        if (!leat_session_is_hungry(session)) {
            leat_session_leave_lines(session);
            continue;
        }
        struct leat_lane *lane = oldest_lane(v, session, queue);
        if (lane != NULL) {
            leat_session_go_last(session);
            *ret_lane = lane;
            return session;
        }
        leat_list_move_to_back(&queue->line, node);
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
        leat_list_push_back(&turn->v->served, &session->turn_link);
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
    return count >= v->config.batch_items_max || bytes >= leat_batch_bytes(count);
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

static struct leat_queue *next_with_work(struct leat_ventilator *v)
{
    struct leat_list_node *node = leat_list_first(&v->work);
    leat_list_move_to_back(&v->work, node);
    return LEAT_CONTAINER_OF(node, struct leat_queue, work_link);
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
    /* In one turn sessions only get less hungry and limits only fuller: a queue of which nobody may
     * take a job now has had its look. */
    size_t stuck = 0;
    while (stuck < v->work.count && !turn.full && v->counts.leased < LEAT_LEASES_MAX) {
        struct leat_queue *queue = next_with_work(v);
        if (queue->stuck_turn == v->turn) {
            continue;
        }
        struct leat_lane *lane = NULL;
        struct leat_session *session = queue->paused ? NULL : next_in_line(v, queue, &lane);
        if (session != NULL) {
            take(&turn, session, lane);
        } else if (queue->ready > 0) { /* or it was miscounted, and takes no turns any more */
            queue->stuck_turn = v->turn;
            stuck++;
        }
    }
    struct leat_list_node *node;
    while ((node = leat_list_pop_front(&v->served)) != NULL) {
        send_picks(&turn, LEAT_CONTAINER_OF(node, struct leat_session, turn_link));
    }
    v->more = v->more || (turn.full && v->push_again_us == LEAT_NEVER_US);
}
