/* Reading the store at the start: lanes, counts, what is due. Nothing is kept of single jobs:
 * windows fill when jobs are asked for, leases come back with the workers. */
#include "broker/ventilator/inside.h"
#include "core/name.h"

struct recovery {
    struct leat_ventilator *v;
    struct leat_out *out;
    enum leat_err err;
    struct leat_why why;
    struct leat_ventilator_place last; /* of the row before; where 0: none */
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

/* ---- jobs ---- */

static void count_place(struct leat_ventilator *v, struct leat_lane *lane,
                        const struct leat_ventilator_place *place)
{
    if (place->where == LEAT_VENTILATOR_READY) {
        lane->ready++;
        lane->queue->ready++;
        v->counts.ready++;
    } else if (place->where == LEAT_VENTILATOR_SCHEDULED) {
        lane->scheduled++;
        v->counts.scheduled++;
        leat_ventilator_watch_due(v, place);
    } else {
        lane->retrying++;
        v->counts.retrying++;
        leat_ventilator_watch_due(v, place);
    }
}

static bool visit_job(const struct leat_id *id, const struct leat_ventilator_place *place,
                      const struct leat_ventilator_job *job, void *context)
{
    struct recovery *recovery = context;
    struct leat_ventilator *v = recovery->v;
    if (place->lane >= LEAT_LANES_MAX || v->lanes[place->lane] == NULL) {
        recovery->err = leat_fail(&recovery->why, LEAT_ERR_CORRUPT,
                                  "a job is in lane %u, which is not in table lanes", place->lane);
        return false;
    }
    if (place->where == LEAT_VENTILATOR_READY && recovery->last.where == place->where &&
        recovery->last.lane == place->lane && recovery->last.seq == place->seq) {
        recovery->err = leat_fail(&recovery->why, LEAT_ERR_CORRUPT,
                                  "table ready: two jobs of lane %u have the number %llu: a key "
                                  "is damaged",
                                  place->lane, (unsigned long long)place->seq);
        return false;
    }
    recovery->last = *place;
    count_place(v, v->lanes[place->lane], place);
    v->counts.jobs++;
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

static enum leat_err read_jobs(struct recovery *recovery)
{
    static const enum leat_ventilator_where places[] = {
        LEAT_VENTILATOR_READY, LEAT_VENTILATOR_SCHEDULED, LEAT_VENTILATOR_RETRYING};
    struct leat_ventilator *v = recovery->v;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        enum leat_err err =
            leat_ventilator_store_each_job(v->store, places[i], visit_job, recovery);
        if (err != LEAT_OK || recovery->err != LEAT_OK) {
            return err != LEAT_OK ? err : recovery->err;
        }
    }
    struct leat_ventilator_expiry first;
    enum leat_err err = leat_ventilator_store_next_expiry(v->store, &v->expiry_at, &first);
    if (err == LEAT_OK) {
        leat_ventilator_watch_expiry(v, first.expires_at_ms);
    }
    return err == LEAT_ERR_NOT_FOUND ? LEAT_OK : err;
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

static enum leat_err read_endings(struct leat_ventilator *v)
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
        v->counts.ending += count;
        v->counts.jobs += count;
    } while (count == LEAT_ENDING_BATCH);
    leat_ventilator_report_again(v);
    return LEAT_OK;
}

static bool visit_settled(const struct leat_ventilator_settled *settled, void *context)
{
    struct leat_ventilator *v = context;
    if (v->counts.remembered == 0) {
        v->remembered_first = settled->number;
    }
    v->remembered_next = settled->number + 1;
    v->counts.remembered += settled->count;
    return true;
}

static enum leat_err read_meta(struct recovery *recovery)
{
    struct leat_ventilator *v = recovery->v;
    enum leat_err err = leat_ventilator_store_load(v->store, &v->meta, &recovery->why);
    if (err != LEAT_OK && err != LEAT_ERR_NOT_FOUND) {
        return err;
    }
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
        err = read_endings(v);
    }
    if (err == LEAT_OK) {
        err = leat_ventilator_store_each_settled(v->store, 0, visit_settled, v);
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
                  (int64_t)v->counts.jobs);
    v->deadline_us = now.mono_us;
    return LEAT_OK;
}
