/* QUERY and RERUN, and the gauges that only pass through. */
#include "broker/sink/sink_inside.h"

static size_t result_bytes(const struct leat_item_result *result)
{
    size_t bytes =
        256 + result->error.size + result->worker.size + result->output.size + result->body.size;
    for (size_t i = 0; i < result->headers.count; i++) {
        bytes += result->headers.items[i].name.size + result->headers.items[i].value.size;
    }
    return bytes;
}

/* The result of one id, with output if that fits. */
static enum leat_err look(struct leat_sink *sink, const struct leat_id *id, bool with_output,
                          bool first, struct leat_out *out, struct leat_item_result *ret_result)
{
    enum leat_err err = leat_sink_store_read(sink->store, id, with_output, &out->arena, ret_result);
    if (err == LEAT_ERR_LIMIT && first && with_output) {
        /* Better the result without its bytes than to be asked for it for ever. */
        err = leat_sink_store_read(sink->store, id, false, &out->arena, ret_result);
        if (err == LEAT_OK) {
            ret_result->truncated = true;
        }
    }
    return err;
}

void leat_sink_on_query(struct leat_sink *sink, const struct leat_event *event,
                        struct leat_out *out)
{
    const struct leat_msg_query *query = &event->msg->query;
    size_t count = 0;
    size_t bytes = 0;
    size_t looked_at = 0;
    struct leat_item_result *items =
        leat_arena_take(&out->arena, query->jobs.count * sizeof *items);
    if (items == NULL) {
        leat_sink_refuse(sink, event, out, LEAT_ERR_BUSY, "no memory for the answer", query->ref);
        return;
    }
    while (looked_at < query->jobs.count && bytes < LEAT_BATCH_BYTES_TARGET) {
        const struct leat_id *id = &query->jobs.items[looked_at].id;
        enum leat_err err = look(sink, id, query->with_output, count == 0, out, &items[count]);
        if (err == LEAT_ERR_IO) {
            leat_sink_break(sink, out);
            return;
        }
        if (err == LEAT_ERR_LIMIT && count > 0) {
            break;
        }
        if (err == LEAT_ERR_CORRUPT) {
            leat_out_note(out, LEAT_NOTE_RECORD_DAMAGED, id, leat_str_of("results"), 0);
        }
        if (err == LEAT_OK && leat_policy_serves(event->who, items[count].queue)) {
            bytes += result_bytes(&items[count]);
            count++;
        }
        looked_at++;
    }
    struct leat_msg *reply = leat_out_send(out, event->link, event->peer, LEAT_MSG_ANSWERS);
    reply->answers.ref = query->ref;
    reply->answers.results.items = items;
    reply->answers.results.count = count;
    reply->answers.looked_at = looked_at;
}

void leat_sink_on_rerun(struct leat_sink *sink, const struct leat_event *event,
                        struct leat_out *out)
{
    const struct leat_msg_rerun *rerun = &event->msg->rerun;
    size_t marked = 0;
    for (size_t i = 0; i < rerun->jobs.count; i++) {
        enum leat_err err = leat_sink_store_mark_rerun(sink->store, &rerun->jobs.items[i].id);
        if (err == LEAT_ERR_IO) {
            leat_sink_break(sink, out);
            return;
        }
        if (err == LEAT_OK) {
            marked++;
        }
    }
    struct leat_str text = leat_arena_format(&out->arena, "%zu marked", marked);
    struct leat_msg *reply = leat_out_send(out, event->link, event->peer, LEAT_MSG_DONE);
    reply->done.ref = rerun->ref;
    reply->done.text = text;
}

/* false: no memory, and then the gauges are dropped, as they may be. */
static bool copy_str(struct leat_arena *arena, struct leat_str *text)
{
    *text = leat_arena_copy_str(arena, *text);
    return text->size == 0 || text->data != NULL;
}

static bool copy_gauges(struct leat_msg_gauges *gauges, struct leat_arena *arena)
{
    struct leat_item_queue_gauge *queues =
        leat_arena_take(arena, gauges->queues.count * sizeof *queues);
    struct leat_item_worker_gauge *workers =
        leat_arena_take(arena, gauges->workers.count * sizeof *workers);
    if (queues == NULL || workers == NULL) {
        return false;
    }
    for (size_t i = 0; i < gauges->queues.count; i++) {
        queues[i] = gauges->queues.items[i];
        if (!copy_str(arena, &queues[i].queue)) {
            return false;
        }
    }
    for (size_t i = 0; i < gauges->workers.count; i++) {
        workers[i] = gauges->workers.items[i];
        if (!copy_str(arena, &workers[i].name) || !copy_str(arena, &workers[i].queues)) {
            return false;
        }
    }
    gauges->queues.items = queues;
    gauges->workers.items = workers;
    return true;
}

void leat_sink_on_gauges(const struct leat_event *event, struct leat_out *out)
{
    static const struct leat_peer nobody;
    struct leat_msg_gauges gauges = event->msg->gauges;
    if (copy_gauges(&gauges, &out->arena)) {
        leat_out_send(out, LEAT_LINK_METRICS, nobody, LEAT_MSG_GAUGES)->gauges = gauges;
    }
}
