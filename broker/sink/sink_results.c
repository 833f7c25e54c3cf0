/* RESULTS: the first final result of each job wins. */
#include "broker/sink/sink_inside.h"
#include "core/name.h"

static bool status_fits_failure(uint64_t status, uint64_t failure)
{
    bool named = failure == LEAT_FAILURE_NONE;
#define FAILURE(NAME, number, text, retried) named = named || failure == (number);
#include "core/failure.def"
#undef FAILURE
    switch (status) {
    case LEAT_STATE_SUCCEEDED:
        return failure == LEAT_FAILURE_NONE;
    case LEAT_STATE_FAILED:
        return named && failure != LEAT_FAILURE_NONE;
    case LEAT_STATE_EXPIRED:
    case LEAT_STATE_CANCELLED:
        return named;
    default:
        return false;
    }
}

static enum leat_err refuse_result(const struct leat_item_result *result, enum leat_err err,
                                   const char *text, struct leat_why *why)
{
    char id[LEAT_ID_TEXT_BYTES];
    return leat_fail(why, err, "job %s: %s", leat_id_format(&result->id, id), text);
}

/* `before` is the result before it, which was found valid; NULL for the first. Neighbours mostly
 * share queue and type. */
static enum leat_err validate(const struct leat_item_result *result,
                              const struct leat_item_result *before, struct leat_why *why)
{
    if (leat_id_is_zero(&result->id)) {
        return leat_fail(why, LEAT_ERR_INVALID, "a result has the zero id");
    }
    struct leat_why what;
    enum leat_err err = LEAT_OK;
    if (before == NULL || !leat_str_equal(result->queue, before->queue)) {
        err = leat_name_check_queue(result->queue, &what);
    }
    if (err == LEAT_OK && (before == NULL || !leat_str_equal(result->type, before->type))) {
        err = leat_name_check_type(result->type, &what);
    }
    if (err == LEAT_OK && !status_fits_failure(result->status, result->failure)) {
        err = leat_fail(&what, LEAT_ERR_INVALID, "status %llu with failure %llu",
                        (unsigned long long)result->status, (unsigned long long)result->failure);
    }
    if (err == LEAT_OK && result->error.size > LEAT_ERROR_BYTES_MAX) {
        err = leat_fail(&what, LEAT_ERR_LIMIT, "error is %zu bytes, limit is %d",
                        result->error.size, LEAT_ERROR_BYTES_MAX);
    }
    return err == LEAT_OK ? LEAT_OK : refuse_result(result, err, what.text, why);
}

/* The FINISHED items of one step. Neighbours mostly share queue and type, so do their copies. */
struct finished {
    struct leat_item_ended *items; /* NULL: no memory, and then nothing is told: it may drop */
    size_t count;
    struct leat_str queue;
    struct leat_str type;
};

static struct leat_str shared_copy(struct leat_arena *arena, struct leat_str text,
                                   struct leat_str *last)
{
    if (!leat_str_equal(text, *last)) {
        *last = leat_arena_copy_str(arena, text);
        if (last->data == NULL) {
            last->size = 0;
        }
    }
    return *last;
}

static void add_finished(struct finished *finished, const struct leat_item_result *result,
                         struct leat_wall stored, struct leat_arena *arena)
{
    if (finished->items == NULL) {
        return;
    }
    int64_t total_us = 0; /* two clocks: never negative, never nonsense */
    if (result->accepted_us > 0 && stored.us > result->accepted_us) {
        total_us = stored.us - result->accepted_us;
    }
    finished->items[finished->count++] = (struct leat_item_ended){
        .id = result->id,
        .queue = shared_copy(arena, result->queue, &finished->queue),
        .type = shared_copy(arena, result->type, &finished->type),
        .status = result->status,
        .failure = result->failure,
        .attempts = result->attempts,
        .wait_us = result->wait_us,
        .run_us = result->run_us,
        .total_us = (uint64_t)total_us,
    };
}

/* A later result. Its job may still be alive at the ventilator, so its id must reach the ventilator
 * again; unless its number has never been sent, else senders that repeat while no ventilator
 * listens would make the stream grow without bound. A number that was sent, be it in an earlier
 * life, may have been taken: the job may have been forgotten since, and submitted anew. */
static enum leat_err take_duplicate(struct leat_sink *sink, const struct leat_item_result *result,
                                    const struct leat_sink_kept *kept, struct leat_wall stored,
                                    struct leat_out *out)
{
    sink->duplicate_total++;
    leat_out_note(out, LEAT_NOTE_RESULT_DUPLICATE, &result->id, result->worker,
                  (int64_t)result->delivery);
    if (kept != NULL && kept->number > sink->meta.told) {
        return LEAT_OK;
    }
    sink->meta_changed = true;
    sink->meta.last++;
    sink->meta.repeats++;
    return leat_sink_store_settle_again(sink->store, &result->id, stored, sink->meta.last);
}

static enum leat_err take_first(struct leat_sink *sink, const struct leat_item_result *result,
                                struct leat_wall stored)
{
    uint64_t number = sink->meta.last + 1;
    enum leat_err err = leat_sink_store_record(sink->store, result, stored, number);
    if (err != LEAT_OK) {
        return err;
    }
    bool success = result->status == LEAT_STATE_SUCCEEDED;
    sink->meta.last = number;
    sink->meta.recorded_total++;
    if (success) {
        sink->meta.successes++;
    } else {
        sink->meta.failures++;
    }
    sink->meta_changed = true;
    sink->recorded_now++;
    if (!success) {
        leat_sink_retention_added(sink, stored);
    }
    return LEAT_OK;
}

static enum leat_err take(struct leat_sink *sink, const struct leat_item_result *result,
                          struct leat_now now, struct finished *finished, struct leat_out *out)
{
    struct leat_wall stored = leat_sink_steady(sink, now);
    struct leat_sink_kept kept;
    enum leat_err err = leat_sink_store_find(sink->store, &result->id, &kept);
    switch ((int)err) {
    case LEAT_OK:
        return take_duplicate(sink, result, &kept, stored, out);
    case LEAT_ERR_CORRUPT:
        /* There is a result, though it cannot be read: what comes later may not replace it. */
        leat_out_note(out, LEAT_NOTE_RECORD_DAMAGED, &result->id, leat_str_of("results"), 0);
        return take_duplicate(sink, result, NULL, stored, out);
    case LEAT_ERR_NOT_FOUND:
        err = take_first(sink, result, stored);
        if (err == LEAT_OK) {
            add_finished(finished, result, now.wall, &out->arena);
        }
        return err;
    default:
        return err;
    }
}

/* An event has a queue as its topic, so each holds neighbours of one queue. One event per job would
 * cost more than storing the result, and a single commit could set free more events than a
 * subscriber has room for, however quickly it reads. */
static void publish(const struct finished *finished, struct leat_out *out)
{
    static const struct leat_peer nobody;
    struct leat_msg_finished *event = NULL;
    for (size_t i = 0; i < finished->count; i++) {
        struct leat_item_ended *item = &finished->items[i];
        if (event == NULL || event->jobs.count == LEAT_EVENT_JOBS_MAX ||
            !leat_str_equal(item->queue, event->jobs.items[0].queue)) {
            event = &leat_out_send(out, LEAT_LINK_EVENTS, nobody, LEAT_MSG_FINISHED)->finished;
            event->jobs.items = item;
        }
        event->jobs.count++;
    }
}

static void tell(struct leat_sink *sink, const struct finished *finished, struct leat_out *out)
{
    static const struct leat_peer nobody;
    if (finished->count == 0) {
        return;
    }
    struct leat_msg *msg = leat_out_send(out, LEAT_LINK_METRICS, nobody, LEAT_MSG_FINISHED);
    msg->finished.jobs.items = finished->items;
    msg->finished.jobs.count = finished->count;
    if (sink->config.events) {
        publish(finished, out);
    }
}

static void answer_busy(struct leat_sink *sink, const struct leat_event *event,
                        struct leat_out *out)
{
    sink->busy_total++;
    struct leat_msg *reply = leat_out_send(out, event->link, event->peer, LEAT_MSG_BUSY);
    reply->busy.sender = event->msg->results.sender;
    reply->busy.batch = event->msg->results.batch;
    reply->busy.retry_after_ms = LEAT_BUSY_RETRY_MS;
    reply->busy.reason = leat_str_of("the sink's store is full");
}

static void take_all(struct leat_sink *sink, const struct leat_event *event, struct leat_out *out)
{
    const struct leat_msg_results *results = &event->msg->results;
    struct finished finished = {0};
    finished.items =
        leat_arena_take_unset(&out->arena, results->results.count * sizeof *finished.items);
    for (size_t i = 0; i < results->results.count; i++) {
        enum leat_err err = take(sink, &results->results.items[i], event->now, &finished, out);
        if (err == LEAT_ERR_IO) {
            leat_sink_break(sink, out);
            return;
        }
        if (err != LEAT_OK) {
            /* What was recorded before it stays, which does no harm: STORED is not said. */
            tell(sink, &finished, out);
            leat_sink_refuse(sink, event, out, err, "a result cannot be written as a record",
                             results->batch);
            return;
        }
    }
    struct leat_msg *reply = leat_out_send(out, event->link, event->peer, LEAT_MSG_STORED);
    reply->stored.sender = results->sender;
    reply->stored.batch = results->batch;
    tell(sink, &finished, out);
}

void leat_sink_on_results(struct leat_sink *sink, const struct leat_event *event,
                          struct leat_out *out)
{
    const struct leat_msg_results *results = &event->msg->results;
    struct leat_why why;
    const struct leat_item_result *before = NULL;
    for (size_t i = 0; i < results->results.count; i++) {
        const struct leat_item_result *result = &results->results.items[i];
        enum leat_err err = validate(result, before, &why);
        before = result;
        if (err != LEAT_OK) {
            leat_sink_refuse(sink, event, out, err, why.text, results->batch);
            return;
        }
    }
    if (sink->store_full) {
        answer_busy(sink, event, out);
        return;
    }
    take_all(sink, event, out);
    leat_sink_store_close_block(sink->store);
}
