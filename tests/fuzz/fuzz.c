#include "tests/fuzz/fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy.h"
#include "wire/codec.h"

#define FUZZ_ARENA_BYTES (64u << 20)

void fuzz_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("fuzz: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

/* ---- values ---- */

struct fuzz_input fuzz_input_of(const uint8_t *data, size_t size)
{
    return (struct fuzz_input){data, size > 0 ? data + size : data};
}

bool fuzz_is_done(const struct fuzz_input *in)
{
    return in->at == in->end;
}

uint8_t fuzz_byte(struct fuzz_input *in)
{
    return fuzz_is_done(in) ? 0 : *in->at++;
}

struct leat_bytes fuzz_bytes(struct fuzz_input *in, size_t size)
{
    size_t left = (size_t)(in->end - in->at);
    size = size < left ? size : left;
    struct leat_bytes bytes = {in->at, size};
    if (size > 0) {
        in->at += size;
    }
    return bytes;
}

/* ---- the world of one core ---- */

void fuzz_world_open(struct fuzz_world *world, const uint8_t *data, size_t size)
{
    memset(world, 0, sizeof *world);
    world->in = fuzz_input_of(data, size);
    world->now = (struct leat_now){1000000, {INT64_C(1700000000) * LEAT_US_PER_S}};
    leat_out_init(&world->out);
    leat_arena_init(&world->arena, FUZZ_ARENA_BYTES);
    leat_wire_buffer_init(&world->buffer, 0);
}

void fuzz_world_close(struct fuzz_world *world)
{
    leat_out_fini(&world->out);
    leat_arena_fini(&world->arena);
    leat_wire_buffer_fini(&world->buffer);
}

struct leat_peer fuzz_peer(unsigned number)
{
    return (struct leat_peer){.size = 5, .bytes = {0, 1, 2, 3, (uint8_t)(number + 1)}};
}

/* With keys: a worker of one queue, a producer of another, an operator, a broker; and what may
 * become of the first: rights for another queue. */
static const struct leat_str queues[] = {{"default", 7}, {"mail", 4}};
static const struct leat_principal principals[FUZZ_PEERS + 1] = {
    {{{1}}, LEAT_ROLE_WORKER, "worker", &queues[0], 1},
    {{{2}}, LEAT_ROLE_PRODUCER, "producer", &queues[1], 1},
    {{{3}}, LEAT_ROLE_OPERATOR, "operator", NULL, 0},
    {{{4}}, LEAT_ROLE_BROKER, "broker", NULL, 0},
    {{{1}}, LEAT_ROLE_WORKER, "worker", &queues[1], 1},
};

/* What io/guard.h does with a message of a peer. */
static void check_rights(struct fuzz_world *world, unsigned peer, struct leat_event *event)
{
    if (!world->keys_in_use || event->link != LEAT_LINK_PEERS ||
        event->kind != LEAT_EVENT_MESSAGE) {
        return;
    }
    event->who = &principals[peer];
    if (leat_policy_check(event->who, event->msg, &world->why) != LEAT_OK) {
        event->kind = LEAT_EVENT_FORBIDDEN;
        event->why = world->why.text;
    }
}

/* What io/runner.h does with a frame. */
static void event_of_frame(struct fuzz_world *world, struct leat_bytes frame,
                           struct leat_event *event)
{
    enum leat_err err = leat_wire_decode(frame, &world->arena, &world->msg, &world->why);
    if (err == LEAT_OK) {
        event->kind = LEAT_EVENT_MESSAGE;
        event->msg = &world->msg;
        return;
    }
    event->kind = LEAT_EVENT_MALFORMED;
    event->error = err;
    event->why = world->why.text;
    event->msg_type = leat_wire_peek_type(frame);
}

bool fuzz_event(struct fuzz_world *world, uint8_t op, const enum leat_link links[2],
                struct leat_event *ret_event)
{
    unsigned peer = op % FUZZ_PEERS;
    struct leat_event event = {.now = world->now, .link = links[0], .peer = fuzz_peer(peer)};
    leat_arena_clear(&world->arena);
    leat_wire_buffer_clear(&world->buffer);
    switch (op) {
    case FUZZ_OP_FRAME:
        op = fuzz_byte(&world->in);
        event.link = links[op >> 2 & 1];
        event.peer = fuzz_peer(op % FUZZ_PEERS);
        event_of_frame(world, fuzz_bytes(&world->in, fuzz_byte(&world->in)), &event);
        check_rights(world, op % FUZZ_PEERS, &event);
        break;
    case FUZZ_OP_SPACE:
        event.kind = LEAT_EVENT_SPACE;
        event.store_full = (fuzz_byte(&world->in) & 1) != 0;
        break;
    case FUZZ_OP_UNREACHABLE:
        op = fuzz_byte(&world->in);
        if (world->keys_in_use && (op & 0x80) != 0) {
            event.kind = LEAT_EVENT_REVOKED;
            event.who = &principals[op % FUZZ_PEERS];
            event.instead = op & 0x40 ? &principals[FUZZ_PEERS] : NULL;
            break;
        }
        event.kind = LEAT_EVENT_UNREACHABLE;
        event.link = links[op >> 2 & 1];
        event.peer = fuzz_peer(op % FUZZ_PEERS);
        break;
    case FUZZ_OP_STOP:
        event.kind = LEAT_EVENT_STOP;
        break;
    default:
        event.link = links[op >> 2 & 1];
        if (!fuzz_message(&world->in, &world->words, peer, &world->arena, &world->buffer,
                          &world->msg)) {
            return false;
        }
        event.kind = LEAT_EVENT_MESSAGE;
        event.msg = &world->msg;
        check_rights(world, peer, &event);
        if (world->msg.type == LEAT_MSG_HELLO) {
            world->words.round[peer] = world->msg.hello.round;
            world->words.next[peer] = 0;
        }
        break;
    }
    *ret_event = event;
    return true;
}

int64_t fuzz_duration_us(struct fuzz_world *world)
{
    static const int64_t durations[] = {
        -1,      0,       1,       1000,     10000,    100000,    500000,     999999,
        1000000, 3000000, 5000000, 10000000, 60000000, 600000000, 3600000000, 86400000000,
    };
    return durations[fuzz_byte(&world->in) % (sizeof durations / sizeof durations[0])];
}

void fuzz_jump_wall(struct fuzz_world *world)
{
    static const int64_t jumps[] = {-31536000000000, -86400000000, -3600000000, -1000000,
                                    1000000,         3600000000,   86400000000, 31536000000000};
    world->now.wall.us += jumps[fuzz_byte(&world->in) % 8];
    int64_t most = (int64_t)LEAT_WALL_MS_MAX * 1000;
    world->now.wall.us = world->now.wall.us < 0 ? 0 : world->now.wall.us;
    world->now.wall.us = world->now.wall.us > most ? most : world->now.wall.us;
}

static void learn(struct fuzz_words *words, const struct leat_msg *msg)
{
    switch ((int)msg->type) {
    case LEAT_MSG_HELLO: /* a worker's: its ventilator answers in this round */
        for (unsigned i = 0; i < FUZZ_PEERS; i++) {
            words->round[i] = msg->hello.round;
            words->next[i] = 0;
        }
        words->ids[0] = msg->hello.session;
        break;
    case LEAT_MSG_RESULTS:
        words->numbers[0] = msg->results.batch;
        words->ids[1] = msg->results.sender;
        break;
    case LEAT_MSG_SUBMIT:
        words->numbers[0] = msg->submit.batch;
        words->ids[0] = msg->submit.producer;
        break;
    default:
        break;
    }
}

void fuzz_check_out(struct fuzz_world *world)
{
    for (size_t i = 0; i < world->out.count; i++) {
        const struct leat_action *action = &world->out.actions[i];
        if (action->kind != LEAT_ACTION_SEND) {
            continue;
        }
        leat_wire_buffer_clear(&world->buffer);
        enum leat_err err = leat_wire_encode(&action->msg, &world->buffer);
        if (err != LEAT_OK) {
            fuzz_fail("a core sent a message of type 0x%x that cannot be encoded: %s",
                      (unsigned)action->msg.type, leat_err_name(err));
        }
        learn(&world->words, &action->msg);
    }
}
