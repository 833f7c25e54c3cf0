#include "tests/simulation/world_inside.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/codec.h"
#include "wire/dump.h"

/* An ended process brings what it has said to its peers before its connections close. */
#define LINGER_US INT64_C(500000)

struct leat_now sim_now(const struct sim_world *world)
{
    return (struct leat_now){world->now_us, {world->now_us + world->wall_offset_us}};
}

/* By the node's own clocks. No history lasts so long that this could overflow. */
static int64_t to_node_us(const struct sim_node *node, int64_t us)
{
    return us + us / 1000000 * node->clock_ppm + us % 1000000 * node->clock_ppm / 1000000;
}

/* The first moment of the world at which the node's clock shows `us` or more. */
static int64_t to_world_us(const struct sim_node *node, int64_t us)
{
    if (node->clock_ppm == 0 || us > INT64_MAX / 2000000) {
        return us;
    }
    int64_t at_us = us * 1000000 / (1000000 + node->clock_ppm);
    while (to_node_us(node, at_us) < us) {
        at_us++;
    }
    return at_us;
}

struct leat_now sim_node_now(const struct sim_node *node)
{
    int64_t us = to_node_us(node, node->world->now_us);
    return (struct leat_now){us, {us + node->world->wall_offset_us + node->wall_offset_us}};
}

void sim_see(struct sim_node *node, enum sim_sight_kind kind, enum leat_link link,
             struct leat_peer peer, const struct leat_msg *msg)
{
    if (node->world->watch != NULL) {
        struct sim_sight sight = {
            .kind = kind, .node = node, .link = link, .peer = peer, .msg = msg};
        node->world->watch(&sight, node->world->watch_context);
    }
}

void sim_at(struct sim_world *world, int64_t at_us, struct sim_node *node, sim_action_fn *action,
            uint64_t argument)
{
    sim_push_event(world, (struct sim_event){.at_us = at_us,
                                             .kind = SIM_ACTION,
                                             .node = node == NULL ? -1 : node->index,
                                             .life = node == NULL ? 0 : node->life,
                                             .action = action,
                                             .argument = argument});
}

/* ---- the world and its nodes ---- */

void sim_world_init(struct sim_world *world, uint64_t seed)
{
    *world = (struct sim_world){0};
    leat_rng_init(&world->rng, seed);
    world->now_us = 1000;
    world->wall_offset_us = SIM_WALL_US;
    world->faults = (struct sim_faults){
        .delay_min_us = 50, .delay_max_us = 500, .commit_min_us = 100, .commit_max_us = 2000};
}

static void drop_waiting(struct sim_node *node)
{
    for (size_t i = 0; i < node->waiting_count; i++) {
        free((void *)(uintptr_t)node->waiting[i].frame.data);
    }
    node->waiting_count = 0;
}

void sim_world_fini(struct sim_world *world)
{
    for (int i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];
        if (node->core != NULL) {
            node->role->destroy(node->core);
        }
        drop_waiting(node);
        free(node->waiting);
        leat_out_fini(&node->out);
        leat_store_close(&node->store);
        leat_store_close(&node->backup);
    }
    for (size_t i = 0; i < world->event_count; i++) {
        free((void *)(uintptr_t)world->events[i].frame.data);
    }
    free(world->events);
    free(world->connections);
}

struct sim_node *sim_add_node(struct sim_world *world, const struct sim_role *role, void *context,
                              bool with_store)
{
    assert(world->node_count < SIM_NODES_MAX);
    struct sim_node *node = &world->nodes[world->node_count];
    *node = (struct sim_node){.world = world,
                              .index = world->node_count++,
                              .role = role,
                              .context = context,
                              .tick_at_us = LEAT_NEVER_US};
    leat_out_init(&node->out);
    if (with_store) {
        node->store = leat_store_open_memory();
        assert(node->store != NULL);
    }
    return node;
}

static void trace(const struct sim_node *node, const char *what, const struct leat_msg *msg)
{
    if (!node->world->trace) {
        return;
    }
    char text[512] = "";
    if (msg != NULL) {
        leat_wire_dump(msg, text, sizeof(text));
    }
    printf("[%10.3f ms] %s%d.%u %s %s\n", (double)node->world->now_us / 1000.0, node->role->name,
           node->index, node->life, what, text);
}

/* ---- steps, the gate and the disk ---- */

static void tell_leaving(struct sim_node *node, enum leat_link link, struct leat_peer peer,
                         struct leat_bytes frame)
{
    struct leat_arena arena;
    leat_arena_init(&arena, 1 << 24);
    struct leat_msg msg;
    struct leat_why why;
    enum leat_err err = leat_wire_decode(frame, &arena, &msg, &why);
    assert(err == LEAT_OK);
    sim_see(node, SIM_LEAVES, link, peer, &msg);
    leat_arena_fini(&arena);
}

static void carry_out(struct sim_node *node, enum leat_link link, struct leat_peer peer,
                      struct leat_bytes frame)
{
    if (node->world->tells) {
        tell_leaving(node, link, peer, frame);
    }
    switch (link) {
    case LEAT_LINK_PEERS:
        sim_send_to_peer(node, peer, frame);
        return;
    case LEAT_LINK_VENTILATOR:
    case LEAT_LINK_SINK:
        sim_send_to_server(node, link, frame);
        return;
    case LEAT_LINK_SPAWNER:
    case LEAT_LINK_METRICS:
    case LEAT_LINK_EVENTS:
        break;
    }
    if (node->role->local != NULL) {
        struct leat_arena arena;
        leat_arena_init(&arena, 1 << 24);
        struct leat_msg msg;
        struct leat_why why;
        enum leat_err err = leat_wire_decode(frame, &arena, &msg, &why);
        assert(err == LEAT_OK);
        node->role->local(node, link, &msg);
        leat_arena_fini(&arena);
    }
}

static void keep(struct sim_node *node, uint64_t batch, const struct leat_action *action)
{
    struct leat_wire_buffer buffer = {0};
    enum leat_err err = leat_wire_encode(&action->msg, &buffer);
    assert(err == LEAT_OK);
    if (node->waiting_count == node->waiting_capacity) {
        node->waiting_capacity = node->waiting_capacity == 0 ? 64 : node->waiting_capacity * 2;
        node->waiting = realloc(node->waiting, node->waiting_capacity * sizeof(*node->waiting));
        assert(node->waiting != NULL);
    }
    struct sim_waiting *w = &node->waiting[node->waiting_count++];
    *w = (struct sim_waiting){.batch = batch, .link = action->link, .peer = action->peer};
    size_t size = 0;
    w->frame.data = leat_wire_buffer_release(&buffer, &size);
    w->frame.size = size;
}

/* The process dies before it has carried out the next of its actions. */
static bool dies_midway(struct sim_node *node)
{
    struct sim_world *world = node->world;
    if (!leat_rng_chance(&world->rng, world->faults.midway_ppm)) {
        return false;
    }
    sim_crash(node);
    if (world->ended != NULL) {
        world->ended(world, node);
    }
    return true;
}

static void open_gate(struct sim_node *node)
{
    uint64_t durable = node->store == NULL ? UINT64_MAX : leat_store_durable(node->store);
    size_t count = 0;
    while (count < node->waiting_count && node->waiting[count].batch <= durable) {
        count++;
    }
    if (count == 0) {
        return;
    }
    /* What leaves may come back as an event of this very node, so take it out first. */
    struct sim_waiting *leaving = malloc(count * sizeof(*leaving));
    assert(leaving != NULL);
    memcpy(leaving, node->waiting, count * sizeof(*leaving));
    node->waiting_count -= count;
    memmove(node->waiting, node->waiting + count, node->waiting_count * sizeof(*leaving));
    unsigned life = node->life;
    for (size_t i = 0; i < count; i++) {
        if (node->life == life && !dies_midway(node)) {
            carry_out(node, leaving[i].link, leaving[i].peer, leaving[i].frame);
        }
        free((void *)(uintptr_t)leaving[i].frame.data);
    }
    free(leaving);
}

static void start_commit(struct sim_node *node)
{
    struct sim_world *world = node->world;
    if (node->store == NULL || leat_store_is_committing(node->store) ||
        !leat_store_is_dirty(node->store)) {
        return;
    }
    leat_store_seal(node->store);
    uint64_t spread = (uint64_t)(world->faults.commit_max_us - world->faults.commit_min_us) + 1;
    sim_push_event(world, (struct sim_event){.at_us = world->now_us + world->faults.commit_min_us +
                                                      (int64_t)leat_rng_below(&world->rng, spread),
                                             .kind = SIM_COMMIT,
                                             .node = node->index,
                                             .life = node->life});
}

static void schedule_tick(struct sim_node *node)
{
    int64_t deadline_us = node->role->deadline_us(node->core);
    if (deadline_us == LEAT_NEVER_US || node->exited) {
        node->tick_at_us = LEAT_NEVER_US;
        return;
    }
    deadline_us = to_world_us(node, deadline_us);
    if (deadline_us <= node->world->now_us) {
        deadline_us = node->world->now_us + 1; /* no step takes no time */
    }
    if (deadline_us != node->tick_at_us) {
        node->tick_at_us = deadline_us;
        sim_push_event(node->world, (struct sim_event){.at_us = deadline_us,
                                                       .kind = SIM_TICK,
                                                       .node = node->index,
                                                       .life = node->life});
    }
}

static void show_note(struct sim_node *node, const struct leat_note *note)
{
    struct sim_world *world = node->world;
    if (world->trace) {
        char id[LEAT_ID_TEXT_BYTES];
        printf("[%10.3f ms] %s%d.%u notes %s %s %.*s %lld\n", (double)world->now_us / 1000.0,
               node->role->name, node->index, node->life, leat_note_name(note->id),
               leat_id_format(&note->subject, id), LEAT_STR_ARGS(note->name),
               (long long)note->value);
    }
    if (world->watch != NULL) {
        struct sim_sight sight = {.kind = SIM_NOTES, .node = node, .note = note};
        world->watch(&sight, world->watch_context);
    }
}

static void put_down(struct sim_node *node)
{
    node->role->destroy(node->core);
    node->core = NULL;
    node->life++;
    drop_waiting(node);
    leat_out_clear(&node->out);
}

/* After EXIT a process waits until everything is on the disk and said. */
static void end_process(struct sim_world *world, struct sim_node *node, uint64_t argument)
{
    if (node->store != NULL &&
        (leat_store_is_dirty(node->store) || leat_store_is_committing(node->store))) {
        sim_at(world, world->now_us + LINGER_US, node, end_process, argument);
        return;
    }
    trace(node, "ends", NULL);
    sim_see(node, SIM_ENDS, 0, (struct leat_peer){0}, NULL);
    put_down(node);
    if (node->store != NULL) {
        leat_store_memory_crash(node->store, LEAT_STORE_KEPT);
    }
    if (world->ended != NULL) {
        world->ended(world, node);
    }
}

/* What the core has just emitted goes to the gate, and through it when nothing is to wait for. */
static void take_actions(struct sim_node *node)
{
    uint64_t batch = node->store == NULL ? 0 : leat_store_awaited(node->store);
    for (size_t i = 0; i < node->out.count; i++) {
        const struct leat_action *action = &node->out.actions[i];
        if (action->kind == LEAT_ACTION_SEND) {
            trace(node, "sends", &action->msg);
            sim_see(node, SIM_SENDS, action->link, action->peer, &action->msg);
            keep(node, batch, action);
        } else if (action->kind == LEAT_ACTION_EXIT) {
            if (!node->exited) {
                node->exited = true;
                node->exit_status = action->exit_status;
                sim_at(node->world, node->world->now_us + LINGER_US, node, end_process, 0);
            }
        } else {
            show_note(node, &action->note);
        }
    }
    leat_out_clear(&node->out);
    start_commit(node);
    open_gate(node);
    if (node->core != NULL) {
        schedule_tick(node);
    }
}

void sim_event(struct sim_node *node, struct leat_event *event)
{
    if (node->core == NULL || node->exited) {
        return;
    }
    node->world->steps++;
    event->now = sim_node_now(node);
    node->role->step(node->core, event, &node->out);
    node->role->check(node->core);
    take_actions(node);
}

static void deliver(struct sim_node *node, enum leat_link link, struct leat_peer peer,
                    struct leat_bytes frame)
{
    struct leat_arena arena;
    leat_arena_init(&arena, 1 << 24);
    struct leat_msg msg;
    struct leat_why why;
    enum leat_err err = leat_wire_decode(frame, &arena, &msg, &why);
    assert(err == LEAT_OK);
    struct leat_event event = {.kind = LEAT_EVENT_MESSAGE, .link = link, .peer = peer, .msg = &msg};
    if (node->core != NULL && !node->exited) {
        trace(node, "gets ", &msg);
        sim_see(node, SIM_GETS, link, peer, &msg);
        sim_event(node, &event);
        sim_see(node, SIM_TOOK, link, peer, &msg);
    }
    leat_arena_fini(&arena);
}

void sim_deliver_local(struct sim_node *node, enum leat_link link, const struct leat_msg *msg)
{
    struct leat_wire_buffer buffer = {0};
    enum leat_err err = leat_wire_encode(msg, &buffer);
    assert(err == LEAT_OK);
    deliver(node, link, (struct leat_peer){0}, leat_wire_buffer_view(&buffer));
    leat_wire_buffer_fini(&buffer);
}

void sim_boot(struct sim_node *node)
{
    assert(node->core == NULL);
    node->life++;
    node->exited = false;
    node->tick_at_us = LEAT_NEVER_US;
    node->frozen_until_us = 0;
    trace(node, "boots", NULL);
    sim_see(node, SIM_BOOTS, 0, (struct leat_peer){0}, NULL);
    node->core = node->role->boot(node, &node->out);
    take_actions(node);
    struct leat_event event = {.kind = LEAT_EVENT_TICK};
    sim_event(node, &event);
}

void sim_crash(struct sim_node *node)
{
    if (node->core == NULL) {
        return;
    }
    trace(node, "crashes", NULL);
    sim_see(node, SIM_CRASHES, 0, (struct leat_peer){0}, NULL);
    node->world->crashes++;
    put_down(node);
    if (node->store != NULL) {
        bool kept = leat_rng_chance(&node->world->rng, 500000);
        leat_store_memory_crash(node->store, kept ? LEAT_STORE_KEPT : LEAT_STORE_LOST);
    }
}

void sim_lose_disk(struct sim_node *node)
{
    assert(node->core == NULL && node->store != NULL);
    leat_store_close(&node->store);
    node->store = leat_store_open_memory();
    assert(node->store != NULL);
}

void sim_back_up_disk(struct sim_node *node)
{
    assert(node->store != NULL);
    leat_store_close(&node->backup);
    node->backup = leat_store_memory_copy(node->store);
}

void sim_restore_disk(struct sim_node *node)
{
    assert(node->core == NULL && node->backup != NULL);
    leat_store_close(&node->store);
    node->store = node->backup;
    node->backup = NULL;
}

void sim_freeze(struct sim_node *node, int64_t until_us)
{
    node->frozen_until_us = until_us;
}

/* ---- time goes on ---- */

static void arrive(struct sim_world *world, const struct sim_event *event)
{
    struct sim_connection *c = &world->connections[event->connection];
    if (!sim_is_heard(world, c, event->to_server)) {
        return;
    }
    struct leat_peer peer = event->to_server ? c->peer : (struct leat_peer){0};
    enum leat_link link = event->to_server ? LEAT_LINK_PEERS : c->link;
    deliver(&world->nodes[event->node], link, peer, event->frame);
}

static void commit_done(struct sim_node *node)
{
    struct sim_world *world = node->world;
    bool fails = leat_rng_chance(&world->rng, world->faults.commit_fails_ppm);
    struct leat_why why;
    if (fails) {
        leat_store_memory_fail(node->store);
    } else {
        leat_store_memory_complete(node->store);
    }
    enum leat_err err = leat_store_advance(node->store, &why);
    assert(err == (fails ? LEAT_ERR_IO : LEAT_OK));
    if (fails) {
        sim_crash(node); /* core/step.h, rule 4 */
        if (world->ended != NULL) {
            world->ended(world, node);
        }
        return;
    }
    if (node->waiting_count > 0) {
        sim_see(node, SIM_WRITES, 0, (struct leat_peer){0}, NULL);
    }
    start_commit(node);
    open_gate(node);
}

static void happen(struct sim_world *world, const struct sim_event *event)
{
    struct sim_node *node = event->node < 0 ? NULL : &world->nodes[event->node];
    bool same_life = node != NULL && node->core != NULL && node->life == event->life;
    switch (event->kind) {
    case SIM_ARRIVAL:
        arrive(world, event);
        return;
    case SIM_TICK:
        if (same_life && event->at_us == node->tick_at_us) {
            node->tick_at_us = LEAT_NEVER_US;
            struct leat_event tick = {.kind = LEAT_EVENT_TICK};
            sim_event(node, &tick);
        }
        return;
    case SIM_COMMIT:
        if (same_life) {
            commit_done(node);
        }
        return;
    case SIM_ACTION:
        if (node == NULL || same_life) {
            event->action(world, node, event->argument);
        }
        return;
    }
}

void sim_run(struct sim_world *world, int64_t until_us)
{
    while (world->event_count > 0 && world->events[0].at_us <= until_us) {
        struct sim_event event = sim_pop_event(world);
        struct sim_node *node = event.node < 0 ? NULL : &world->nodes[event.node];
        if (node != NULL && event.kind != SIM_COMMIT && node->frozen_until_us > event.at_us) {
            bool is_the_tick = event.kind == SIM_TICK && event.life == node->life &&
                               event.at_us == node->tick_at_us;
            if (is_the_tick) {
                node->tick_at_us = node->frozen_until_us;
            } else if (event.kind == SIM_TICK) {
                continue; /* of an earlier life, or no longer wanted */
            }
            event.at_us = node->frozen_until_us;
            sim_push_event(world, event);
            continue;
        }
        world->now_us = event.at_us;
        happen(world, &event);
        free((void *)(uintptr_t)event.frame.data);
    }
    world->now_us = until_us;
}
