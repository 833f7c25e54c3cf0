#include "tests/simulation/world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/codec.h"
#include "wire/dump.h"

enum event_kind { ARRIVAL, TICK, COMMIT, ACTION };

struct sim_event {
    int64_t at_us;
    uint64_t number; /* of equal times the earlier made comes first */
    enum event_kind kind;
    int node; /* -1: none */
    unsigned life;
    size_t connection;       /* ARRIVAL */
    bool to_server;          /* ARRIVAL */
    struct leat_bytes frame; /* ARRIVAL; owned */
    sim_action_fn *action;
    uint64_t argument;
};

/* A client's way to a server. A cut or a crash of either end ends it; the next message of the
 * client opens a new one with a new routing id, as libzmq does. */
struct sim_connection {
    struct leat_peer peer; /* the client, as the server sees it */
    int client, server;
    unsigned client_life, server_life;
    enum leat_link link; /* at the client */
    bool broken;
    int64_t last_arrival_us[2]; /* to the client, to the server: keeps the order */
};

struct leat_now sim_now(const struct sim_world *world)
{
    return (struct leat_now){world->now_us, {world->now_us + world->wall_offset_us}};
}

/* ---- the heap of events ---- */

static bool comes_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

static void push_event(struct sim_world *world, struct sim_event event)
{
    if (world->event_count == world->event_capacity) {
        world->event_capacity = world->event_capacity == 0 ? 256 : world->event_capacity * 2;
        world->events = realloc(world->events, world->event_capacity * sizeof(event));
        assert(world->events != NULL);
    }
    event.number = world->event_number++;
    size_t at = world->event_count++;
    while (at > 0 && comes_before(&event, &world->events[(at - 1) / 2])) {
        world->events[at] = world->events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->events[at] = event;
}

static struct sim_event pop_event(struct sim_world *world)
{
    struct sim_event top = world->events[0];
    struct sim_event last = world->events[--world->event_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= world->event_count) {
            break;
        }
        if (child + 1 < world->event_count &&
            comes_before(&world->events[child + 1], &world->events[child])) {
            child++;
        }
        if (!comes_before(&world->events[child], &last)) {
            break;
        }
        world->events[at] = world->events[child];
        at = child;
    }
    world->events[at] = last;
    return top;
}

void sim_at(struct sim_world *world, int64_t at_us, struct sim_node *node, sim_action_fn *action,
            uint64_t argument)
{
    push_event(world, (struct sim_event){.at_us = at_us,
                                         .kind = ACTION,
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
    world->wall_offset_us = INT64_C(1700000000000000);
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

/* ---- the network ---- */

static struct sim_connection *connection_of(struct sim_world *world, int client,
                                            enum leat_link link)
{
    for (size_t i = world->connection_count; i-- > 0;) {
        struct sim_connection *c = &world->connections[i];
        if (c->client == client && c->link == link) {
            return c;
        }
    }
    return NULL;
}

static struct sim_connection *open_connection(struct sim_world *world, int client, int server,
                                              enum leat_link link)
{
    if (world->connection_count == world->connection_capacity) {
        world->connection_capacity =
            world->connection_capacity == 0 ? 64 : world->connection_capacity * 2;
        world->connections =
            realloc(world->connections, world->connection_capacity * sizeof(*world->connections));
        assert(world->connections != NULL);
    }
    struct sim_connection *c = &world->connections[world->connection_count];
    uint32_t number = (uint32_t)++world->connection_count;
    *c = (struct sim_connection){.client = client,
                                 .server = server,
                                 .client_life = world->nodes[client].life,
                                 .server_life = world->nodes[server].life,
                                 .link = link};
    c->peer.size = sizeof(number);
    memcpy(c->peer.bytes, &number, sizeof(number));
    return c;
}

void sim_connect(struct sim_node *client, enum leat_link link, struct sim_node *server)
{
    open_connection(client->world, client->index, server->index, link);
}

static bool is_open(const struct sim_world *world, const struct sim_connection *c)
{
    return !c->broken && world->nodes[c->client].life == c->client_life &&
           world->nodes[c->server].life == c->server_life;
}

void sim_cut(struct sim_node *client, enum leat_link link)
{
    struct sim_connection *c = connection_of(client->world, client->index, link);
    if (c != NULL) {
        c->broken = true;
    }
}

static void send_frame(struct sim_world *world, struct sim_connection *c, bool to_server,
                       struct leat_bytes frame)
{
    const struct sim_faults *faults = &world->faults;
    world->messages++;
    if (leat_rng_chance(&world->rng, faults->loss_ppm)) {
        world->lost++;
        return;
    }
    int copies = leat_rng_chance(&world->rng, faults->repeat_ppm) ? 2 : 1;
    for (int i = 0; i < copies; i++) {
        uint64_t spread = (uint64_t)(faults->delay_max_us - faults->delay_min_us) + 1;
        int64_t at_us =
            world->now_us + faults->delay_min_us + (int64_t)leat_rng_below(&world->rng, spread);
        if (!leat_rng_chance(&world->rng, faults->reorder_ppm)) {
            if (at_us <= c->last_arrival_us[to_server]) {
                at_us = c->last_arrival_us[to_server] + 1;
            }
            c->last_arrival_us[to_server] = at_us;
        }
        uint8_t *copy = malloc(frame.size);
        assert(copy != NULL);
        memcpy(copy, frame.data, frame.size);
        push_event(world, (struct sim_event){.at_us = at_us,
                                             .kind = ARRIVAL,
                                             .node = to_server ? c->server : c->client,
                                             .connection = (size_t)(c - world->connections),
                                             .to_server = to_server,
                                             .frame = {copy, frame.size}});
    }
}

static void unreachable(struct sim_world *world, struct sim_node *node, uint64_t argument)
{
    (void)world;
    uint32_t number = (uint32_t)argument;
    struct leat_event event = {.kind = LEAT_EVENT_UNREACHABLE, .link = LEAT_LINK_PEERS};
    event.peer.size = sizeof(number);
    memcpy(event.peer.bytes, &number, sizeof(number));
    sim_event(node, &event);
}

static void send_to_peer(struct sim_node *node, struct leat_peer peer, struct leat_bytes frame)
{
    struct sim_world *world = node->world;
    uint32_t number = 0;
    assert(peer.size == sizeof(number));
    memcpy(&number, peer.bytes, sizeof(number));
    assert(number >= 1 && number <= world->connection_count);
    struct sim_connection *c = &world->connections[number - 1];
    if (is_open(world, c)) {
        send_frame(world, c, false, frame);
    } else {
        sim_at(world, world->now_us, node, unreachable, number);
    }
}

static void send_to_server(struct sim_node *node, enum leat_link link, struct leat_bytes frame)
{
    struct sim_world *world = node->world;
    struct sim_connection *c = connection_of(world, node->index, link);
    assert(c != NULL);
    if (!is_open(world, c)) {
        if (world->nodes[c->server].core == NULL) {
            return; /* nobody listens; what libzmq would keep is a repeat that may also be lost */
        }
        c = open_connection(world, node->index, c->server, link);
    }
    send_frame(world, c, true, frame);
}

/* ---- steps, the gate and the disk ---- */

static void carry_out(struct sim_node *node, enum leat_link link, struct leat_peer peer,
                      struct leat_bytes frame)
{
    switch (link) {
    case LEAT_LINK_PEERS:
        send_to_peer(node, peer, frame);
        return;
    case LEAT_LINK_VENTILATOR:
    case LEAT_LINK_SINK:
        send_to_server(node, link, frame);
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

static void open_gate(struct sim_node *node)
{
    uint64_t durable = node->store == NULL ? UINT64_MAX : leat_store_durable(node->store);
    size_t count = 0;
    while (count < node->waiting_count && node->waiting[count].batch <= durable) {
        count++;
    }
    /* What leaves may come back as an event of this very node, so take it out first. */
    struct sim_waiting *leaving = malloc((count + 1) * sizeof(*leaving));
    assert(leaving != NULL);
    memcpy(leaving, node->waiting, count * sizeof(*leaving));
    node->waiting_count -= count;
    memmove(node->waiting, node->waiting + count, node->waiting_count * sizeof(*leaving));
    for (size_t i = 0; i < count; i++) {
        carry_out(node, leaving[i].link, leaving[i].peer, leaving[i].frame);
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
    push_event(world, (struct sim_event){.at_us = world->now_us + world->faults.commit_min_us +
                                                  (int64_t)leat_rng_below(&world->rng, spread),
                                         .kind = COMMIT,
                                         .node = node->index,
                                         .life = node->life});
}

static void schedule_tick(struct sim_node *node)
{
    int64_t deadline_us = node->role->deadline_us(node->core);
    if (deadline_us == LEAT_NEVER_US) {
        node->tick_at_us = LEAT_NEVER_US;
        return;
    }
    if (deadline_us <= node->world->now_us) {
        deadline_us = node->world->now_us + 1; /* no step takes no time */
    }
    if (deadline_us != node->tick_at_us) {
        node->tick_at_us = deadline_us;
        push_event(node->world, (struct sim_event){.at_us = deadline_us,
                                                   .kind = TICK,
                                                   .node = node->index,
                                                   .life = node->life});
    }
}

/* What the core has just emitted goes to the gate, and through it when nothing is to wait for. */
static void take_actions(struct sim_node *node)
{
    uint64_t batch = 0;
    if (node->store != NULL) {
        uint64_t filling = leat_store_filling(node->store);
        bool dirty = leat_store_is_dirty(node->store);
        batch = dirty ? filling : leat_store_is_committing(node->store) ? filling - 1 : 0;
    }
    for (size_t i = 0; i < node->out.count; i++) {
        const struct leat_action *action = &node->out.actions[i];
        if (action->kind == LEAT_ACTION_SEND) {
            trace(node, "sends", &action->msg);
            keep(node, batch, action);
        } else if (action->kind == LEAT_ACTION_EXIT) {
            node->exited = true;
            node->exit_status = action->exit_status;
        } else if (node->world->trace) {
            char id[LEAT_ID_TEXT_BYTES];
            printf("[%10.3f ms] %s%d.%u notes %s %s %.*s %lld\n",
                   (double)node->world->now_us / 1000.0, node->role->name, node->index, node->life,
                   leat_note_name(action->note.id), leat_id_format(&action->note.subject, id),
                   LEAT_STR_ARGS(action->note.name), (long long)action->note.value);
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
    event->now = sim_now(node->world);
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
    trace(node, "gets ", &msg);
    struct leat_event event = {.kind = LEAT_EVENT_MESSAGE, .link = link, .peer = peer, .msg = &msg};
    sim_event(node, &event);
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
    node->core = node->role->boot(node, &node->out);
    trace(node, "boots", NULL);
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
    node->world->crashes++;
    node->role->destroy(node->core);
    node->core = NULL;
    node->life++;
    drop_waiting(node);
    leat_out_clear(&node->out);
    if (node->store != NULL) {
        bool kept = leat_rng_chance(&node->world->rng, 500000);
        leat_store_memory_crash(node->store, kept ? LEAT_STORE_KEPT : LEAT_STORE_LOST);
    }
}

void sim_freeze(struct sim_node *node, int64_t until_us)
{
    node->frozen_until_us = until_us;
}

/* ---- time goes on ---- */

static void arrive(struct sim_world *world, const struct sim_event *event)
{
    struct sim_connection *c = &world->connections[event->connection];
    if (!is_open(world, c)) {
        return;
    }
    struct leat_peer peer = event->to_server ? c->peer : (struct leat_peer){0};
    enum leat_link link = event->to_server ? LEAT_LINK_PEERS : c->link;
    deliver(&world->nodes[event->node], link, peer, event->frame);
}

static void commit_done(struct sim_node *node)
{
    leat_store_memory_complete(node->store);
    struct leat_why why;
    enum leat_err err = leat_store_advance(node->store, &why);
    assert(err == LEAT_OK);
    start_commit(node);
    open_gate(node);
}

static void happen(struct sim_world *world, const struct sim_event *event)
{
    struct sim_node *node = event->node < 0 ? NULL : &world->nodes[event->node];
    bool same_life = node != NULL && node->core != NULL && node->life == event->life;
    switch (event->kind) {
    case ARRIVAL:
        arrive(world, event);
        return;
    case TICK:
        if (same_life && event->at_us == node->tick_at_us) {
            node->tick_at_us = LEAT_NEVER_US;
            struct leat_event tick = {.kind = LEAT_EVENT_TICK};
            sim_event(node, &tick);
        }
        return;
    case COMMIT:
        if (same_life) {
            commit_done(node);
        }
        return;
    case ACTION:
        if (node == NULL || same_life) {
            event->action(world, node, event->argument);
        }
        return;
    }
}

void sim_run(struct sim_world *world, int64_t until_us)
{
    while (world->event_count > 0 && world->events[0].at_us <= until_us) {
        struct sim_event event = pop_event(world);
        struct sim_node *node = event.node < 0 ? NULL : &world->nodes[event.node];
        if (node != NULL && event.kind != COMMIT && node->frozen_until_us > event.at_us) {
            bool is_the_tick = event.kind == TICK && event.life == node->life &&
                               event.at_us == node->tick_at_us;
            if (is_the_tick) {
                node->tick_at_us = node->frozen_until_us;
            } else if (event.kind == TICK) {
                continue; /* of an earlier life, or no longer wanted */
            }
            event.at_us = node->frozen_until_us;
            push_event(world, event);
            continue;
        }
        world->now_us = event.at_us;
        happen(world, &event);
        free((void *)(uintptr_t)event.frame.data);
    }
    world->now_us = until_us;
}
