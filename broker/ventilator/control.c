/* What people ask for: CONTROL and LOOKUP, and how the ventilator ends. */
#include "broker/ventilator/inside.h"
#include "core/name.h"

/* What the sink has still to say after the workers have left may take this long in all. */
#define LAST_WORDS_US (30 * LEAT_US_PER_S)

/* ---- CONTROL ---- */

static void answer_done(const struct leat_event *event, struct leat_out *out, struct leat_str text)
{
    struct leat_msg *msg = leat_out_send(out, LEAT_LINK_PEERS, event->peer, LEAT_MSG_DONE);
    msg->done.ref = event->msg->control.ref;
    msg->done.text = text;
}

static void set_paused(struct leat_ventilator *v, const struct leat_event *event,
                       struct leat_out *out, bool paused)
{
    const struct leat_msg_control *control = &event->msg->control;
    struct leat_why why = {""};
    if (leat_name_check_queue(control->argument, &why) != LEAT_OK) {
        leat_ventilator_refuse(v, event, out, LEAT_ERR_INVALID, why.text, control->ref);
        return;
    }
    /* A queue may be paused before its first job comes; to resume one that is unknown is nothing.
     */
    struct leat_queue *queue =
        paused ? leat_queue_make(v, control->argument) : leat_queue_find(v, control->argument);
    if (paused && queue == NULL) {
        leat_ventilator_refuse(v, event, out, LEAT_ERR_LIMIT, "too many queues", control->ref);
        return;
    }
    if (queue != NULL && queue->paused != paused) {
        queue->paused = paused;
        leat_ventilator_store_put_paused(v->store, control->argument, paused);
        leat_out_note(out, paused ? LEAT_NOTE_QUEUE_PAUSED : LEAT_NOTE_QUEUE_RESUMED, NULL,
                      control->argument, 0);
        leat_queue_drop_empty(v, queue);
    }
    answer_done(event, out,
                leat_arena_format(&out->arena, "%s %.*s", paused ? "paused" : "resumed",
                                  LEAT_STR_ARGS(control->argument)));
}

static void begin_shutdown(struct leat_ventilator *v, struct leat_out *out)
{
    if (v->phase != LEAT_VENTILATOR_RUNNING) {
        return;
    }
    v->phase = LEAT_VENTILATOR_DRAINING;
    leat_out_note(out, LEAT_NOTE_DRAINING, NULL, leat_str_of("shutdown"),
                  (int64_t)v->counts.leased);
    leat_fleet_drain(v, out);
}

void leat_ventilator_on_control(struct leat_ventilator *v, const struct leat_event *event,
                                struct leat_out *out)
{
    struct leat_str verb = event->msg->control.verb;
    if (leat_str_equal(verb, leat_str_of("ping"))) {
        answer_done(event, out, leat_str_of("leat-ventilator " LEAT_VERSION));
    } else if (leat_str_equal(verb, leat_str_of("pause"))) {
        set_paused(v, event, out, true);
    } else if (leat_str_equal(verb, leat_str_of("resume"))) {
        set_paused(v, event, out, false);
    } else if (leat_str_equal(verb, leat_str_of("shutdown"))) {
        answer_done(event, out, leat_str_of("shutting down"));
        begin_shutdown(v, out);
    } else {
        leat_ventilator_refuse(v, event, out, LEAT_ERR_INVALID,
                               "the verbs are ping, pause, resume and shutdown",
                               event->msg->control.ref);
    }
}

/* ---- LOOKUP ---- */

static uint64_t state_of(enum leat_ventilator_where where, bool leased)
{
    switch (where) {
    case LEAT_VENTILATOR_READY:
        return leased ? LEAT_STATE_LEASED : LEAT_STATE_READY;
    case LEAT_VENTILATOR_SCHEDULED:
    case LEAT_VENTILATOR_RETRYING:
        return LEAT_STATE_SCHEDULED;
    case LEAT_VENTILATOR_ENDING:
    case LEAT_VENTILATOR_SETTLED:
        break;
    }
    return LEAT_STATE_NONE;
}

static int64_t due_ms(const struct leat_ventilator *v, const struct leat_ventilator_place *place)
{
    return place->where == LEAT_VENTILATOR_RETRYING
               ? place->due_ms - leat_ventilator_steady_ms(v) + leat_ventilator_wall_ms(v)
               : place->due_ms;
}

static void fill_found(struct leat_ventilator *v, const struct leat_ventilator_place *place,
                       const struct leat_principal *who, struct leat_msg_found *found,
                       struct leat_arena *arena)
{
    const struct leat_held_lease *lease = leat_lease_find(v, &found->id);
    struct leat_ventilator_job job = {0};
    const struct leat_lane *lane = v->lanes[place->lane];
    if (!leat_policy_serves(who, leat_queue_name(lane->queue))) {
        return; /* as if it were not here */
    }
    enum leat_err err = leat_ventilator_store_read(v->store, &found->id, place, &job, NULL, NULL);
    if (leat_ventilator_broke(v, err) || err == LEAT_ERR_NOT_FOUND) {
        return; /* settled, or lost to damage */
    }
    found->state = state_of(place->where, lease != NULL);
    found->attempt = job.attempt;
    found->deliveries = job.lost;
    found->due_ms = due_ms(v, place);
    found->queue = leat_arena_copy_str(arena, leat_queue_name(lane->queue));
    found->type = leat_arena_copy_str(arena, leat_lane_type(lane));
    if (lease != NULL) {
        found->worker = leat_arena_copy_str(
            arena, (struct leat_str){lease->session->name, lease->session->name_size});
    }
}

void leat_ventilator_on_lookup(struct leat_ventilator *v, const struct leat_event *event,
                               struct leat_out *out)
{
    const struct leat_msg_lookup *lookup = &event->msg->lookup;
    struct leat_ventilator_place place;
    struct leat_msg_found found = {.ref = lookup->ref, .id = lookup->id};
    enum leat_err err = leat_ventilator_store_find(v->store, &lookup->id, &place);
    if (leat_ventilator_broke(v, err)) {
        return;
    }
    if (err == LEAT_OK && state_of(place.where, false) != LEAT_STATE_NONE &&
        leat_lane_at(v, place.lane) != NULL) {
        fill_found(v, &place, event->who, &found, &out->arena);
    }
    if (!v->broken) {
        leat_out_send(out, LEAT_LINK_PEERS, event->peer, LEAT_MSG_FOUND)->found = found;
    }
}

/* ---- the end ---- */

static void end(struct leat_ventilator *v, const char *reason, struct leat_out *out)
{
    v->phase = LEAT_VENTILATOR_ENDED;
    leat_out_note(out, LEAT_NOTE_STOPPED, NULL, leat_str_of(reason), 0);
    leat_out_exit(out, 0);
}

void leat_ventilator_stop(struct leat_ventilator *v, struct leat_out *out)
{
    if (v->phase == LEAT_VENTILATOR_ENDED) {
        leat_out_exit(out, 0);
        return;
    }
    leat_fleet_goodbye(v, "the ventilator stops", out);
    end(v, "stop", out);
}

static bool last_words_are_said(const struct leat_ventilator *v)
{
    int64_t now_us = v->now.mono_us;
    return (v->sink_idle && v->counts.ending == 0) || now_us >= v->last_until_us ||
           now_us >= v->last_bound_us;
}

void leat_ventilator_tend_shutdown(struct leat_ventilator *v, struct leat_out *out)
{
    int64_t now_us = v->now.mono_us;
    if (v->phase == LEAT_VENTILATOR_DRAINING && v->counts.sessions == 0 &&
        leat_list_is_empty(&v->losing)) {
        v->phase = LEAT_VENTILATOR_LAST;
        v->last_until_us = now_us + LEAT_LAST_WORD_US;
        v->last_bound_us = now_us + LAST_WORDS_US;
        v->sink_idle = false;
        v->follow_at_us = now_us; /* its answer says whether anything is left */
        v->more = true;
    }
    if (v->phase == LEAT_VENTILATOR_LAST && last_words_are_said(v)) {
        (void)leat_out_send(out, LEAT_LINK_SINK, (struct leat_peer){0}, LEAT_MSG_QUIT);
        end(v, "shutdown", out);
    }
}

int64_t leat_ventilator_shutdown_deadline_us(const struct leat_ventilator *v)
{
    return v->phase == LEAT_VENTILATOR_LAST ? leat_min_us(v->last_until_us, v->last_bound_us)
                                            : LEAT_NEVER_US;
}
