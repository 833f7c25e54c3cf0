/* The I/O of libleat: two DEALER sockets and one poll. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "io/clock.h"
#include "io/socket.h"
#include "producer/inside.h"
#include "wire/codec.h"

/* Messages taken from one socket before the other is looked at again. */
#define BUDGET 64

enum leat_err leat_producer_open_links(struct leat_producer *producer, const char *ventilator,
                                       struct leat_why *why)
{
    zsys_handler_set(NULL); /* signals are the program's own matter */
    zmq_msg_init(&producer->answer);
    return leat_socket_connect_curve(ZMQ_DEALER, ventilator, &producer->curve,
                                     &producer->ventilator, why);
}

enum leat_err leat_producer_open_sink(struct leat_producer *producer)
{
    if (producer->sink != NULL) {
        return LEAT_OK;
    }
    return leat_socket_connect_curve(ZMQ_DEALER, producer->sink_endpoint, &producer->sink_curve,
                                     &producer->sink, &producer->error);
}

void leat_producer_close_links(struct leat_producer *producer)
{
    zsock_destroy(&producer->ventilator);
    zsock_destroy(&producer->sink);
    zmq_msg_close(&producer->answer);
}

static bool send_message(struct leat_producer *producer, zsock_t *socket,
                         const struct leat_msg *msg)
{
    leat_wire_buffer_clear(&producer->frame);
    if (leat_wire_encode(msg, &producer->frame) != LEAT_OK) {
        return false;
    }
    size_t size = 0;
    uint8_t *data = leat_wire_buffer_release(&producer->frame, &size);
    zmq_msg_t frame;
    leat_socket_frame_adopt(&frame, data, size);
    if (leat_socket_send(socket, NULL, (struct leat_str){0}, &frame) != LEAT_SENT) {
        zmq_msg_close(&frame);
        return false;
    }
    return true;
}

bool leat_producer_send_query(struct leat_producer *producer, const struct leat_item_job_id *ids,
                              size_t count, bool with_output)
{
    assert(count >= 1 && count <= LEAT_QUERY_IDS_MAX);
    struct leat_msg msg = {.type = LEAT_MSG_QUERY};
    msg.query.ref = ++producer->query_ref;
    msg.query.with_output = with_output;
    msg.query.jobs.items = (struct leat_item_job_id *)(uintptr_t)ids;
    msg.query.jobs.count = count;
    producer->has_answers = false;
    producer->is_refused = false;
    return send_message(producer, producer->sink, &msg);
}

/* A SUBMIT that cannot leave now is lost here and sent again by the submitter. */
static void step(struct leat_producer *producer, struct leat_event *event)
{
    leat_clock_now(&event->now);
    leat_out_clear(&producer->out);
    leat_submitter_step(producer->submitter, event, &producer->out);
    for (size_t i = 0; i < producer->out.count; i++) {
        const struct leat_action *action = &producer->out.actions[i];
        if (action->kind == LEAT_ACTION_SEND) {
            (void)send_message(producer, producer->ventilator, &action->msg);
        }
    }
}

static bool is_writable(zsock_t *socket)
{
    return (zsock_events(socket) & ZMQ_POLLOUT) != 0;
}

static void take_from_ventilator(struct leat_producer *producer)
{
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    struct leat_peer peer;
    for (int i = 0; i < BUDGET; i++) {
        if (leat_socket_recv(producer->ventilator, &peer, &frame) != LEAT_RECEIVED) {
            break;
        }
        struct leat_msg msg;
        struct leat_why why;
        leat_arena_clear(&producer->decoded);
        struct leat_bytes bytes = {zmq_msg_data(&frame), zmq_msg_size(&frame)};
        if (leat_wire_decode(bytes, &producer->decoded, &msg, &why) == LEAT_OK) {
            struct leat_event event = {
                .kind = LEAT_EVENT_MESSAGE, .link = LEAT_LINK_VENTILATOR, .msg = &msg};
            step(producer, &event);
        }
    }
    zmq_msg_close(&frame);
}

/* Answers to earlier questions are dropped: their ref tells. */
static void take_from_sink(struct leat_producer *producer)
{
    struct leat_peer peer;
    while (!producer->has_answers &&
           leat_socket_recv(producer->sink, &peer, &producer->answer) == LEAT_RECEIVED) {
        leat_arena_clear(&producer->decoded);
        struct leat_bytes bytes = {zmq_msg_data(&producer->answer),
                                   zmq_msg_size(&producer->answer)};
        struct leat_why why;
        if (leat_wire_decode(bytes, &producer->decoded, &producer->answers, &why) != LEAT_OK) {
            continue;
        }
        const struct leat_msg *msg = &producer->answers;
        if (msg->type == LEAT_MSG_ANSWERS && msg->answers.ref == producer->query_ref) {
            producer->has_answers = true;
        } else if (msg->type == LEAT_MSG_ERROR && msg->error.code == LEAT_ERR_FORBIDDEN &&
                   msg->error.ref == producer->query_ref) {
            producer->is_refused = true;
            leat_fail(&producer->error, LEAT_ERR_REFUSED, "the sink refuses: %.*s",
                      LEAT_STR_ARGS(msg->error.text));
        }
    }
}

static long poll_ms(struct leat_producer *producer, int64_t wait_us)
{
    struct leat_now now;
    leat_clock_now(&now);
    producer->turned_us = now.mono_us;
    int64_t deadline_us = leat_submitter_deadline_us(producer->submitter);
    int64_t until_us = leat_min_us(deadline_us, leat_add_us(now.mono_us, wait_us));
    if (until_us == LEAT_NEVER_US) {
        return -1;
    }
    if (until_us <= now.mono_us) {
        return 0;
    }
    int64_t ms = (until_us - now.mono_us + LEAT_US_PER_MS - 1) / LEAT_US_PER_MS;
    return ms > 3600000 ? 3600000 : (long)ms;
}

static void tend_links(struct leat_producer *producer)
{
    struct leat_now now;
    leat_clock_now(&now);
    leat_socket_tend(producer->ventilator, &producer->unconnected_us[0], now.mono_us);
    if (producer->sink != NULL) {
        leat_socket_tend(producer->sink, &producer->unconnected_us[1], now.mono_us);
    }
}

void leat_producer_turn(struct leat_producer *producer, int64_t wait_us, int fd)
{
    /* Before the first connection stands, a step would lose what it sends. */
    bool has_to_send = leat_submitter_pending(producer->submitter) > 0;
    bool writable = is_writable(producer->ventilator);
    if (has_to_send && writable) {
        step(producer, &(struct leat_event){.kind = LEAT_EVENT_TICK});
    }
    short writing = has_to_send && !writable ? ZMQ_POLLOUT : 0;
    zmq_pollitem_t items[3] = {
        {zsock_resolve(producer->ventilator), 0, (short)(ZMQ_POLLIN | writing), 0},
    };
    int count = 1;
    if (producer->sink != NULL) {
        items[count++] = (zmq_pollitem_t){zsock_resolve(producer->sink), 0, ZMQ_POLLIN, 0};
    }
    if (fd >= 0) {
        items[count++] = (zmq_pollitem_t){NULL, fd, ZMQ_POLLIN, 0};
    }
    long wait_ms = poll_ms(producer, wait_us);
    (void)zmq_poll(items, count, writing != 0 && wait_us == LEAT_NEVER_US ? 1000 : wait_ms);
    tend_links(producer);
    take_from_ventilator(producer);
    if (producer->sink != NULL) {
        take_from_sink(producer);
    }
    if (writing != 0 && is_writable(producer->ventilator)) {
        step(producer, &(struct leat_event){.kind = LEAT_EVENT_TICK});
    }
}
