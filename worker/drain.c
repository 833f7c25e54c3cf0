/* Ending in order: take no more, hand back what has not started, finish what runs as long as that
 * is allowed, bring the results to the sink, say goodbye. Each wait has a bound. */
#include "worker/inside.h"

static void kill_everything(struct leat_worker *w, struct leat_out *out)
{
    w->ending.kill_all = true;
    if (w->started.count > 0) {
        (void)leat_out_send(out, LEAT_LINK_SPAWNER, (struct leat_peer){0}, LEAT_MSG_KILL);
    }
}

void leat_worker_drain(struct leat_worker *w, const char *reason, int64_t now_us,
                       struct leat_out *out)
{
    struct leat_worker_ending *e = &w->ending;
    if (e->draining) {
        return;
    }
    int64_t last_words_us = w->grace_us + LEAT_FAREWELL_MS * LEAT_US_PER_MS;
    e->draining = true;
    e->kill_us = leat_add_us(now_us, w->drain_us);
    e->exit_us = leat_add_us(e->kill_us, w->drain_us > last_words_us ? w->drain_us : last_words_us);
    leat_out_note(out, LEAT_NOTE_DRAINING, NULL, leat_str_of(reason),
                  (int64_t)(w->started.count + leat_worker_unstored(w)));
    for (size_t i = 0; i < w->lane_count; i++) {
        struct leat_worker_job *job;
        while ((job = leat_worker_job_of(leat_list_first(&w->lanes[i].queue))) != NULL) {
            leat_worker_unqueue(w, job);
            leat_worker_give_back(w, job);
        }
    }
    if (w->started.count > 0) {
        (void)leat_out_send(out, LEAT_LINK_SPAWNER, (struct leat_peer){0}, LEAT_MSG_RECALL);
    }
}

void leat_worker_stop(struct leat_worker *w, int64_t now_us, struct leat_out *out)
{
    struct leat_worker_ending *e = &w->ending;
    e->stops++;
    leat_worker_drain(w, "stop", now_us, out);
    if (e->stops == 2) {
        if (!e->kill_all) {
            kill_everything(w, out);
        }
        e->exit_us =
            leat_min_us(e->exit_us, now_us + w->grace_us + LEAT_FAREWELL_MS * LEAT_US_PER_MS);
    } else if (e->stops > 2) {
        e->exit_us = now_us;
    }
}

static void leave(struct leat_worker *w, bool is_done, struct leat_out *out)
{
    if (w->session.open) {
        struct leat_msg_goodbye *goodbye =
            &leat_worker_to_ventilator(out, LEAT_MSG_GOODBYE)->goodbye;
        goodbye->round = w->session.round;
        goodbye->number = leat_worker_next_number(w);
        goodbye->reason = leat_str_of(is_done ? "drained" : "stopped");
    }
    leat_out_note(out, LEAT_NOTE_STOPPED, NULL,
                  leat_str_of(is_done ? "drained" : "results or attempts were left"), 0);
    leat_out_exit(out, is_done ? 0 : 1);
    w->ending.ended = true;
}

void leat_worker_drain_turn(struct leat_worker *w, int64_t now_us, struct leat_out *out)
{
    struct leat_worker_ending *e = &w->ending;
    if (!e->draining) {
        return;
    }
    if (!e->kill_all && now_us >= e->kill_us) {
        kill_everything(w, out);
    }
    bool is_done = w->started.count == 0 && leat_worker_unstored(w) == 0;
    if (is_done && e->farewell_us == LEAT_NEVER_US) {
        e->farewell_us = now_us + LEAT_FAREWELL_MS * LEAT_US_PER_MS;
    }
    bool is_heard = w->returning.count == 0 && w->table.counts[LEAT_WORKER_REPEATING] == 0;
    if ((is_done && (is_heard || now_us >= e->farewell_us)) || now_us >= e->exit_us) {
        leave(w, is_done, out);
    }
}

int64_t leat_worker_drain_deadline_us(const struct leat_worker *w)
{
    const struct leat_worker_ending *e = &w->ending;
    if (!e->draining) {
        return LEAT_NEVER_US;
    }
    int64_t deadline_us = leat_min_us(e->exit_us, e->farewell_us);
    return e->kill_all ? deadline_us : leat_min_us(deadline_us, e->kill_us);
}
