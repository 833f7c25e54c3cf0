#include "tests/fuzz/core_harness.h"

#include "core/policy.h"
#include "wire/codec.h"

#define ARENA_BYTES (64u << 20)
#define STEPS_MAX   10000 /* for what is due at one time */

struct fuzz_world *fuzz_world_open(const uint8_t *data, size_t size)
{
    static struct fuzz_world world;
    static bool is_made;
    if (!is_made) {
        leat_out_init(&world.out);
        leat_arena_init(&world.arena, ARENA_BYTES);
        leat_wire_buffer_init(&world.buffer, 0);
        is_made = true;
    }
    leat_out_clear(&world.out);
    leat_arena_clear(&world.arena);
    leat_wire_buffer_clear(&world.buffer);
    world = (struct fuzz_world){
        .in = fuzz_input_of(data, size),
        .now = {1000000, {INT64_C(1700000000) * LEAT_US_PER_S}},
        .out = world.out,
        .arena = world.arena,
        .buffer = world.buffer,
    };
    return &world;
}

/* ---- what a core sends ---- */

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

/* ---- events ---- */

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

/* A peer cannot be reached, or its key or rights are taken away. */
static void event_of_loss(struct fuzz_world *world, struct leat_event *event)
{
    uint8_t byte = fuzz_byte(&world->in);
    if (world->keys_in_use && (byte & 0x80) != 0) {
        event->kind = LEAT_EVENT_REVOKED;
        event->who = &principals[byte % FUZZ_PEERS];
        event->instead = byte & 0x40 ? &principals[FUZZ_PEERS] : NULL;
        return;
    }
    event->kind = LEAT_EVENT_UNREACHABLE;
    event->link = world->core->links[byte >> 2 & 1];
    event->peer = fuzz_peer(byte % FUZZ_PEERS);
}

/* False: there is none. */
static bool make_event(struct fuzz_world *world, uint8_t op, struct leat_event *ret_event)
{
    const enum leat_link *links = world->core->links;
    unsigned peer = op % FUZZ_PEERS;
    struct leat_event event = {.link = links[0], .peer = fuzz_peer(peer)};
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
        leat_store_memory_set_full(world->store, event.store_full);
        break;
    case FUZZ_OP_UNREACHABLE:
        event_of_loss(world, &event);
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

void fuzz_world_feed(struct fuzz_world *world, struct leat_event event)
{
    event.now = world->now;
    leat_out_clear(&world->out);
    world->core->step(world->rig, &event, &world->out);
    fuzz_check_out(world);
    world->core->check(world->rig);
}

/* ---- time ---- */

static bool is_ended(const struct fuzz_world *world)
{
    return world->core->is_ended != NULL && world->core->is_ended(world->rig);
}

/* TICKs until the core is content; it must become so. */
static void settle(struct fuzz_world *world)
{
    for (int steps = 0;
         world->core->deadline_us(world->rig) <= world->now.mono_us && !is_ended(world); steps++) {
        fuzz_world_feed(world, (struct leat_event){.kind = LEAT_EVENT_TICK});
        if (steps > STEPS_MAX) {
            fuzz_fail("the deadline does not move");
        }
    }
}

static void pass(struct fuzz_world *world)
{
    /* Microseconds. -1: to the core's deadline. */
    static const int64_t durations[] = {
        -1,      0,       1,       1000,     10000,    100000,    500000,     999999,
        1000000, 3000000, 5000000, 10000000, 60000000, 600000000, 3600000000, 86400000000,
    };
    int64_t us = durations[fuzz_byte(&world->in) % (sizeof durations / sizeof durations[0])];
    if (us < 0) {
        int64_t deadline_us = world->core->deadline_us(world->rig);
        bool is_ahead = deadline_us != LEAT_NEVER_US && deadline_us > world->now.mono_us;
        us = is_ahead ? deadline_us - world->now.mono_us : 0;
    }
    world->now.mono_us += us;
    world->now.wall.us += us;
    settle(world);
}

static void jump_wall(struct fuzz_world *world)
{
    static const int64_t jumps[] = {-31536000000000, -86400000000, -3600000000, -1000000,
                                    1000000,         3600000000,   86400000000, 31536000000000};
    world->now.wall.us += jumps[fuzz_byte(&world->in) % 8];
    int64_t most = (int64_t)LEAT_WALL_MS_MAX * 1000;
    world->now.wall.us = world->now.wall.us < 0 ? 0 : world->now.wall.us;
    world->now.wall.us = world->now.wall.us > most ? most : world->now.wall.us;
}

/* ---- a core with a store ---- */

static void boot(struct fuzz_world *world)
{
    struct leat_why why = {""};
    leat_out_clear(&world->out);
    if (world->core->boot(world->rig, &why) != LEAT_OK) {
        fuzz_fail("a store that the core itself has written is refused: %s", why.text);
    }
}

static void restart(struct fuzz_world *world, enum leat_store_fate fate)
{
    world->core->shut(world->rig);
    leat_store_memory_crash(world->store, fate);
    boot(world);
}

static void commit(struct fuzz_world *world)
{
    struct leat_store *store = world->store;
    struct leat_why why;
    uint8_t how = fuzz_byte(&world->in);
    if (how % 4 == 3) {
        leat_store_memory_fail(store);
    }
    if (leat_store_is_dirty(store) && !leat_store_is_committing(store)) {
        leat_store_seal(store);
    }
    if (how % 4 != 0) {
        leat_store_memory_complete(store);
    }
    if (leat_store_advance(store, &why) != LEAT_OK) {
        restart(world, how & 4 ? LEAT_STORE_KEPT : LEAT_STORE_LOST);
    }
}

/* ---- the whole ---- */

static void live(struct fuzz_world *world)
{
    struct leat_event event;
    uint8_t op = fuzz_byte(&world->in) % FUZZ_OPS;
    bool has_own = op == FUZZ_OP_COMMIT || op == FUZZ_OP_RESTART || op == FUZZ_OP_SPACE;
    if (op == FUZZ_OP_PASS) {
        pass(world);
    } else if (op == FUZZ_OP_WALL) {
        jump_wall(world);
    } else if (has_own && world->store == NULL) {
        world->core->act(world->rig, op);
    } else if (op == FUZZ_OP_COMMIT) {
        commit(world);
    } else if (op == FUZZ_OP_RESTART) {
        restart(world, fuzz_byte(&world->in) & 1 ? LEAT_STORE_KEPT : LEAT_STORE_LOST);
    } else if (make_event(world, op, &event)) {
        fuzz_world_feed(world, event);
    }
}

void fuzz_world_run(struct fuzz_world *world, const struct fuzz_core *core, void *rig)
{
    world->core = core;
    world->rig = rig;
    if (core->boot == NULL) {
        while (!fuzz_is_done(&world->in) && !is_ended(world)) {
            live(world);
        }
        leat_out_clear(&world->out);
        return;
    }
    world->store = leat_store_open_memory();
    boot(world);
    while (!fuzz_is_done(&world->in)) {
        live(world);
        if (is_ended(world)) {
            restart(world, LEAT_STORE_LOST);
        }
    }
    leat_out_clear(&world->out);
    core->shut(rig);
    leat_store_close(&world->store);
}
