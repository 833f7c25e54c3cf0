/* What each message does. Messages of other rounds, seen ones, and types that nobody should send us
 * are passed over: they come late or twice, or from somebody who is mistaken. */
#include "worker/inside.h"

/* Items of a message between calling for what one needs and needing it. */
#define FETCH_AHEAD 4

static struct leat_worker_lane *lane_of(struct leat_worker *w, struct leat_str type)
{
    for (size_t i = 0; i < w->lane_count; i++) {
        if (leat_str_equal(type, (struct leat_str){w->lanes[i].type, w->lanes[i].type_size})) {
            return &w->lanes[i];
        }
    }
    return NULL;
}

static void enqueue(struct leat_worker *w, struct leat_worker_lane *lane,
                    struct leat_worker_job *job)
{
    job->lane = (uint16_t)(lane - w->lanes);
    leat_list_push_back(&lane->queue, &job->link);
    leat_worker_trail_add(&w->queued_trail, job);
}

/* More than was ever granted: by mistake, or the outbox has filled since. What was granted before
 * the prefetch fell is taken. */
static bool is_too_many(const struct leat_worker *w)
{
    size_t active = leat_worker_active(w);
    return active >= w->slots + w->ahead.most || active + leat_worker_unstored(w) >= w->results_max;
}

/* By the worker's own names where it has them, as it mostly does. */
static void name_job(const struct leat_worker *w, const struct leat_worker_lane *lane,
                     const struct leat_item_delivery *delivery, struct leat_worker_job *job)
{
    for (size_t i = 0; i < w->queue_count && lane != NULL; i++) {
        if (leat_str_equal(w->queues[i].name, delivery->queue)) {
            job->queue = w->queues[i].name;
            job->type = (struct leat_str){lane->type, lane->type_size};
            return;
        }
    }
    leat_worker_job_keep_names(job, delivery->queue, delivery->type);
}

static void receive_job(struct leat_worker *w, const struct leat_item_delivery *delivery,
                        uint32_t hash, struct leat_now now, struct leat_out *out)
{
    struct leat_worker_lane *lane = lane_of(w, delivery->type);
    w->session.received++;
    w->totals.jobs_received++;
    if (lane != NULL) {
        lane->received++;
    }
    struct leat_worker_job *held =
        leat_worker_job_find_hashed(&w->table, hash, &delivery->id, delivery->delivery);
    if (held != NULL) {
        /* A lease that was refused has come back to us, under the same number because another
         * worker handed it back, while its old attempt is not yet gone: what becomes of that one
         * counts. */
        held->refused = false;
        return;
    }
    if (w->ending.draining || is_too_many(w)) {
        struct leat_item_delivery lease = {.id = delivery->id, .delivery = delivery->delivery};
        leat_worker_give_back(w, leat_worker_job_add(&w->table, hash, &lease, LEAT_WORKER_QUEUED));
        return;
    }
    struct leat_worker_job *job =
        leat_worker_job_add(&w->table, hash, delivery, LEAT_WORKER_QUEUED);
    job->sequence = ++w->last_sequence;
    name_job(w, lane, delivery, job);
    struct leat_why why;
    struct leat_item_body body = {0};
    enum leat_err err = leat_worker_body_read(
        &w->last_body, leat_bytes_of(job->bytes, job->bytes_size), &body, &why);
    leat_worker_job_keep_body(job, body);
    if (err == LEAT_ERR_MEMORY) {
        (void)leat_worker_must(NULL);
    }
    if (err != LEAT_OK) {
        job->outcome.failure = LEAT_FAILURE_MALFORMED;
        job->outcome.attempts = job->attempt > 0 ? job->attempt - 1 : 0;
        leat_worker_attempt_failed(w, job, true, leat_str_of(why.text), now, out);
    } else if (lane == NULL) {
        job->outcome.failure = LEAT_FAILURE_NO_HANDLER;
        job->outcome.attempts = job->attempt;
        struct leat_str text = leat_arena_format(&out->arena, "no handler for type '%.*s' here",
                                                 LEAT_STR_ARGS(delivery->type));
        leat_worker_attempt_failed(w, job, false, text, now, out);
    } else {
        enqueue(w, lane, job);
    }
}

static void receive_jobs(struct leat_worker *w, const struct leat_item_delivery *items,
                         size_t count, struct leat_now now, struct leat_out *out)
{
    uint32_t hashes[FETCH_AHEAD]; /* of those between the two */
    for (size_t i = 0; i < count + FETCH_AHEAD; i++) {
        uint32_t *hash = &hashes[i % FETCH_AHEAD];
        if (i >= FETCH_AHEAD) {
            receive_job(w, &items[i - FETCH_AHEAD], *hash, now, out);
        }
        if (i < count) {
            *hash = leat_worker_table_hash(&w->table, &items[i].id, items[i].delivery);
            leat_worker_table_fetch_place(&w->table, *hash);
        }
    }
}

static void receive_error(struct leat_worker *w, const struct leat_msg_error *error, int64_t now_us,
                          struct leat_out *out)
{
    bool round_is_lost =
        error->code == LEAT_ERR_UNKNOWN_SESSION || error->code == LEAT_ERR_OUT_OF_ORDER;
    if (!round_is_lost) {
        leat_out_note(out, LEAT_NOTE_MESSAGE_REFUSED, NULL, error->text, (int64_t)error->code);
        if (error->code == LEAT_ERR_FORBIDDEN && w->session.open) {
            /* Our key has no rights, or not any more, and neither has the session. Perhaps it gets
             * them back. */
            leat_worker_session_renew_later(w, now_us);
        }
        return;
    }
    /* Each message behind a gap brings this error again; the first has started the new round. */
    if (w->session.open) {
        leat_worker_session_renew(w, now_us);
    }
}

static void from_ventilator(struct leat_worker *w, const struct leat_msg *msg, struct leat_now now,
                            struct leat_out *out)
{
    int64_t now_us = now.mono_us;
    w->session.heard_us = now_us;
    if (msg->type == LEAT_MSG_WELCOME) {
        leat_worker_session_welcome(w, &msg->welcome, now_us, out);
    } else if (msg->type == LEAT_MSG_JOBS) {
        if (leat_worker_session_accept(w, msg->jobs.round, msg->jobs.number, now_us)) {
            leat_worker_session_busy(w, now_us);
            receive_jobs(w, msg->jobs.jobs.items, msg->jobs.jobs.count, now, out);
        }
    } else if (msg->type == LEAT_MSG_PONG) {
        if (leat_worker_session_accept(w, msg->pong.round, msg->pong.number, now_us)) {
            leat_worker_session_pong(w);
        }
    } else if (msg->type == LEAT_MSG_DRAIN) {
        if (leat_worker_session_accept(w, msg->drain.round, msg->drain.number, now_us)) {
            leat_worker_drain(w, "ventilator", now_us, out);
        }
    } else if (msg->type == LEAT_MSG_GOODBYE) {
        /* It ends or restarts. Our work goes on; its next life hears of our leases. */
        if (leat_worker_session_accept(w, msg->goodbye.round, msg->goodbye.number, now_us)) {
            leat_worker_session_renew_later(w, now_us);
        }
    } else if (msg->type == LEAT_MSG_ERROR) {
        receive_error(w, &msg->error, now_us, out);
    }
}

static void from_sink(struct leat_worker *w, const struct leat_msg *msg, int64_t now_us,
                      struct leat_out *out)
{
    if (msg->type == LEAT_MSG_STORED && leat_id_equal(&msg->stored.sender, &w->session_id)) {
        leat_worker_outbox_stored(w, msg->stored.batch);
    } else if (msg->type == LEAT_MSG_BUSY && leat_id_equal(&msg->busy.sender, &w->session_id)) {
        leat_worker_outbox_busy(w, msg->busy.batch, msg->busy.retry_after_ms, now_us);
    } else if (msg->type == LEAT_MSG_ERROR) {
        leat_out_note(out, LEAT_NOTE_MESSAGE_REFUSED, NULL, msg->error.text,
                      (int64_t)msg->error.code);
        if (msg->error.type == LEAT_MSG_RESULTS) {
            leat_worker_outbox_refused(w, &msg->error, out);
        }
    }
}

static void receive_ran(struct leat_worker *w, const struct leat_msg_ran *ran, struct leat_now now,
                        struct leat_out *out)
{
    const struct leat_item_outcome *items = ran->outcomes.items;
    const size_t count = ran->outcomes.count;
    uint32_t hashes[2 * FETCH_AHEAD];
    for (size_t i = 0; i < count + 2 * FETCH_AHEAD; i++) {
        uint32_t *hash = &hashes[i % (2 * FETCH_AHEAD)];
        if (i >= 2 * FETCH_AHEAD) {
            leat_worker_ran(w, &items[i - 2 * FETCH_AHEAD], *hash, now, out);
        }
        if (i >= FETCH_AHEAD && i - FETCH_AHEAD < count) {
            leat_worker_table_fetch_job(&w->table, hashes[(i - FETCH_AHEAD) % (2 * FETCH_AHEAD)]);
        }
        if (i < count) {
            *hash = leat_worker_table_hash(&w->table, &items[i].id, items[i].delivery);
            leat_worker_table_fetch_place(&w->table, *hash);
        }
    }
}

static void receive_recalled(struct leat_worker *w, const struct leat_msg_recalled *recalled)
{
    for (size_t i = 0; i < recalled->jobs.count; i++) {
        const struct leat_item_lease *lease = &recalled->jobs.items[i];
        struct leat_worker_job *job = leat_worker_job_find(&w->table, &lease->id, lease->delivery);
        if (job != NULL && job->place == LEAT_WORKER_STARTED) {
            leat_worker_unstart(w, job);
            leat_worker_give_back(w, job);
        }
    }
}

void leat_worker_receive(struct leat_worker *w, const struct leat_event *event,
                         struct leat_out *out)
{
    const struct leat_msg *msg = event->msg;
    if (event->link == LEAT_LINK_VENTILATOR) {
        from_ventilator(w, msg, event->now, out);
    } else if (event->link == LEAT_LINK_SINK) {
        from_sink(w, msg, event->now.mono_us, out);
    } else if (event->link == LEAT_LINK_SPAWNER && msg->type == LEAT_MSG_RAN) {
        receive_ran(w, &msg->ran, event->now, out);
    } else if (event->link == LEAT_LINK_SPAWNER && msg->type == LEAT_MSG_RECALLED) {
        receive_recalled(w, &msg->recalled);
    }
}
