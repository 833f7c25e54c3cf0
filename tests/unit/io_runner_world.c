#include "io_runner_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/clock.h"
#include "wire/codec.h"

static void finished(struct leat_out *out, enum leat_link link)
{
    struct leat_msg *msg = leat_out_send(out, link, (struct leat_peer){0}, LEAT_MSG_FINISHED);
    struct leat_item_ended *job = leat_arena_take(&out->arena, sizeof *job);
    job->queue = leat_str_of("mail");
    msg->finished.jobs.items = job;
    msg->finished.jobs.count = 1;
}

static void answer(struct world *world, const struct leat_event *event, struct leat_out *out)
{
    struct leat_str verb = event->msg->control.verb;
    uint64_t ref = event->msg->control.ref;
    struct leat_peer peer = event->peer;
    bool keeps = leat_str_equal(verb, leat_str_of("keep"));
    bool is_patient = leat_str_equal(verb, leat_str_of("patient"));
    if (keeps || is_patient || leat_str_equal(verb, leat_str_of("put"))) {
        uint8_t *value = calloc(1, world->write_bytes + 1);
        leat_store_put(world->store, 0, leat_bytes_of(&ref, sizeof ref),
                       leat_bytes_of(value, world->write_bytes));
        free(value);
    } else if (leat_str_equal(verb, leat_str_of("note"))) {
        leat_out_note(out, LEAT_NOTE_QUEUE_PAUSED, NULL, leat_str_of("q"), 1);
    } else if (leat_str_equal(verb, leat_str_of("to"))) {
        peer = (struct leat_peer){.size = 5, .bytes = {0, 9, 9, 9, 9}};
    } else if (leat_str_equal(verb, leat_str_of("drop"))) {
        finished(out, LEAT_LINK_METRICS);
    } else if (leat_str_equal(verb, leat_str_of("event"))) {
        finished(out, LEAT_LINK_EVENTS);
    }
    if (keeps) {
        return;
    }
    struct leat_msg *msg = is_patient
                               ? leat_out_send_patiently(out, event->link, peer, LEAT_MSG_DONE)
                               : leat_out_send(out, event->link, peer, LEAT_MSG_DONE);
    msg->done.ref = ref;
    msg->done.text = leat_str_of("ok");
    if (leat_str_equal(verb, leat_str_of("exit"))) {
        leat_out_exit(out, 9);
    }
}

static void step(void *core, const struct leat_event *event, struct leat_out *out)
{
    struct world *world = core;
    assert_true(world->event_count < WORLD_EVENTS_MAX);
    struct world_event *seen = &world->events[world->event_count++];
    *seen = (struct world_event){.kind = event->kind,
                                 .link = event->link,
                                 .now = event->now,
                                 .error = event->error,
                                 .msg_type = event->msg_type,
                                 .store_full = event->store_full};
    switch (event->kind) {
    case LEAT_EVENT_MESSAGE:
        assert_int_equal(event->msg->type, LEAT_MSG_CONTROL);
        seen->ref = event->msg->control.ref;
        answer(world, event, out);
        break;
    case LEAT_EVENT_MALFORMED: {
        struct leat_msg *msg = leat_out_send(out, event->link, event->peer, LEAT_MSG_ERROR);
        msg->error.code = event->error;
        msg->error.text = leat_arena_copy_str(&out->arena, leat_str_of(event->why));
        msg->error.type = event->msg_type;
        break;
    }
    case LEAT_EVENT_STOP:
        leat_out_exit(out, 0);
        break;
    case LEAT_EVENT_TICK:
        world->deadline_us = LEAT_NEVER_US;
        break;
    case LEAT_EVENT_UNREACHABLE:
    case LEAT_EVENT_SPACE:
    case LEAT_EVENT_FORBIDDEN:
    case LEAT_EVENT_REVOKED:
    default:
        break;
    }
}

static int64_t deadline_us(const void *core)
{
    return ((const struct world *)core)->deadline_us;
}

void world_init(struct world *world, bool with_store)
{
    memset(world, 0, sizeof *world);
    world->deadline_us = LEAT_NEVER_US;
    world->status = -1;
    world->store = with_store ? leat_store_open_memory() : NULL;
    struct leat_why why = {.text = ""};
    if (leat_socket_bind(ZMQ_ROUTER, "tcp://127.0.0.1:0", false, &world->router, world->endpoint,
                         &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
    world->links[0] = (struct leat_runner_link){.link = LEAT_LINK_PEERS, .socket = world->router};
    leat_runner_config_init(&world->config);
    world->config.core = world;
    world->config.step = step;
    world->config.deadline_us = deadline_us;
    world->config.store = world->store;
    world->config.links = world->links;
    world->config.link_count = 1;
}

void world_start(struct world *world)
{
    world->runner = leat_runner_new(&world->config);
}

void world_fini(struct world *world)
{
    leat_runner_destroy(&world->runner);
    zsock_destroy(&world->router);
    leat_store_close(&world->store);
}

void world_turn(struct world *world)
{
    if (world->status == -1) {
        leat_runner_turn(world->runner, 20 * LEAT_US_PER_MS, &world->status);
    }
}

size_t world_count(const struct world *world, enum leat_event_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < world->event_count; i++) {
        count += world->events[i].kind == kind;
    }
    return count;
}

const struct world_event *world_turn_until(struct world *world, enum leat_event_kind kind,
                                           size_t count)
{
    struct leat_now start;
    struct leat_now now;
    leat_clock_now(&start);
    while (world_count(world, kind) < count) {
        world_turn(world);
        leat_clock_now(&now);
        if (now.mono_us - start.mono_us > 5 * LEAT_US_PER_S) {
            fail_msg("event %d did not come", (int)kind);
        }
    }
    for (size_t i = world->event_count; i > 0; i--) {
        if (world->events[i - 1].kind == kind) {
            return &world->events[i - 1];
        }
    }
    return NULL;
}

void world_turn_until_messages(struct world *world, size_t count)
{
    world_turn_until(world, LEAT_EVENT_MESSAGE, count);
}

zsock_t *world_client(struct world *world)
{
    zsock_t *client = NULL;
    struct leat_socket_config config;
    leat_socket_config_init(&config, ZMQ_DEALER);
    config.connect = world->endpoint;
    config.send_hwm = 100000;
    config.receive_hwm = 100000;
    assert_int_equal(leat_socket_open(&config, &client, NULL, NULL), LEAT_OK);
    zmq_pollitem_t item = {.socket = zsock_resolve(client), .events = ZMQ_POLLOUT};
    assert_int_equal(zmq_poll(&item, 1, 5000), 1);
    return client;
}

void world_say(zsock_t *client, const char *verb, uint64_t ref)
{
    struct leat_msg msg = {.type = LEAT_MSG_CONTROL};
    msg.control.ref = ref;
    msg.control.verb = leat_str_of(verb);
    struct leat_wire_buffer buffer;
    leat_wire_buffer_init(&buffer, 0);
    assert_int_equal(leat_wire_encode(&msg, &buffer), LEAT_OK);
    zmq_msg_t frame;
    leat_socket_frame_copy(&frame, leat_wire_buffer_view(&buffer));
    leat_wire_buffer_fini(&buffer);
    assert_int_equal(leat_socket_send(client, NULL, (struct leat_str){NULL, 0}, &frame), LEAT_SENT);
}

bool world_hear(zsock_t *client, int wait_ms, uint64_t *ret_ref, uint64_t *ret_code)
{
    zmq_pollitem_t item = {.socket = zsock_resolve(client), .events = ZMQ_POLLIN};
    if (zmq_poll(&item, 1, wait_ms) <= 0) {
        return false;
    }
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    struct leat_peer peer;
    assert_int_equal(leat_socket_recv(client, &peer, &frame), LEAT_RECEIVED);
    struct leat_arena arena;
    leat_arena_init(&arena, 1 << 20);
    struct leat_msg msg;
    struct leat_why why = {.text = ""};
    assert_int_equal(leat_wire_decode(leat_bytes_of(zmq_msg_data(&frame), zmq_msg_size(&frame)),
                                      &arena, &msg, &why),
                     LEAT_OK);
    if (ret_code != NULL) {
        *ret_code = msg.type == LEAT_MSG_ERROR ? msg.error.code : 0;
    }
    if (ret_ref != NULL) {
        *ret_ref = msg.type == LEAT_MSG_DONE ? msg.done.ref : msg.error.type;
    }
    leat_arena_fini(&arena);
    zmq_msg_close(&frame);
    return true;
}

void world_expect_answer(zsock_t *client, uint64_t ref)
{
    uint64_t got = 0;
    uint64_t code = 0;
    assert_true(world_hear(client, 5000, &got, &code));
    assert_int_equal(code, 0);
    assert_int_equal(got, ref);
}
