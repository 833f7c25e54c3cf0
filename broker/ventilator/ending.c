/* Jobs that end at the ventilator, and how the sink learns of them: their final results lie in
 * ENDING until the sink's stream says that they are settled, and are sent again and again until
 * then. Each pass over the table sends one batch after the other; a pass begins again after a while
 * as long as anything is left, so nothing that may have been lost on either side can make a result
 * stay away. */
#include "broker/ventilator/inside.h"

#define RESEND_US    (LEAT_RESEND_MS * LEAT_US_PER_MS)
#define NEXT_PASS_US (5 * LEAT_US_PER_S)
#define SOON_US      (1 * LEAT_US_PER_S)

/* The job's row becomes a result. Its body counts until it is settled. */
static void end_job(struct leat_ventilator *v, const struct leat_id *id,
                    const struct leat_ventilator_place *place, int64_t expires_at_ms,
                    struct leat_item_result *result)
{
    const struct leat_lane *lane = leat_lane_at(v, place->lane);
    result->id = *id;
    result->queue = lane == NULL ? leat_str_of("unknown") : leat_queue_name(lane->queue);
    result->type = lane == NULL ? leat_str_of("unknown") : leat_lane_type(lane);
    result->finished_us = v->now.wall.us;
    enum leat_err err = leat_ventilator_store_end(v->store, id, place, expires_at_ms, result);
    if (leat_ventilator_broke(v, err)) {
        return;
    }
    v->counts.ending++;
    if (v->report.count == 0) {
        v->report.at_us = v->now.mono_us; /* else the pass goes on when the batch is stored */
    }
}

void leat_ventilator_end_lost(struct leat_ventilator *v, const struct leat_id *id,
                              const struct leat_ventilator_place *place,
                              const struct leat_ventilator_job *job, struct leat_out *out)
{
    struct leat_item_result result = {
        .status = LEAT_STATE_FAILED,
        .failure = LEAT_FAILURE_LOST,
        .attempts = job->attempt,
        .accepted_us = job->accepted_us,
        .error =
            leat_arena_format(&out->arena, "worker lost %llu times", (unsigned long long)job->lost),
    };
    leat_out_note(out, LEAT_NOTE_JOB_LOST_TOO_OFTEN, id,
                  leat_queue_name(v->lanes[place->lane]->queue), (int64_t)job->lost);
    v->counts.lost_too_often_total++;
    end_job(v, id, place, job->expires_at_ms, &result);
}

void leat_ventilator_end_expired(struct leat_ventilator *v, const struct leat_id *id,
                                 const struct leat_ventilator_place *place,
                                 const struct leat_ventilator_job *job, struct leat_out *out)
{
    uint64_t attempts = job->attempt == 0 ? 0 : job->attempt - 1;
    struct leat_item_result result = {
        .status = LEAT_STATE_EXPIRED,
        .failure = LEAT_FAILURE_EXPIRED,
        .attempts = attempts,
        .accepted_us = job->accepted_us,
        .error = attempts == 0 ? leat_str_of("expired before it was run")
                               : leat_arena_format(&out->arena, "expired after %llu attempts",
                                                   (unsigned long long)attempts),
    };
    leat_out_note(out, LEAT_NOTE_JOB_EXPIRED, id, leat_queue_name(v->lanes[place->lane]->queue), 0);
    v->counts.expired_total++;
    end_job(v, id, place, job->expires_at_ms, &result);
}

/* Whether the row is not that of a job: nobody has accepted this id, or its row is another one. The
 * key is damaged then, or the row is there twice, and there is nobody who waits for a result. */
static bool is_stray(struct leat_ventilator *v, const struct leat_id *id,
                     const struct leat_ventilator_place *place)
{
    struct leat_ventilator_place true_place;
    struct leat_ventilator_job job;
    enum leat_err err = leat_ventilator_store_find(v->store, id, &true_place);
    if (leat_ventilator_broke(v, err) || err == LEAT_ERR_CORRUPT) {
        return false;
    }
    if (err == LEAT_ERR_NOT_FOUND || true_place.where == LEAT_VENTILATOR_ENDING ||
        true_place.where == LEAT_VENTILATOR_SETTLED) {
        return true;
    }
    if (true_place.where == place->where && true_place.lane == place->lane &&
        true_place.seq == place->seq && true_place.due_ms == place->due_ms) {
        return false;
    }
    err = leat_ventilator_store_read(v->store, id, &true_place, &job, NULL, NULL);
    return !leat_ventilator_broke(v, err) && err != LEAT_ERR_NOT_FOUND;
}

/* Whether a row that is nobody's is that of a job whose id was damaged in its key: the job waits as
 * before, under its own id. Its count was taken back by who has found the row. */
static bool give_back(struct leat_ventilator *v, const struct leat_id *id,
                      const struct leat_ventilator_place *place, struct leat_out *out)
{
    struct leat_lane *lane = leat_lane_at(v, place->lane);
    struct leat_id owner;
    if (lane == NULL) {
        return false;
    }
    enum leat_err err = leat_ventilator_store_mend_id(v->store, id, place, &owner);
    if (leat_ventilator_broke(v, err) || err != LEAT_OK) {
        return false;
    }
    leat_out_note(out, LEAT_NOTE_RECORD_MENDED, &owner, leat_str_of("jobs"), 1);
    if (place->where == LEAT_VENTILATOR_READY) {
        leat_lane_enter(v, lane, place->seq, &owner);
    } else {
        leat_lane_add_waiting(v, lane, place->where);
        leat_ventilator_watch_due(v, place);
    }
    return true;
}

void leat_ventilator_end_damaged(struct leat_ventilator *v, const struct leat_id *id,
                                 const struct leat_ventilator_place *place, int64_t expires_at_ms,
                                 struct leat_out *out)
{
    struct leat_item_result result = {
        .status = LEAT_STATE_FAILED,
        .failure = LEAT_FAILURE_MALFORMED,
        .error = leat_str_of("the ventilator's record of the job is damaged"),
    };
    v->counts.damaged_total++;
    bool is_nobodys = is_stray(v, id, place);
    if (is_nobodys && give_back(v, id, place, out)) {
        return;
    }
    leat_out_note(out, LEAT_NOTE_RECORD_DAMAGED, id,
                  leat_str_of(place->where == LEAT_VENTILATOR_READY ? "ready" : "scheduled"), 0);
    if (is_nobodys) {
        leat_ventilator_store_drop_row(v->store, id, place);
        return;
    }
    end_job(v, id, place, expires_at_ms, &result);
}

/* ---- reporting ---- */

/* The result of a job of which only the id can be read. */
static struct leat_item_result damaged_result(const struct leat_id *id)
{
    return (struct leat_item_result){
        .id = *id,
        .queue = leat_str_of("unknown"),
        .type = leat_str_of("unknown"),
        .status = LEAT_STATE_FAILED,
        .failure = LEAT_FAILURE_MALFORMED,
        .error = leat_str_of("the ventilator's record of the result is damaged"),
    };
}

/* Copies the results of the batch into `items`, as many as a message should hold. */
static size_t read_results(struct leat_ventilator *v, struct leat_item_result *items,
                           struct leat_out *out)
{
    struct leat_ventilator_report *report = &v->report;
    size_t count = 0;
    size_t bytes = 0;
    size_t taken = 0;
    for (size_t i = 0; i < report->count && bytes < LEAT_BATCH_BYTES_TARGET; i++) {
        enum leat_err err =
            leat_ventilator_store_ending(v->store, &report->ids[i], &out->arena, &items[count]);
        if (leat_ventilator_broke(v, err) || err == LEAT_ERR_MEMORY) {
            break;
        }
        taken = i + 1;
        if (err == LEAT_OK) {
            bytes += items[count].body.size + LEAT_ID_BYTES;
            count++;
        } else if (err == LEAT_ERR_CORRUPT) {
            items[count++] = damaged_result(&report->ids[i]);
            v->counts.damaged_total++;
            leat_out_note(out, LEAT_NOTE_RECORD_DAMAGED, &report->ids[i], leat_str_of("ending"), 0);
        }
    }
    report->count = taken;
    return count;
}

static void send_batch(struct leat_ventilator *v, struct leat_out *out)
{
    struct leat_ventilator_report *report = &v->report;
    struct leat_item_result *items = leat_arena_take(&out->arena, report->count * sizeof *items);
    size_t count = items == NULL ? 0 : read_results(v, items, out);
    if (count == 0) {
        /* Settled meanwhile, or there is no room in `out` now. */
        report->count = 0;
        report->at_us = v->now.mono_us + SOON_US;
        return;
    }
    struct leat_msg *msg =
        leat_out_send(out, LEAT_LINK_SINK, (struct leat_peer){0}, LEAT_MSG_RESULTS);
    msg->results.sender = v->config.sender;
    msg->results.batch = report->batch;
    msg->results.results.items = items;
    msg->results.results.count = count;
    report->at_us = v->now.mono_us + RESEND_US;
}

static void next_batch(struct leat_ventilator *v, struct leat_out *out)
{
    struct leat_ventilator_report *report = &v->report;
    size_t count = 0;
    enum leat_err err = leat_ventilator_store_endings(v->store, &report->cursor, LEAT_ENDING_BATCH,
                                                      report->ids, &count);
    if (leat_ventilator_broke(v, err)) {
        return;
    }
    report->count = count;
    if (count == 0) {
        if (leat_id_is_zero(&report->cursor)) {
            v->counts.ending = 0; /* nothing is there, whatever was counted */
        }
        report->cursor = (struct leat_id){0};
        report->at_us = v->counts.ending == 0 ? LEAT_NEVER_US : v->now.mono_us + NEXT_PASS_US;
        return;
    }
    report->batch++;
    send_batch(v, out);
}

void leat_ventilator_tend_report(struct leat_ventilator *v, struct leat_out *out)
{
    if (v->now.mono_us < v->report.at_us) {
        return;
    }
    if (v->report.count > 0) {
        send_batch(v, out);
    } else {
        next_batch(v, out);
    }
}

void leat_ventilator_on_stored(struct leat_ventilator *v, const struct leat_msg_stored *msg)
{
    struct leat_ventilator_report *report = &v->report;
    if (leat_id_equal(&msg->sender, &v->config.sender) && msg->batch == report->batch &&
        report->count > 0) {
        report->cursor = report->ids[report->count - 1];
        report->count = 0;
        report->at_us = v->now.mono_us;
    }
}

void leat_ventilator_on_sink_busy(struct leat_ventilator *v, const struct leat_msg_busy *msg)
{
    struct leat_ventilator_report *report = &v->report;
    if (leat_id_equal(&msg->sender, &v->config.sender) && msg->batch == report->batch &&
        report->count > 0) {
        uint64_t wait_ms = msg->retry_after_ms;
        uint64_t most_ms = (uint64_t)LEAT_RESEND_MS_MAX;
        wait_ms = wait_ms < most_ms ? wait_ms : most_ms;
        report->at_us = v->now.mono_us + (int64_t)wait_ms * LEAT_US_PER_MS;
    }
}

void leat_ventilator_report_again(struct leat_ventilator *v)
{
    if (v->counts.ending > 0) {
        v->report.count = 0;
        v->report.cursor = (struct leat_id){0};
        v->report.at_us = v->now.mono_us;
    }
}
