/* Reading the store at the start: lanes, counts, what is due. Nothing is kept of single jobs:
 * windows fill when jobs are asked for, leases come back with the workers. Nothing is read of them
 * either, so that a start takes no longer when millions wait, unless the counts are not what the
 * store has, or damage was found before: then every job is counted anew. */
#include "broker/ventilator/inside.h"
#include "core/name.h"

/* More rows than ever will be. */
#define SETTLED_ROWS_MAX ((uint64_t)1 << 62)

struct recovery {
    struct leat_ventilator *v;
    struct leat_out *out;
    enum leat_err err;
    struct leat_why why;
    bool has_meta;
};

/* ---- lanes and queues ---- */

static bool visit_lane(uint32_t number, struct leat_str queue, struct leat_str type, void *context)
{
    struct recovery *recovery = context;
    if (queue.size == 0 || type.size == 0 || !leat_lane_restore(recovery->v, number, queue, type)) {
        recovery->err = leat_fail(&recovery->why, LEAT_ERR_CORRUPT,
                                  "table lanes: lane %u is there twice or out of range", number);
        return false;
    }
    return true;
}

static bool visit_paused(struct leat_str name, void *context)
{
    struct recovery *recovery = context;
    struct leat_queue *queue =
        leat_name_check_queue(name, NULL) != LEAT_OK ? NULL : leat_queue_make(recovery->v, name);
    if (queue == NULL) {
        recovery->err = leat_fail(&recovery->why, LEAT_ERR_CORRUPT, "table queues: a bad name");
        return false;
    }
    queue->paused = true;
    return true;
}

static enum leat_err read_lanes(struct recovery *recovery)
{
    struct leat_ventilator *v = recovery->v;
    enum leat_err err =
        leat_ventilator_store_each_lane(v->store, visit_lane, recovery, &recovery->why);
    if (err == LEAT_OK && recovery->err == LEAT_OK) {
        err = leat_ventilator_store_each_paused(v->store, visit_paused, recovery);
    }
    return err != LEAT_OK ? err : recovery->err;
}

/* ---- jobs: what is counted ---- */

static enum leat_err unknown_lane(struct leat_why *why, uint32_t lane)
{
    return leat_fail(why, LEAT_ERR_CORRUPT, "a job is in lane %u, which is not in table lanes",
                     lane);
}

/* Takes what COUNTS and META say. False: something is missing, or not what the tables have. */
static bool take_counts(struct recovery *recovery)
{
    struct leat_ventilator *v = recovery->v;
    struct leat_ventilator_counts *counts = &v->counts;
    bool is_complete = (recovery->has_meta && !v->meta.damaged) || v->lanes_used == 0;
    for (uint32_t i = 0; i < LEAT_LANES_MAX && recovery->err == LEAT_OK; i++) {
        struct leat_lane *lane = v->lanes[i];
        if (lane == NULL) {
            continue;
        }
        enum leat_err err = leat_ventilator_store_counts(v->store, i, &lane->stored);
        if (err == LEAT_ERR_IO) {
            recovery->err = err;
        }
        is_complete = is_complete && err == LEAT_OK;
        lane->is_stored = err == LEAT_OK;
        lane->ready = lane->stored.ready;
        lane->scheduled = lane->stored.scheduled;
        lane->retrying = lane->stored.retrying;
        leat_queue_set_ready(v, lane->queue, lane->queue->ready + lane->ready);
        counts->ready += lane->ready;
        counts->scheduled += lane->scheduled;
        counts->retrying += lane->retrying;
    }
    counts->bytes = v->meta.bytes;
    v->next_seq = v->meta.next_seq;
    return is_complete &&
           leat_ventilator_store_count(v->store, LEAT_VENTILATOR_TABLE_READY) == counts->ready &&
           leat_ventilator_store_count(v->store, LEAT_VENTILATOR_TABLE_SCHEDULED) ==
               counts->scheduled &&
           leat_ventilator_store_count(v->store, LEAT_VENTILATOR_TABLE_RETRYING) ==
               counts->retrying;
}

/* A lane whose name is lost cannot be served. That of a waiting job shows when the job is due. */
static enum leat_err check_lanes(struct recovery *recovery)
{
    struct leat_ventilator *v = recovery->v;
    uint32_t lane = 0;
    enum leat_err err;
    while ((err = leat_ventilator_store_next_ready(v->store, lane, &lane)) == LEAT_OK) {
        if (leat_lane_at(v, lane) == NULL) {
            return unknown_lane(&recovery->why, lane);
        }
        lane++;
    }
    return err == LEAT_ERR_NOT_FOUND ? LEAT_OK : err;
}

/* ---- jobs: counting anew ---- */

static void forget_counts(struct leat_ventilator *v)
{
    for (size_t i = 0; i < LEAT_LANES_MAX; i++) {
        struct leat_lane *lane = v->lanes[i];
        if (lane != NULL) {
            lane->ready = 0;
            lane->scheduled = 0;
            lane->retrying = 0;
            leat_queue_set_ready(v, lane->queue, 0);
        }
    }
    v->counts.ready = 0;
    v->counts.scheduled = 0;
    v->counts.retrying = 0;
    v->counts.bytes = 0;
}

static bool visit_job(const struct leat_id *id, const struct leat_ventilator_place *place,
                      const struct leat_ventilator_job *job, void *context)
{
    struct recovery *recovery = context;
    struct leat_ventilator *v = recovery->v;
    struct leat_lane *lane = leat_lane_at(v, place->lane);
    if (lane == NULL) {
        recovery->err = unknown_lane(&recovery->why, place->lane);
        return false;
    }
    if (place->where == LEAT_VENTILATOR_READY) {
        lane->ready++;
        leat_queue_set_ready(v, lane->queue, lane->queue->ready + 1);
        v->counts.ready++;
        leat_lane_touch(v, lane);
    } else {
        leat_lane_add_waiting(v, lane, place->where);
    }
    if (place->seq >= v->next_seq) {
        v->next_seq = place->seq + 1;
    }
    if (job == NULL) {
        leat_out_note(recovery->out, LEAT_NOTE_RECORD_DAMAGED, id, leat_str_of("jobs"), 0);
        return true;
    }
    v->counts.bytes += job->body_bytes;
    return true;
}

static enum leat_err count_endings(struct leat_ventilator *v)
{
    struct leat_id ids[LEAT_ENDING_BATCH];
    struct leat_id after = {0};
    size_t count = 0;
    do {
        enum leat_err err =
            leat_ventilator_store_endings(v->store, &after, LEAT_ENDING_BATCH, ids, &count);
        for (size_t i = 0; i < count && err == LEAT_OK; i++) {
            uint64_t bytes = 0;
            err = leat_ventilator_store_ending_bytes(v->store, &ids[i], &bytes);
            err = err == LEAT_ERR_CORRUPT ? LEAT_OK : err;
            v->counts.bytes += bytes;
            after = ids[i];
        }
        if (err != LEAT_OK) {
            return err;
        }
    } while (count == LEAT_ENDING_BATCH);
    return LEAT_OK;
}

static enum leat_err count_anew(struct recovery *recovery)
{
    static const enum leat_ventilator_where places[] = {
        LEAT_VENTILATOR_READY, LEAT_VENTILATOR_SCHEDULED, LEAT_VENTILATOR_RETRYING};
    struct leat_ventilator *v = recovery->v;
    forget_counts(v);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        enum leat_err err =
            leat_ventilator_store_each_job(v->store, places[i], visit_job, recovery);
        if (err != LEAT_OK || recovery->err != LEAT_OK) {
            return err != LEAT_OK ? err : recovery->err;
        }
    }
    leat_out_note(recovery->out, LEAT_NOTE_RECORD_MENDED, NULL, leat_str_of("counts"),
                  (int64_t)v->lanes_used);
    enum leat_err err = count_endings(v);
    if (err == LEAT_OK) {
        v->meta.damaged = false;
        leat_ventilator_save_meta(v);
    }
    return err;
}

/* ---- jobs: what is due ---- */

static enum leat_err watch_first(struct leat_ventilator *v, enum leat_ventilator_where where)
{
    struct leat_id id;
    struct leat_ventilator_place place;
    enum leat_err err = leat_ventilator_store_first_due(v->store, where, &id, &place);
    if (err == LEAT_OK) {
        leat_ventilator_watch_due(v, &place);
    }
    return err == LEAT_ERR_NOT_FOUND ? LEAT_OK : err;
}

static enum leat_err watch_expiry(struct leat_ventilator *v)
{
    struct leat_ventilator_expiry first;
    enum leat_err err = leat_ventilator_store_next_expiry(v->store, &v->expiry_at, &first);
    if (err == LEAT_OK) {
        leat_ventilator_watch_expiry(v, first.expires_at_ms);
    }
    return err == LEAT_ERR_NOT_FOUND ? LEAT_OK : err;
}

static enum leat_err read_jobs(struct recovery *recovery)
{
    struct leat_ventilator *v = recovery->v;
    bool is_right = take_counts(recovery);
    enum leat_err err = recovery->err;
    if (err == LEAT_OK) {
        err = is_right ? check_lanes(recovery) : count_anew(recovery);
    }
    if (err == LEAT_OK) {
        err = watch_first(v, LEAT_VENTILATOR_SCHEDULED);
    }
    if (err == LEAT_OK) {
        err = watch_first(v, LEAT_VENTILATOR_RETRYING);
    }
    if (err == LEAT_OK) {
        err = watch_expiry(v);
    }
    return err;
}

/* Numbers of lanes are few; those without jobs are given back. */
static void drop_empty_lanes(struct leat_ventilator *v)
{
    for (size_t i = 0; i < LEAT_LANES_MAX; i++) {
        struct leat_lane *lane = v->lanes[i];
        if (lane != NULL && lane->ready + lane->scheduled + lane->retrying == 0) {
            leat_lane_drop(v, lane);
        }
    }
}

/* ---- the rest ---- */

static void read_endings(struct leat_ventilator *v)
{
    v->counts.ending = leat_ventilator_store_count(v->store, LEAT_VENTILATOR_TABLE_ENDING);
    leat_ventilator_report_again(v);
}

/* IDS knows every job and what is remembered, nothing else. */
static enum leat_err read_remembered(struct leat_ventilator *v)
{
    uint64_t ids = leat_ventilator_store_count(v->store, LEAT_VENTILATOR_TABLE_IDS);
    uint64_t jobs = leat_ventilator_jobs(v);
    uint64_t last = 0;
    enum leat_err err;
    while ((err = leat_ventilator_store_last_settled(v->store, &last)) == LEAT_OK &&
           last >= SETTLED_ROWS_MAX) {
        err = leat_ventilator_store_forget(v->store, last); /* its key is damaged */
        if (err != LEAT_OK) {
            return err;
        }
    }
    v->counts.remembered = ids > jobs ? ids - jobs : 0;
    if (err == LEAT_OK) {
        v->remembered_first = 0;
        v->remembered_next = last + 1;
    }
    return err == LEAT_ERR_NOT_FOUND ? LEAT_OK : err;
}

static enum leat_err read_meta(struct recovery *recovery)
{
    struct leat_ventilator *v = recovery->v;
    enum leat_err err = leat_ventilator_store_load(v->store, &v->meta, &recovery->why);
    if (err != LEAT_OK && err != LEAT_ERR_NOT_FOUND) {
        return err;
    }
    recovery->has_meta = err == LEAT_OK;
    int64_t start_ms = leat_ventilator_wall_ms(v);
    if (v->meta.steady_ms > start_ms) {
        start_ms = v->meta.steady_ms;
    }
    v->steady_base_ms = start_ms - v->now.mono_us / LEAT_US_PER_MS;
    v->counts.settled = v->meta.settled;
    return LEAT_OK;
}

static enum leat_err read_all(struct recovery *recovery)
{
    struct leat_ventilator *v = recovery->v;
    enum leat_err err = read_meta(recovery);
    if (err == LEAT_OK) {
        err = read_lanes(recovery);
    }
    if (err == LEAT_OK) {
        err = read_jobs(recovery);
    }
    if (err == LEAT_OK) {
        read_endings(v);
        err = read_remembered(v);
    }
    if (err == LEAT_OK) {
        err = leat_ventilator_store_learn_ids(v->store);
    }
    return err;
}

enum leat_err leat_ventilator_recover(struct leat_ventilator *v, struct leat_now now,
                                      struct leat_out *out, struct leat_why *why)
{
    struct recovery recovery = {.v = v, .out = out};
    v->now = now;
    enum leat_err err = read_all(&recovery);
    if (err != LEAT_OK) {
        const char *text = recovery.why.text[0] != '\0' ? recovery.why.text
                                                        : leat_ventilator_store_error(v->store);
        return leat_fail(why, err, "%s", text);
    }
    drop_empty_lanes(v);
    leat_ventilator_look_at_oldest(v);
    v->counts.producers = leat_ventilator_store_count(v->store, LEAT_VENTILATOR_TABLE_PRODUCERS);
    v->push_from_us =
        now.mono_us + (v->counts.ready > 0 ? v->config.recovery_grace_ms * LEAT_US_PER_MS : 0);
    v->follow_at_us = now.mono_us;
    v->gauges_at_us = now.mono_us;
    v->sweep_at_us = now.mono_us;
    leat_out_note(out, LEAT_NOTE_RECOVERED, NULL, leat_str_of("ventilator"),
                  (int64_t)leat_ventilator_jobs(v));
    leat_ventilator_save_counts(v, out);
    v->deadline_us = now.mono_us;
    return LEAT_OK;
}
