#include "broker/sink/metrics_actor.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "broker/sink/reply.h"
#include "broker/sink/stats.h"
#include "io/clock.h"
#include "io/log.h"
#include "io/random.h"
#include "io/zap.h"
#include "wire/codec.h"

/* Updates and requests that are taken in one turn, so that neither starves the other. */
#define BUDGET_UPDATES  64
#define BUDGET_REQUESTS 8
#define ARENA_BYTES     (16 << 20)
/* Begins the sink's own figures on the feed; no message (a msgpack array) begins so. */
#define FIGURES_TAG 0x00

struct leat_metrics_actor {
    zactor_t *thread;
    zsock_t *feed; /* the sink's end */
};

/* What the thread is given, and keeps. */
struct actor {
    zsock_t *feed;    /* owned once the thread runs */
    zsock_t *replies; /* the same */
    struct leat_sink_view view;
    struct leat_guard_view keys; /* opened by the thread */
    struct leat_guard *guard;
    struct leat_metrics *metrics;
    struct leat_stats stats;
    struct leat_arena arena;
    struct leat_wire_buffer buffer;
};

static int64_t mono_us(void)
{
    struct leat_now now;
    leat_clock_now(&now);
    return now.mono_us;
}

/* ---- the thread ---- */

static void take_update(struct actor *actor, struct leat_bytes frame)
{
    if (frame.size == 1 + sizeof(struct leat_metrics_sink) && frame.data[0] == FIGURES_TAG) {
        struct leat_metrics_sink figures;
        memcpy(&figures, frame.data + 1, sizeof figures);
        leat_metrics_set_sink(actor->metrics, &figures);
        return;
    }
    struct leat_msg msg;
    struct leat_why why;
    leat_arena_clear(&actor->arena);
    enum leat_err err = leat_wire_decode(frame, &actor->arena, &msg, &why);
    if (err != LEAT_OK) {
        leat_log_reason(LEAT_LOG_WARN, "metrics_update_refused", "%s", why.text);
        return;
    }
    if (msg.type == LEAT_MSG_FINISHED) {
        leat_metrics_finished(actor->metrics, &msg.finished);
    } else if (msg.type == LEAT_MSG_GAUGES) {
        leat_metrics_gauges(actor->metrics, &msg.gauges, mono_us());
    }
}

static bool drain_feed(struct actor *actor)
{
    zmq_msg_t frame;
    struct leat_peer nobody;
    unsigned taken = 0;
    zmq_msg_init(&frame);
    while (taken < BUDGET_UPDATES &&
           leat_socket_recv(actor->feed, &nobody, &frame) != LEAT_RECEIVED_NOTHING) {
        take_update(actor, leat_bytes_of(zmq_msg_data(&frame), zmq_msg_size(&frame)));
        taken++;
    }
    zmq_msg_close(&frame);
    return taken == BUDGET_UPDATES;
}

static enum leat_err check_rights(struct actor *actor, const struct leat_principal *who,
                                  const struct leat_request *request, struct leat_why *why)
{
    if (!leat_guard_view_in_use(&actor->keys)) {
        return LEAT_OK;
    }
    enum leat_err err =
        leat_policy_check_request(who, leat_request_name(request->verb), request->queue, why);
    if (err != LEAT_OK) {
        leat_log_reason(LEAT_LOG_WARN, "message_refused", "%s", why->text);
    }
    return err;
}

static json_t *answer(struct actor *actor, zmq_msg_t *frame, bool one_frame)
{
    struct leat_request request;
    struct leat_why why = {"a request is one frame"};
    enum leat_err err = LEAT_ERR_MALFORMED;
    const struct leat_principal *who =
        leat_guard_view_in_use(&actor->keys) ? leat_guard_view_who(&actor->keys, frame) : NULL;
    if (one_frame) {
        err = leat_request_parse(leat_bytes_of(zmq_msg_data(frame), zmq_msg_size(frame)), &request,
                                 &why);
    }
    if (err == LEAT_OK) {
        err = check_rights(actor, who, &request, &why);
    }
    actor->stats.who = who;
    return err == LEAT_OK ? leat_stats_answer(&actor->stats, &request, mono_us())
                          : leat_reply_error(err, why.text);
}

static void reply(struct actor *actor, zmq_msg_t *request, bool one_frame)
{
    bool text = leat_request_is_text(leat_bytes_of(zmq_msg_data(request), zmq_msg_size(request)));
    json_t *tree = answer(actor, request, one_frame);
    actor->stats.requests_total++;
    /* A job's error is a text; only an error reply holds an object by that name. */
    actor->stats.errors_total += json_is_object(json_object_get(tree, "error")) ? 1 : 0;
    leat_wire_buffer_clear(&actor->buffer);
    if (leat_reply_write(tree, text, &actor->buffer) != LEAT_OK) {
        json_decref(tree);
        tree = leat_reply_error(LEAT_ERR_LIMIT, "the reply is too large");
        (void)!leat_reply_write(tree, text, &actor->buffer);
    }
    json_decref(tree);
    zmq_msg_t frame;
    leat_socket_frame_copy(&frame, leat_wire_buffer_view(&actor->buffer));
    if (leat_socket_send(actor->replies, NULL, (struct leat_str){0}, &frame) != LEAT_SENT) {
        zmq_msg_close(&frame); /* who asked is gone */
    }
}

static bool drain_requests(struct actor *actor)
{
    zmq_msg_t frame;
    struct leat_peer nobody;
    unsigned taken = 0;
    struct leat_keyring *before = NULL;
    if (leat_guard_view_refresh(&actor->keys, &before)) {
        leat_keyring_release(&before);
    }
    zmq_msg_init(&frame);
    for (; taken < BUDGET_REQUESTS; taken++) {
        enum leat_received received = leat_socket_recv(actor->replies, &nobody, &frame);
        if (received != LEAT_RECEIVED && received != LEAT_RECEIVED_MALFORMED) {
            break;
        }
        reply(actor, &frame, received == LEAT_RECEIVED);
    }
    zmq_msg_close(&frame);
    return taken == BUDGET_REQUESTS;
}

/* $TERM from zactor_destroy is all that the pipe ever brings. */
static bool is_told_to_end(zsock_t *pipe)
{
    char *command = zstr_recv_nowait(pipe);
    bool end = command != NULL && strcmp(command, "$TERM") == 0;
    zstr_free(&command);
    return end;
}

static void loop(struct actor *actor, zsock_t *pipe)
{
    zmq_pollitem_t items[] = {
        {.socket = zsock_resolve(pipe), .events = ZMQ_POLLIN},
        {.socket = zsock_resolve(actor->replies), .events = ZMQ_POLLIN},
        {.socket = zsock_resolve(actor->feed), .events = ZMQ_POLLIN},
    };
    bool more = false;
    for (;;) {
        if (zmq_poll(items, 3, more ? 0 : -1) < 0 && errno != EINTR) {
            return;
        }
        if ((items[0].revents & ZMQ_POLLIN) != 0 && is_told_to_end(pipe)) {
            return;
        }
        /* Updates first: a question is answered with what was known when it was asked. */
        more = drain_feed(actor);
        more = drain_requests(actor) || more;
    }
}

static void run(zsock_t *pipe, void *argument)
{
    pthread_setname_np(pthread_self(), "leat-metrics");
    struct actor *actor = argument;
    actor->metrics = leat_metrics_new();
    actor->stats = (struct leat_stats){
        .metrics = actor->metrics,
        .view = &actor->view,
        .started_mono_us = mono_us(),
    };
    leat_guard_view_open(&actor->keys, actor->guard);
    leat_arena_init(&actor->arena, ARENA_BYTES);
    leat_wire_buffer_init(&actor->buffer, 0);
    zsock_signal(pipe, 0);
    loop(actor, pipe);
    leat_guard_view_close(&actor->keys);
    leat_metrics_destroy(&actor->metrics);
    leat_arena_fini(&actor->arena);
    leat_wire_buffer_fini(&actor->buffer);
    zsock_destroy(&actor->feed);
    zsock_destroy(&actor->replies);
    free(actor);
}

/* ---- the sink's side ---- */

static enum leat_err open_feed(zsock_t **ret_sender, zsock_t **ret_receiver, struct leat_why *why)
{
    char endpoint[64];
    struct leat_socket_config config;
    zsock_t *sender = NULL;
    leat_socket_config_init(&config, ZMQ_PAIR);
    config.send_hwm = LEAT_METRICS_FEED_HWM;
    config.receive_hwm = LEAT_METRICS_FEED_HWM;
    config.linger_ms = 0;
    snprintf(endpoint, sizeof endpoint, "inproc://leat-metrics-%016" PRIx64, leat_random_seed());
    config.bind = endpoint;
    enum leat_err err = leat_socket_open(&config, &sender, NULL, why);
    if (err != LEAT_OK) {
        return err;
    }
    config.bind = NULL;
    config.connect = endpoint;
    err = leat_socket_open(&config, ret_receiver, NULL, why);
    if (err != LEAT_OK) {
        zsock_destroy(&sender);
        return err;
    }
    *ret_sender = sender;
    return LEAT_OK;
}

static enum leat_err open_replies(const struct leat_metrics_actor_config *config,
                                  zsock_t **ret_socket, char ret_endpoint[LEAT_ENDPOINT_BYTES_MAX],
                                  struct leat_why *why)
{
    struct leat_socket_config socket;
    leat_socket_config_init(&socket, ZMQ_REP);
    socket.bind = config->endpoint;
    socket.allow_network = config->allow_network;
    socket.guard = config->guard;
    socket.zap_domain = LEAT_ZAP_STATS;
    socket.message_bytes_max = LEAT_METRICS_FRAME_BYTES_MAX;
    return leat_socket_open(&socket, ret_socket, ret_endpoint, why);
}

enum leat_err leat_metrics_actor_start(const struct leat_metrics_actor_config *config,
                                       struct leat_metrics_actor **ret_actor,
                                       char ret_endpoint[LEAT_ENDPOINT_BYTES_MAX],
                                       struct leat_why *why)
{
    struct leat_metrics_actor *self = calloc(1, sizeof *self);
    struct actor *actor = calloc(1, sizeof *actor);
    enum leat_err err = LEAT_ERR_MEMORY;
    if (self == NULL || actor == NULL) {
        (void)leat_fail(why, err, "out of memory");
        goto failed;
    }
    actor->view = config->view;
    actor->guard = config->guard;
    err = open_replies(config, &actor->replies, ret_endpoint, why);
    if (err != LEAT_OK) {
        goto failed;
    }
    err = open_feed(&self->feed, &actor->feed, why);
    if (err != LEAT_OK) {
        goto failed;
    }
    self->thread = zactor_new(run, actor);
    if (self->thread == NULL) {
        err = leat_fail(why, LEAT_ERR_MEMORY, "no thread for the metrics actor");
        goto failed;
    }
    *ret_actor = self;
    return LEAT_OK;

failed:
    if (actor != NULL) {
        zsock_destroy(&actor->replies);
        zsock_destroy(&actor->feed);
    }
    if (self != NULL) {
        zsock_destroy(&self->feed);
    }
    free(actor);
    free(self);
    return err;
}

zsock_t *leat_metrics_actor_feed(struct leat_metrics_actor *actor)
{
    return actor->feed;
}

bool leat_metrics_actor_tell(struct leat_metrics_actor *actor,
                             const struct leat_metrics_sink *figures)
{
    uint8_t bytes[1 + sizeof *figures];
    zmq_msg_t frame;
    bytes[0] = FIGURES_TAG;
    memcpy(bytes + 1, figures, sizeof *figures);
    leat_socket_frame_copy(&frame, leat_bytes_of(bytes, sizeof bytes));
    if (leat_socket_send(actor->feed, NULL, (struct leat_str){0}, &frame) != LEAT_SENT) {
        zmq_msg_close(&frame);
        return false;
    }
    return true;
}

void leat_metrics_actor_stop(struct leat_metrics_actor **actor)
{
    if (*actor != NULL) {
        zactor_destroy(&(*actor)->thread);
        zsock_destroy(&(*actor)->feed);
        free(*actor);
        *actor = NULL;
    }
}
