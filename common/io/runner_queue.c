#include "io/runner_inside.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "io/log.h"
#include "wire/codec.h"

#define RING_FIRST 256

/* The batch that must be on disk before what the step that just ended wants may happen. */
static uint64_t needed_now(const struct leat_runner *runner)
{
    const struct leat_store *store = runner->config.store;
    return store == NULL ? 0 : leat_store_awaited(store);
}

static bool is_durable(const struct leat_runner *runner, uint64_t needed)
{
    return runner->config.store == NULL || leat_store_durable(runner->config.store) >= needed;
}

bool leat_runner_is_congested(const struct leat_runner *runner)
{
    const struct leat_store *store = runner->config.store;
    if (store == NULL) {
        return false;
    }
    return runner->ring_count > runner->config.waiting_actions_max ||
           runner->counts.waiting_bytes > runner->config.waiting_bytes_max ||
           leat_store_filling_bytes(store) > runner->config.filling_bytes_max;
}

/* ---- carrying out ---- */

static struct leat_runner_link *find_link(struct leat_runner *runner, enum leat_link link)
{
    for (size_t i = 0; i < runner->config.link_count; i++) {
        if (runner->links[i].link == link) {
            return &runner->links[i];
        }
    }
    return NULL;
}

static void remember_failure(struct leat_runner *runner, enum leat_link link, struct leat_peer peer)
{
    /* one event tells of all that was lost: a burst to one peer fails in a row */
    for (size_t i = runner->failure_count; i > 0 && i + 16 > runner->failure_count; i--) {
        const struct leat_runner_failure *known = &runner->failures[i - 1];
        if (known->link == link && leat_peer_equal(known->peer, peer)) {
            return;
        }
    }
    if (runner->failure_count == runner->failure_capacity) {
        size_t capacity = runner->failure_capacity == 0 ? 16 : runner->failure_capacity * 2;
        runner->failures = realloc(runner->failures, capacity * sizeof *runner->failures);
        LEAT_ASSERT(runner->failures != NULL);
        runner->failure_capacity = capacity;
    }
    runner->failures[runner->failure_count++] = (struct leat_runner_failure){link, peer};
}

static void send_frame(struct leat_runner *runner, struct leat_runner_action *action)
{
    struct leat_runner_link *link = find_link(runner, action->send.link);
    enum leat_sent sent = LEAT_SENT_UNREACHABLE;
    if (link != NULL && link->socket != NULL) {
        sent = leat_socket_send(link->socket, &action->send.peer,
                                (struct leat_str){action->send.topic, action->send.topic_size},
                                &action->send.frame);
    } else if (link != NULL) {
        sent = link->ops->send(link->context, leat_bytes_of(zmq_msg_data(&action->send.frame),
                                                            zmq_msg_size(&action->send.frame)));
    }
    zmq_msg_close(&action->send.frame);
    if (sent == LEAT_SENT) {
        runner->counts.messages_out++;
    } else if (link == NULL || link->may_drop) {
        runner->counts.dropped++;
    } else {
        runner->counts.unreachable++;
        remember_failure(runner, action->send.link, action->send.peer);
    }
}

static void carry_out(struct leat_runner *runner, struct leat_runner_action *action)
{
    switch (action->kind) {
    case LEAT_ACTION_SEND:
        send_frame(runner, action);
        break;
    case LEAT_ACTION_NOTE:
        leat_log_note(&action->note);
        free((void *)(uintptr_t)action->note.name.data);
        break;
    case LEAT_ACTION_EXIT:
        runner->ended = true;
        runner->status = action->exit_status;
        break;
    default:
        LEAT_UNREACHABLE("a kind of action that is not in core/step.h");
    }
}

void leat_runner_release(struct leat_runner *runner)
{
    uint64_t released = 0;
    while (runner->ring_count > 0 && !runner->ended) {
        struct leat_runner_action *action = &runner->ring[runner->ring_first];
        if (!is_durable(runner, action->needed)) {
            break;
        }
        runner->counts.waiting_bytes -= action->bytes;
        carry_out(runner, action);
        runner->ring_first = (runner->ring_first + 1) & (runner->ring_capacity - 1);
        runner->ring_count--;
        released++;
    }
    runner->counts.commit_actions += released;
    if (released > runner->counts.commit_actions_max) {
        runner->counts.commit_actions_max = released;
    }
}

/* ---- queueing ---- */

static void grow_ring(struct leat_runner *runner)
{
    size_t capacity = runner->ring_capacity == 0 ? RING_FIRST : runner->ring_capacity * 2;
    struct leat_runner_action *ring = malloc(capacity * sizeof *ring);
    LEAT_ASSERT(ring != NULL);
    for (size_t i = 0; i < runner->ring_count; i++) {
        /* a zmq_msg_t may not be copied by assignment: it is moved */
        struct leat_runner_action *from =
            &runner->ring[(runner->ring_first + i) & (runner->ring_capacity - 1)];
        ring[i] = *from;
        if (from->kind == LEAT_ACTION_SEND) {
            zmq_msg_init(&ring[i].send.frame);
            zmq_msg_move(&ring[i].send.frame, &from->send.frame);
        }
    }
    free(runner->ring);
    runner->ring = ring;
    runner->ring_capacity = capacity;
    runner->ring_first = 0;
}

/* The place behind all that waits; the caller fills it and raises ring_count. */
static struct leat_runner_action *next_place(struct leat_runner *runner)
{
    if (runner->ring_count == runner->ring_capacity) {
        grow_ring(runner);
    }
    return &runner->ring[(runner->ring_first + runner->ring_count) & (runner->ring_capacity - 1)];
}

static void push(struct leat_runner *runner, struct leat_runner_action *action, uint64_t needed,
                 bool is_urgent)
{
    action->needed = needed;
    if (runner->ring_count > 0) {
        const struct leat_runner_action *last =
            &runner->ring[(runner->ring_first + runner->ring_count - 1) &
                          (runner->ring_capacity - 1)];
        LEAT_ASSERT(needed == 0 || needed >= last->needed);
        action->needed = needed > last->needed ? needed : last->needed;
    }
    if (is_urgent) {
        runner->urgent = action->needed;
    }
    runner->ring_count++;
    runner->counts.waiting_bytes += action->bytes;
    if (action->kind == LEAT_ACTION_EXIT) {
        runner->exiting = true;
    }
}

/* A PUB's topic: the queue of the jobs that ended. */
static void fill_topic(struct leat_runner_action *action, const struct leat_msg *msg)
{
    struct leat_str topic = {NULL, 0};
    if (msg->type == LEAT_MSG_FINISHED && msg->finished.jobs.count > 0) {
        topic = msg->finished.jobs.items[0].queue;
    }
    action->send.topic_size =
        (uint8_t)(topic.size < sizeof action->send.topic ? topic.size : sizeof action->send.topic);
    if (topic.size > 0) {
        memcpy(action->send.topic, topic.data, action->send.topic_size);
    }
}

static bool fill_send(struct leat_runner *runner, struct leat_runner_action *place,
                      struct leat_action *action)
{
    const struct leat_runner_link *link = find_link(runner, action->link);
    if (link != NULL && link->ops != NULL && link->ops->prepare != NULL) {
        link->ops->prepare(link->context, &action->msg);
    }
    leat_wire_buffer_clear(&runner->encoded);
    enum leat_err err = leat_wire_encode(&action->msg, &runner->encoded);
    if (err != LEAT_OK) {
        /* a text of a handler that is no UTF-8, or a core that went over a limit: loud, not fatal
         */
        runner->counts.unsendable++;
        struct leat_log line;
        leat_log_begin(&line, LEAT_LOG_ERROR, "message_unsendable");
        leat_log_number(&line, "type", (int64_t)action->msg.type);
        leat_log_text(&line, "reason", leat_err_text((unsigned)err));
        leat_log_end(&line);
        return false;
    }
    leat_log_message("out", action->link, &action->peer, &action->msg);
    place->send.link = action->link;
    place->send.peer = action->peer;
    fill_topic(place, &action->msg);
    size_t size = runner->encoded.size;
    if (size <= LEAT_SOCKET_COPY_BYTES_MAX) {
        leat_socket_frame_copy(&place->send.frame, leat_wire_buffer_view(&runner->encoded));
    } else {
        uint8_t *data = leat_wire_buffer_release(&runner->encoded, &size);
        leat_socket_frame_adopt(&place->send.frame, data, size);
    }
    place->bytes = size;
    return true;
}

static void fill_note(struct leat_runner_action *place, const struct leat_note *note)
{
    char *name = malloc(note->name.size + 1);
    LEAT_ASSERT(name != NULL);
    if (note->name.size > 0) {
        memcpy(name, note->name.data, note->name.size);
    }
    place->note = *note;
    place->note.name = (struct leat_str){name, note->name.size};
    place->bytes = note->name.size;
}

void leat_runner_collect(struct leat_runner *runner, struct leat_out *out)
{
    uint64_t needed = needed_now(runner);
    for (size_t i = 0; i < out->count; i++) {
        struct leat_action *action = &out->actions[i];
        struct leat_runner_action *place = next_place(runner);
        place->kind = action->kind;
        place->bytes = 0;
        switch (action->kind) {
        case LEAT_ACTION_SEND:
            if (!fill_send(runner, place, action)) {
                continue;
            }
            break;
        case LEAT_ACTION_NOTE:
            fill_note(place, &action->note);
            break;
        case LEAT_ACTION_EXIT:
            place->exit_status = action->exit_status;
            break;
        default:
            LEAT_UNREACHABLE("a kind of action that is not in core/step.h");
        }
        if (runner->ring_count == 0 && is_durable(runner, needed) && !runner->ended) {
            carry_out(runner, place);
        } else {
            push(runner, place, needed, action->kind != LEAT_ACTION_NOTE && !action->is_patient);
        }
    }
    leat_out_clear(out);
}

void leat_runner_queue_exit(struct leat_runner *runner, int status)
{
    struct leat_runner_action *place = next_place(runner);
    place->kind = LEAT_ACTION_EXIT;
    place->bytes = 0;
    place->exit_status = status;
    push(runner, place, needed_now(runner), true);
}

void leat_runner_queue_fini(struct leat_runner *runner)
{
    for (size_t i = 0; i < runner->ring_count; i++) {
        struct leat_runner_action *action =
            &runner->ring[(runner->ring_first + i) & (runner->ring_capacity - 1)];
        if (action->kind == LEAT_ACTION_SEND) {
            zmq_msg_close(&action->send.frame);
        } else if (action->kind == LEAT_ACTION_NOTE) {
            free((void *)(uintptr_t)action->note.name.data);
        }
    }
    free(runner->ring);
    free(runner->failures);
}
