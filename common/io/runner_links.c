#include "io/runner_inside.h"

#include <string.h>

#include "io/clock.h"
#include "io/exit.h"
#include "io/log.h"
#include "wire/codec.h"

/* The clock is asked after so many messages: it costs as much as a small message. */
#define CLOCK_EVERY 8

static void feed_malformed(struct leat_runner *runner, const struct leat_runner_link *link,
                           struct leat_peer peer, enum leat_err err, const char *why,
                           uint64_t msg_type)
{
    runner->counts.malformed++;
    if (link->socket != NULL && zsock_type(link->socket) == ZMQ_ROUTER && peer.size == 0) {
        leat_log_reason(LEAT_LOG_WARN, "peer_refused",
                        "a routing id that libzmq did not make: leave ZMQ_ROUTING_ID unset");
        return;
    }
    struct leat_event event = {
        .kind = LEAT_EVENT_MALFORMED,
        .link = link->link,
        .peer = peer,
        .error = err,
        .why = why,
        .msg_type = msg_type,
    };
    leat_runner_step(runner, &event);
}

static void feed_frame(struct leat_runner *runner, const struct leat_runner_link *link,
                       struct leat_peer peer, struct leat_bytes frame)
{
    struct leat_msg msg;
    struct leat_why why = {.text = ""};
    leat_arena_clear(&runner->arena);
    enum leat_err err = leat_wire_decode(frame, &runner->arena, &msg, &why);
    if (err != LEAT_OK) {
        feed_malformed(runner, link, peer, err, why.text, leat_wire_peek_type(frame));
        return;
    }
    runner->counts.messages_in++;
    leat_log_message("in", link->link, &peer, &msg);
    struct leat_event event = {
        .kind = LEAT_EVENT_MESSAGE, .link = link->link, .peer = peer, .msg = &msg};
    if (link->link == LEAT_LINK_PEERS && leat_guard_view_in_use(&runner->view)) {
        event.who = leat_guard_view_who(&runner->view, &runner->frame);
        if (leat_policy_check(event.who, &msg, &why) != LEAT_OK) {
            runner->counts.forbidden++;
            event.kind = LEAT_EVENT_FORBIDDEN;
            event.why = why.text;
        }
    }
    leat_runner_step(runner, &event);
}

void leat_runner_refresh_keys(struct leat_runner *runner)
{
    struct leat_keyring *before = NULL;
    if (!leat_guard_view_refresh(&runner->view, &before)) {
        return;
    }
    for (size_t i = 0; i < leat_keyring_count(before); i++) {
        const struct leat_principal *was = leat_keyring_at(before, i);
        const struct leat_principal *is = leat_keyring_find(runner->view.keyring, &was->key);
        if (is == NULL || !leat_principal_equal(was, is)) {
            struct leat_event event = {.kind = LEAT_EVENT_REVOKED, .who = was, .instead = is};
            leat_runner_step(runner, &event);
        }
    }
    if (runner->config.keys_changed != NULL) {
        runner->config.keys_changed(runner->config.keys_context, before, runner->view.keyring);
    }
    leat_keyring_release(&before);
}

/* One message; false when there is none. */
static bool read_one(struct leat_runner *runner, struct leat_runner_link *link)
{
    struct leat_peer peer = {0};
    struct leat_bytes frame = {NULL, 0};
    enum leat_received received;
    if (link->socket != NULL) {
        received = leat_socket_recv(link->socket, &peer, &runner->frame);
        frame = leat_bytes_of(zmq_msg_data(&runner->frame), zmq_msg_size(&runner->frame));
    } else {
        received = link->ops->recv(link->context, &frame);
    }
    switch (received) {
    case LEAT_RECEIVED:
        feed_frame(runner, link, peer, frame);
        return true;
    case LEAT_RECEIVED_MALFORMED:
        feed_malformed(runner, link, peer, LEAT_ERR_MALFORMED, "a wrong number of frames", 0);
        return true;
    case LEAT_RECEIVED_CLOSED:
        leat_log_reason(LEAT_LOG_ERROR, "link_closed", "the process at the other end is gone");
        runner->ended = true;
        runner->status = LEAT_EXIT_INTERNAL;
        return false;
    case LEAT_RECEIVED_NOTHING:
    default:
        return false;
    }
}

/* True when the budget ended before the link was empty. */
static bool read_link(struct leat_runner *runner, struct leat_runner_link *link)
{
    struct leat_now started;
    leat_clock_now(&started);
    for (unsigned i = 0; i < runner->config.budget_messages; i++) {
        if (runner->ended || runner->exiting || leat_runner_is_congested(runner)) {
            return true;
        }
        if (i > 0 && i % CLOCK_EVERY == 0) {
            struct leat_now now;
            leat_clock_now(&now);
            if (now.mono_us - started.mono_us > runner->config.budget_us) {
                return true;
            }
        }
        if (!read_one(runner, link)) {
            return false;
        }
    }
    return true;
}

void leat_runner_read_links(struct leat_runner *runner)
{
    size_t count = runner->config.link_count;
    runner->more = false;
    for (size_t i = 0; i < count; i++) {
        /* another one first in each turn, so that none is always served last */
        struct leat_runner_link *link = &runner->links[(runner->counts.turns + i) % count];
        if (!link->send_only && read_link(runner, link)) {
            runner->more = true;
        }
    }
}
