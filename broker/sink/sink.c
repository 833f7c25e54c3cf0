#include "broker/sink/sink.h"

#include <assert.h>
#include <stdlib.h>

#include "broker/sink/sink_inside.h"

void leat_sink_config_init(struct leat_sink_config *config)
{
    *config = (struct leat_sink_config){
        .keep_results_ms = LEAT_RESULT_KEEP_MS,
        .keep_results_max = LEAT_RESULTS_KEPT_DEFAULT,
        .keep_failures_ms = LEAT_FAILURE_KEEP_MS,
        .settled_window = LEAT_SETTLED_WINDOW,
        .events = true,
    };
}

struct leat_sink *leat_sink_new(const struct leat_sink_config *config,
                                struct leat_sink_store *store)
{
    assert(config->keep_results_ms >= 1 && config->keep_results_max >= 1);
    assert(config->keep_failures_ms >= 1 && config->settled_window >= 1);
    struct leat_sink *sink = calloc(1, sizeof *sink);
    if (sink == NULL) {
        abort();
    }
    sink->config = *config;
    sink->store = store;
    leat_rng_init(&sink->rng, config->seed);
    return sink;
}

void leat_sink_destroy(struct leat_sink **sink)
{
    free(*sink);
    *sink = NULL;
}

void leat_sink_publish(struct leat_sink *sink, bool events)
{
    sink->config.events = events;
}

/* In the batch of what changed it: a restart must find both or neither. */
static void save_meta(struct leat_sink *sink, struct leat_now now)
{
    if (sink->meta_changed) {
        sink->meta.steady_us = leat_sink_steady(sink, now).us;
        leat_sink_store_save(sink->store, &sink->meta);
        sink->meta_changed = false;
    }
}

enum leat_err leat_sink_recover(struct leat_sink *sink, struct leat_now now, struct leat_out *out,
                                struct leat_why *why)
{
    struct leat_sink_meta meta = {0};
    enum leat_err err = leat_sink_store_load(sink->store, &meta, why);
    if (err == LEAT_ERR_NOT_FOUND) {
        struct leat_id_generator ids;
        leat_id_generator_init(&ids, &sink->rng);
        meta.stream = leat_id_next(&ids, now.wall);
        leat_sink_store_save(sink->store, &meta);
    } else if (err != LEAT_OK) {
        return err;
    }
    uint64_t lost = 0;
    err = leat_sink_store_repair_log(sink->store, &meta, &lost);
    if (err != LEAT_OK) {
        return leat_fail(why, err, "the log cannot be read, or made anew: numbers %llu to %llu",
                         (unsigned long long)meta.trimmed + 1, (unsigned long long)meta.last);
    }
    if (lost > 0) {
        leat_out_note(out, LEAT_NOTE_RECORD_DAMAGED, NULL, leat_str_of("log"), 0);
        leat_out_note(out, LEAT_NOTE_RECORD_MENDED, NULL, leat_str_of("log"), (int64_t)lost);
        leat_sink_store_save(sink->store, &meta);
    }
    int64_t start_us = now.wall.us > meta.steady_us ? now.wall.us : meta.steady_us;
    sink->steady_base_us = start_us - now.mono_us;
    sink->meta = meta;
    sink->sent = meta.confirmed;
    leat_out_note(out, LEAT_NOTE_RECOVERED, &meta.stream, leat_str_of("sink"),
                  (int64_t)(meta.successes + meta.failures));
    leat_sink_retire(sink, now, out);
    save_meta(sink, now);
    return LEAT_OK;
}

struct leat_wall leat_sink_steady(const struct leat_sink *sink, struct leat_now now)
{
    return (struct leat_wall){sink->steady_base_us + now.mono_us};
}

void leat_sink_break(struct leat_sink *sink, struct leat_out *out)
{
    if (!sink->ended) {
        sink->ended = true;
        leat_out_exit(out, LEAT_SINK_EXIT_STORE);
    }
}

void leat_sink_refuse(struct leat_sink *sink, const struct leat_event *event, struct leat_out *out,
                      enum leat_err code, const char *text, uint64_t ref)
{
    struct leat_str words = leat_arena_copy_str(&out->arena, leat_str_of(text));
    if (words.data == NULL) {
        words.size = 0;
    }
    sink->refused_total++;
    struct leat_msg *reply = leat_out_send(out, event->link, event->peer, LEAT_MSG_ERROR);
    reply->error.code = code;
    reply->error.text = words;
    reply->error.type = event->msg == NULL ? 0 : event->msg->type;
    reply->error.ref = ref;
    leat_out_note(out, LEAT_NOTE_MESSAGE_REFUSED, NULL, words, (int64_t)code);
}

static void end(struct leat_sink *sink, const char *reason, struct leat_out *out)
{
    sink->ended = true;
    leat_out_note(out, LEAT_NOTE_STOPPED, NULL, leat_str_of(reason), 0);
    leat_out_exit(out, 0);
}

/* Only from the ventilator that follows the stream: nobody else can know that the cluster is done.
 */
static void on_quit(struct leat_sink *sink, const struct leat_event *event, struct leat_out *out)
{
    if (!sink->followed || !leat_peer_equal(sink->follower, event->peer)) {
        leat_sink_refuse(sink, event, out, LEAT_ERR_STATE,
                         "QUIT is taken only from the ventilator that follows the stream", 0);
        return;
    }
    end(sink, "quit", out);
}

static void on_control(struct leat_sink *sink, const struct leat_event *event, struct leat_out *out)
{
    const struct leat_msg_control *control = &event->msg->control;
    if (!leat_str_equal(control->verb, leat_str_of("ping"))) {
        leat_sink_refuse(sink, event, out, LEAT_ERR_STATE,
                         "the sink knows only the control verb ping", control->ref);
        return;
    }
    struct leat_msg *reply = leat_out_send(out, event->link, event->peer, LEAT_MSG_DONE);
    reply->done.ref = control->ref;
    reply->done.text = leat_str_of(LEAT_VERSION);
}

static void on_message(struct leat_sink *sink, const struct leat_event *event, struct leat_out *out)
{
    /* The table of messages grows; what the sink does not know by name is refused below. */
    switch ((int)event->msg->type) {
    case LEAT_MSG_RESULTS:
        leat_sink_on_results(sink, event, out);
        return;
    case LEAT_MSG_FOLLOW:
        leat_sink_on_follow(sink, event, out);
        return;
    case LEAT_MSG_GAUGES:
        leat_sink_on_gauges(event, out);
        return;
    case LEAT_MSG_QUERY:
        leat_sink_on_query(sink, event, out);
        return;
    case LEAT_MSG_RERUN:
        leat_sink_on_rerun(sink, event, out);
        return;
    case LEAT_MSG_CONTROL:
        on_control(sink, event, out);
        return;
    case LEAT_MSG_QUIT:
        on_quit(sink, event, out);
        return;
    case LEAT_MSG_ERROR:
        /* Never answered, or two peers could send each other errors for ever. */
        leat_out_note(out, LEAT_NOTE_MESSAGE_REFUSED, NULL, event->msg->error.text,
                      (int64_t)event->msg->error.code);
        return;
    default:
        leat_sink_refuse(sink, event, out, LEAT_ERR_STATE, "the sink takes no message of this type",
                         0);
        return;
    }
}

static void on_revoked(struct leat_sink *sink, const struct leat_event *event)
{
    bool is_follower = sink->followed && sink->follower_has_key &&
                       leat_key_equal(&sink->follower_key, &event->who->key);
    if (is_follower && (event->instead == NULL || event->instead->role != LEAT_ROLE_BROKER)) {
        leat_sink_forget_follower(sink);
    }
}

static void on_space(struct leat_sink *sink, bool full, struct leat_out *out)
{
    if (full != sink->store_full) {
        leat_out_note(out, full ? LEAT_NOTE_STORE_FULL : LEAT_NOTE_STORE_ROOM, NULL,
                      leat_str_of(full ? "disk" : ""), 0);
    }
    sink->store_full = full;
}

void leat_sink_step(struct leat_sink *sink, const struct leat_event *event, struct leat_out *out)
{
    if (sink->ended) {
        if (event->kind == LEAT_EVENT_STOP) {
            leat_out_exit(out, 0);
        }
        return;
    }
    sink->recorded_now = 0;
    switch (event->kind) {
    case LEAT_EVENT_TICK:
        break;
    case LEAT_EVENT_MESSAGE:
        on_message(sink, event, out);
        break;
    case LEAT_EVENT_MALFORMED:
        leat_sink_refuse(sink, event, out, event->error, event->why, 0);
        break;
    case LEAT_EVENT_UNREACHABLE:
        if (sink->followed && leat_peer_equal(sink->follower, event->peer)) {
            leat_sink_forget_follower(sink);
        }
        break;
    case LEAT_EVENT_STOP:
        end(sink, "stop", out);
        break;
    case LEAT_EVENT_SPACE:
        on_space(sink, event->store_full, out);
        break;
    case LEAT_EVENT_FORBIDDEN:
        leat_sink_refuse(sink, event, out, LEAT_ERR_FORBIDDEN, event->why,
                         leat_policy_ref(event->msg));
        break;
    case LEAT_EVENT_REVOKED:
        on_revoked(sink, event);
        break;
    }
    if (!sink->ended) {
        leat_sink_tend_stream(sink, event->now.mono_us, out);
        leat_sink_retire(sink, event->now, out);
    }
    save_meta(sink, event->now);
}

int64_t leat_sink_deadline_us(const struct leat_sink *sink)
{
    if (sink->ended) {
        return LEAT_NEVER_US;
    }
    return leat_min_us(sink->retire_at_us, leat_sink_stream_deadline_us(sink));
}

struct leat_sink_info leat_sink_info(const struct leat_sink *sink)
{
    return (struct leat_sink_info){
        .stream = sink->meta.stream,
        .base = sink->meta.base,
        .trimmed = sink->meta.trimmed,
        .confirmed = sink->meta.confirmed,
        .sent = sink->sent,
        .told = sink->meta.told,
        .last = sink->meta.last,
        .followed = sink->followed,
        .follower = sink->follower,
        .successes = sink->meta.successes,
        .failures = sink->meta.failures,
        .recorded_total = sink->meta.recorded_total,
        .duplicate_total = sink->duplicate_total,
        .removed_total = sink->removed_total,
        .busy_total = sink->busy_total,
        .refused_total = sink->refused_total,
        .store_full = sink->store_full,
        .ended = sink->ended,
    };
}

enum leat_err leat_sink_check(const struct leat_sink *sink, struct leat_why *why)
{
    const struct leat_sink_meta *meta = &sink->meta;
    if (meta->base > meta->confirmed) {
        return leat_fail(why, LEAT_ERR_STATE, "base %llu is above confirmed %llu",
                         (unsigned long long)meta->base, (unsigned long long)meta->confirmed);
    }
    if (meta->trimmed > meta->confirmed || meta->confirmed > sink->sent ||
        sink->sent > meta->last) {
        return leat_fail(why, LEAT_ERR_STATE,
                         "trimmed %llu <= confirmed %llu <= sent %llu <= last %llu does not hold",
                         (unsigned long long)meta->trimmed, (unsigned long long)meta->confirmed,
                         (unsigned long long)sink->sent, (unsigned long long)meta->last);
    }
    if (sink->sent > meta->told || meta->told > meta->last) {
        return leat_fail(why, LEAT_ERR_STATE, "sent %llu <= told %llu <= last %llu does not hold",
                         (unsigned long long)sink->sent, (unsigned long long)meta->told,
                         (unsigned long long)meta->last);
    }
    if (sink->sent - meta->confirmed > sink->config.settled_window) {
        return leat_fail(why, LEAT_ERR_STATE, "%llu ids are unconfirmed, the window is %llu",
                         (unsigned long long)(sink->sent - meta->confirmed),
                         (unsigned long long)sink->config.settled_window);
    }
    return leat_sink_store_check(sink->store, meta, why);
}
