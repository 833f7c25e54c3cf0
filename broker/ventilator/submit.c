/* SUBMIT: batches of new jobs. All of a batch is taken or nothing of it. What is known by its id,
 * be it waiting, leased, ended or settled lately, is counted and not added again. */
#include "broker/ventilator/inside.h"
#include "core/job.h"

#define AHEAD               8 /* jobs between a look at memory and its use */
#define SWEEP_US            (1 * LEAT_US_PER_S)
#define SWEEP_US_WHEN_MANY  (100 * LEAT_US_PER_MS)
#define SWEEP_PRODUCERS     256
#define IDLE_MS             (24 * 3600 * LEAT_MS_PER_S)
#define IDLE_MS_WHEN_MANY   (600 * LEAT_MS_PER_S)
#define IDLE_MS_WHEN_NEARLY (60 * LEAT_MS_PER_S) /* the bound is near */

static void answer_busy(struct leat_ventilator *v, const struct leat_event *event,
                        struct leat_out *out, const char *reason)
{
    const struct leat_msg_submit *submit = &event->msg->submit;
    struct leat_msg *msg = leat_out_send(out, LEAT_LINK_PEERS, event->peer, LEAT_MSG_BUSY);
    msg->busy.sender = submit->producer;
    msg->busy.batch = submit->batch;
    msg->busy.retry_after_ms = LEAT_BUSY_RETRY_MS;
    msg->busy.reason = leat_str_of(reason);
    v->counts.busy_total++;
}

static void answer_accepted(const struct leat_event *event, struct leat_out *out, uint64_t batch,
                            uint64_t known)
{
    struct leat_msg *msg = leat_out_send(out, LEAT_LINK_PEERS, event->peer, LEAT_MSG_ACCEPTED);
    msg->accepted.producer = event->msg->submit.producer;
    msg->accepted.batch = batch;
    msg->accepted.known = known;
}

static void answer_resend(const struct leat_event *event, struct leat_out *out, uint64_t expected)
{
    struct leat_msg *msg = leat_out_send(out, LEAT_LINK_PEERS, event->peer, LEAT_MSG_RESEND);
    msg->resend.producer = event->msg->submit.producer;
    msg->resend.batch = expected;
}

/* Answers REJECTED when a job of the batch can never be accepted. */
static bool is_rejected(struct leat_ventilator *v, const struct leat_event *event,
                        struct leat_out *out)
{
    const struct leat_msg_submit *submit = &event->msg->submit;
    struct leat_why why = {""};
    for (size_t i = 0; i < submit->jobs.count; i++) {
        const struct leat_item_submission *job = &submit->jobs.items[i];
        enum leat_err err = leat_job_check_submission(job, i == 0 ? NULL : job - 1,
                                                      (size_t)v->config.payload_bytes_max, &why);
        if (err != LEAT_OK) {
            char text[LEAT_ID_TEXT_BYTES];
            struct leat_str reason = leat_arena_format(&out->arena, "job %zu (%s): %s", i + 1,
                                                       leat_id_format(&job->id, text), why.text);
            struct leat_msg *msg =
                leat_out_send(out, LEAT_LINK_PEERS, event->peer, LEAT_MSG_REJECTED);
            msg->rejected.producer = submit->producer;
            msg->rejected.batch = submit->batch;
            msg->rejected.code = err;
            msg->rejected.text = reason;
            leat_out_note(out, LEAT_NOTE_SUBMIT_REFUSED, &submit->producer, reason,
                          (int64_t)submit->batch);
            v->counts.rejected_total++;
            return true;
        }
    }
    return false;
}

static uint64_t bytes_of(const struct leat_msg_submit *submit)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < submit->jobs.count; i++) {
        bytes += submit->jobs.items[i].body.size;
    }
    return bytes;
}

/* Which bound stands against the batch; NULL: none. */
static const char *full_because(struct leat_ventilator *v, const struct leat_msg_submit *submit,
                                bool is_new_producer)
{
    const struct leat_ventilator_config *config = &v->config;
    if (v->phase != LEAT_VENTILATOR_RUNNING) {
        return "stopping";
    }
    if (v->store_full || !leat_ventilator_store_has_room(v->store)) {
        return "disk or store is full";
    }
    uint64_t jobs = leat_ventilator_jobs(v);
    if (jobs > config->jobs_max || submit->jobs.count > config->jobs_max - jobs) {
        return "too many jobs";
    }
    if (v->counts.bytes > config->bytes_max ||
        bytes_of(submit) > config->bytes_max - v->counts.bytes) {
        return "too many bytes of jobs";
    }
    if (leat_ventilator_store_filling_bytes(v->store) > config->filling_bytes_max) {
        return "disk is slow";
    }
    if (is_new_producer && v->counts.producers >= LEAT_PRODUCERS_MAX) {
        return "too many producers";
    }
    v->pin++;
    for (size_t i = 0; i < submit->jobs.count; i++) {
        const struct leat_item_submission *job = &submit->jobs.items[i];
        v->lanes_of[i] = leat_lane_make(v, job->queue, job->type);
        if (v->lanes_of[i] == NULL) {
            return "too many pairs of queue and type";
        }
    }
    return NULL;
}

/* False: the id is known. */
static bool add_job(struct leat_ventilator *v, const struct leat_item_submission *item,
                    struct leat_lane *lane)
{
    struct leat_ventilator_place place;
    enum leat_err err = leat_ventilator_store_find(v->store, &item->id, &place);
    if (err != LEAT_ERR_NOT_FOUND) {
        (void)leat_ventilator_broke(v, err);
        return false;
    }
    int64_t now_us = v->now.wall.us;
    bool waits = item->not_before_ms > leat_ventilator_wall_ms(v);
    struct leat_ventilator_job job = {
        .attempt = 1,
        .expires_at_ms = item->expires_at_ms,
        .accepted_us = now_us,
        .ready_us = now_us,
        .body_bytes = item->body.size,
    };
    place = (struct leat_ventilator_place){
        .where = waits ? LEAT_VENTILATOR_SCHEDULED : LEAT_VENTILATOR_READY,
        .lane = lane->number,
        .seq = v->next_seq++,
        .due_ms = waits ? item->not_before_ms : 0,
    };
    leat_ventilator_store_add(v->store, &item->id, &place, &job, item->body);
    leat_ventilator_watch_expiry(v, job.expires_at_ms);
    v->counts.bytes += item->body.size;
    if (waits) {
        leat_lane_add_waiting(v, lane, place.where);
        leat_ventilator_watch_due(v, &place);
    } else {
        leat_lane_enter_row(v, lane, place.seq, &item->id, &job, item->body);
    }
    return true;
}

static uint64_t add_jobs(struct leat_ventilator *v, const struct leat_msg_submit *submit)
{
    uint64_t known = 0;
    for (size_t i = 0; i < submit->jobs.count; i++) {
        if (i + AHEAD < submit->jobs.count) {
            leat_ventilator_store_prefetch(v->store, &submit->jobs.items[i + AHEAD].id);
        }
        known += add_job(v, &submit->jobs.items[i], v->lanes_of[i]) ? 0U : 1U;
    }
    v->counts.accepted_total += submit->jobs.count - known;
    v->counts.known_total += known;
    return known;
}

void leat_ventilator_on_submit(struct leat_ventilator *v, const struct leat_event *event,
                               struct leat_out *out)
{
    const struct leat_msg_submit *submit = &event->msg->submit;
    struct leat_ventilator_producer producer = {0};
    if (leat_id_is_zero(&submit->producer) || submit->batch == 0) {
        leat_ventilator_refuse(v, event, out, LEAT_ERR_INVALID,
                               "producer and batch must not be zero", submit->batch);
        return;
    }
    enum leat_err err = leat_ventilator_store_producer(v->store, &submit->producer, &producer);
    if (leat_ventilator_broke(v, err)) {
        return;
    }
    bool is_new = err == LEAT_ERR_NOT_FOUND;
    if (submit->batch <= producer.batch) {
        answer_accepted(event, out, producer.batch, 0);
        return;
    }
    if (submit->batch != producer.batch + 1) {
        answer_resend(event, out, producer.batch + 1);
        return;
    }
    if (is_rejected(v, event, out)) {
        return;
    }
    const char *reason = full_because(v, submit, is_new);
    if (reason != NULL) {
        answer_busy(v, event, out, reason);
        return;
    }
    uint64_t known = add_jobs(v, submit);
    if (v->broken) {
        return;
    }
    producer = (struct leat_ventilator_producer){.batch = submit->batch,
                                                 .seen_ms = leat_ventilator_steady_ms(v)};
    leat_ventilator_store_put_producer(v->store, &submit->producer, &producer);
    v->counts.producers += is_new ? 1 : 0;
    answer_accepted(event, out, submit->batch, known);
}

/* The more producers are known, the sooner an idle one is forgotten: each run of a command is one,
 * and a new one must not be told BUSY because of those that came and went. */
static int64_t idle_ms(const struct leat_ventilator *v)
{
    if (v->counts.producers > LEAT_PRODUCERS_MAX / 4 * 3) {
        return IDLE_MS_WHEN_NEARLY;
    }
    return v->counts.producers > LEAT_PRODUCERS_MAX / 2 ? IDLE_MS_WHEN_MANY : IDLE_MS;
}

/* A producer is forgotten after long idleness; should it come back, it numbers anew, and its jobs
 * are told by their ids. */
void leat_ventilator_sweep_producers(struct leat_ventilator *v)
{
    if (v->now.mono_us < v->sweep_at_us) {
        return;
    }
    bool many = v->counts.producers > LEAT_PRODUCERS_MAX / 2;
    v->sweep_at_us = v->now.mono_us + (many ? SWEEP_US_WHEN_MANY : SWEEP_US);
    size_t forgotten = 0;
    enum leat_err err =
        leat_ventilator_store_sweep_producers(v->store, leat_ventilator_steady_ms(v), idle_ms(v),
                                              SWEEP_PRODUCERS, &v->sweep_cursor, &forgotten);
    if (!leat_ventilator_broke(v, err)) {
        v->counts.producers -= forgotten;
    }
}
