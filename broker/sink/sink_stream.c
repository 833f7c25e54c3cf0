/* The stream of settled ids, towards the ventilator that follows it. */
#include <string.h>

#include "broker/sink/sink_inside.h"

#define REPEAT_MIN_US (1 * LEAT_US_PER_S)
#define REPEAT_MAX_US (16 * LEAT_US_PER_S)

void leat_sink_forget_follower(struct leat_sink *sink)
{
    sink->followed = false;
    sink->sent = sink->meta.confirmed;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Numbers up to `last` are in the log, always; a hole or a damaged block is damage, and to go on
 * without it would let the ventilator keep jobs for ever or forget the wrong ones. */
enum leat_err leat_sink_mend_log(struct leat_sink *sink, struct leat_out *out)
{
    uint64_t mended = 0;
    leat_out_note(out, LEAT_NOTE_RECORD_DAMAGED, NULL, leat_str_of("log"), 0);
    enum leat_err err = leat_sink_store_repair_log(sink->store, &sink->meta, &mended);
    if (err == LEAT_OK) {
        leat_out_note(out, LEAT_NOTE_RECORD_MENDED, NULL, leat_str_of("log"), (int64_t)mended);
        sink->meta_changed = true;
    }
    return err;
}

/* Sends the next ids in one SETTLED; false when there are none to send. */
static bool send_some(struct leat_sink *sink, struct leat_out *out)
{
    uint64_t room = sink->config.settled_window - (sink->sent - sink->meta.confirmed);
    size_t most =
        (size_t)smaller(smaller(room, sink->meta.last - sink->sent), LEAT_BATCH_ITEMS_MAX);
    if (most == 0) {
        return false;
    }
    struct leat_item_job_id *ids = leat_arena_take_unset(&out->arena, most * sizeof *ids);
    size_t count = 0;
    if (ids == NULL) {
        return false; /* the rest goes with a later step */
    }
    enum leat_err err = leat_sink_store_stream(sink->store, sink->sent + 1, most, ids, &count);
    if ((err == LEAT_OK && count < most) || err == LEAT_ERR_CORRUPT) {
        err = leat_sink_mend_log(sink, out);
        if (err == LEAT_OK) {
            err = leat_sink_store_stream(sink->store, sink->sent + 1, most, ids, &count);
        }
    }
    if (err != LEAT_OK || count == 0) {
        leat_sink_break(sink, out);
        return false;
    }
    struct leat_msg *msg =
        leat_out_send_patiently(out, LEAT_LINK_PEERS, sink->follower, LEAT_MSG_SETTLED);
    msg->settled.stream = sink->meta.stream;
    msg->settled.first = sink->sent + 1 - sink->meta.base;
    msg->settled.jobs.items = ids;
    msg->settled.jobs.count = count;
    sink->sent += count;
    if (sink->sent > sink->meta.told) {
        sink->meta.told = sink->sent;
        sink->meta_changed = true;
    }
    return true;
}

bool leat_sink_push(struct leat_sink *sink, int64_t mono_us, struct leat_out *out)
{
    bool any = false;
    while (sink->followed && send_some(sink, out)) {
        any = true;
    }
    if (any) {
        sink->quiet_since_us = mono_us;
    }
    return any;
}

/* A ventilator that does not know this stream takes it only from its 1 on. When that is confirmed
 * and gone, or the two remember different pasts (one was restored from an older copy), what is not
 * confirmed goes on as a stream of another name, from 1. */
static void rename_stream(struct leat_sink *sink, struct leat_wall wall)
{
    struct leat_id_generator ids;
    leat_id_generator_init(&ids, &sink->rng);
    sink->meta.stream = leat_id_next(&ids, wall);
    sink->meta.base = sink->meta.confirmed;
    sink->meta_changed = true;
}

static void take_follower(struct leat_sink *sink, const struct leat_event *event,
                          struct leat_out *out)
{
    sink->followed = true;
    sink->follower = event->peer;
    sink->sent = sink->meta.confirmed;
    sink->follower_has_key = event->who != NULL;
    if (event->who != NULL) {
        sink->follower_key = event->who->key;
    }
    sink->repeat_after_us = REPEAT_MIN_US;
    sink->quiet_since_us = event->now.mono_us;
    leat_out_note(out, LEAT_NOTE_STREAM_STARTED, &sink->meta.stream, leat_str_of(""),
                  (int64_t)sink->meta.confirmed);
}

static void confirm(struct leat_sink *sink, uint64_t number, int64_t mono_us)
{
    sink->meta.confirmed = number;
    sink->meta_changed = true;
    if (sink->sent < number) {
        sink->sent = number;
    }
    sink->repeat_after_us = REPEAT_MIN_US;
    sink->quiet_since_us = mono_us;
}

void leat_sink_on_follow(struct leat_sink *sink, const struct leat_event *event,
                         struct leat_out *out)
{
    const struct leat_msg_follow *follow = &event->msg->follow;
    bool same_peer = sink->followed && leat_peer_equal(sink->follower, event->peer);
    bool same_stream = leat_id_equal(&follow->stream, &sink->meta.stream);
    uint64_t confirmed = sink->meta.confirmed - sink->meta.base; /* as the ventilator counts */
    bool behind = follow->settled < confirmed;
    /* Not by `last`: a sink restored from an older copy may have given the same numbers again, to
     * other jobs, before the ventilator came. */
    bool ahead = follow->settled > sink->meta.told - sink->meta.base;
    bool stalled = same_peer && same_stream && follow->settled == confirmed &&
                   sink->sent > sink->meta.confirmed &&
                   event->now.mono_us - sink->quiet_since_us >= REPEAT_MIN_US;

    if ((!same_stream && confirmed > 0) || (same_stream && (ahead || (behind && !same_peer)))) {
        rename_stream(sink, event->now.wall);
        same_stream = false;
    }
    if (same_stream && follow->settled > confirmed) {
        confirm(sink, sink->meta.base + follow->settled, event->now.mono_us);
    }
    if (!same_peer || !same_stream) {
        take_follower(sink, event, out);
    } else if (stalled) {
        sink->sent = sink->meta.confirmed;
    }
    if (!leat_sink_push(sink, event->now.mono_us, out) && !sink->ended) {
        struct leat_msg *msg =
            leat_out_send_patiently(out, LEAT_LINK_PEERS, sink->follower, LEAT_MSG_SETTLED);
        msg->settled.stream = sink->meta.stream;
        msg->settled.first = sink->meta.confirmed + 1 - sink->meta.base;
    }
}

/* When SETTLED that was not confirmed is sent again. */
static int64_t repeat_at_us(const struct leat_sink *sink)
{
    if (!sink->followed || sink->sent == sink->meta.confirmed) {
        return LEAT_NEVER_US;
    }
    return leat_add_us(sink->quiet_since_us, sink->repeat_after_us);
}

void leat_sink_tend_stream(struct leat_sink *sink, int64_t mono_us, struct leat_out *out)
{
    if (mono_us >= repeat_at_us(sink)) {
        sink->sent = sink->meta.confirmed;
        sink->repeat_after_us = leat_min_us(2 * sink->repeat_after_us, REPEAT_MAX_US);
    }
    (void)leat_sink_push(sink, mono_us, out);
}

int64_t leat_sink_stream_deadline_us(const struct leat_sink *sink)
{
    return repeat_at_us(sink);
}
