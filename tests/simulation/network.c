/* The network: connections as libzmq has them, and what it does to messages. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simulation/world_inside.h"
#include "wire/codec.h"

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
                                 .link = link,
                                 .lingers = leat_rng_chance(&world->rng, world->linger_ppm)};
    c->peer.size = sizeof(number);
    memcpy(c->peer.bytes, &number, sizeof(number));
    return c;
}

void sim_connect(struct sim_node *client, enum leat_link link, struct sim_node *server)
{
    open_connection(client->world, client->index, server->index, link);
}

bool sim_is_open(const struct sim_world *world, const struct sim_connection *c)
{
    return !c->broken && world->nodes[c->client].life == c->client_life &&
           world->nodes[c->server].life == c->server_life;
}

bool sim_is_heard(const struct sim_world *world, const struct sim_connection *c, bool by_server)
{
    const struct sim_node *reader = &world->nodes[by_server ? c->server : c->client];
    unsigned life = by_server ? c->server_life : c->client_life;
    return sim_is_open(world, c) || (c->lingers && reader->core != NULL && reader->life == life);
}

void sim_cut(struct sim_node *client, enum leat_link link)
{
    struct sim_connection *c = connection_of(client->world, client->index, link);
    if (c != NULL) {
        c->broken = true;
    }
}

static void lose(struct sim_world *world, const struct sim_connection *c, bool to_server,
                 struct leat_bytes frame)
{
    world->lost++;
    if (world->watch == NULL) {
        return;
    }
    struct leat_arena arena;
    leat_arena_init(&arena, 1 << 24);
    struct leat_msg msg;
    struct leat_why why;
    enum leat_err err = leat_wire_decode(frame, &arena, &msg, &why);
    assert(err == LEAT_OK);
    sim_see(&world->nodes[to_server ? c->client : c->server], SIM_LOSES,
            to_server ? c->link : LEAT_LINK_PEERS, c->peer, &msg);
    leat_arena_fini(&arena);
}

static int64_t delay_us(struct sim_world *world, const struct sim_path *path)
{
    const struct sim_faults *faults = &world->faults;
    uint64_t spread = (uint64_t)(faults->delay_max_us - faults->delay_min_us) + 1;
    return faults->delay_min_us + (int64_t)leat_rng_below(&world->rng, spread) +
           (path->slow_until_us > world->now_us ? path->slow_us : 0);
}

static void bring(struct sim_world *world, const struct sim_connection *c, bool to_server,
                  struct leat_bytes frame, int64_t at_us)
{
    uint8_t *copy = malloc(frame.size);
    assert(copy != NULL);
    memcpy(copy, frame.data, frame.size);
    sim_push_event(world, (struct sim_event){.at_us = at_us,
                                             .kind = SIM_ARRIVAL,
                                             .node = to_server ? c->server : c->client,
                                             .connection = (size_t)(c - world->connections),
                                             .to_server = to_server,
                                             .frame = {copy, frame.size}});
}

static void send_frame(struct sim_world *world, struct sim_connection *c, bool to_server,
                       struct leat_bytes frame)
{
    const struct sim_faults *faults = &world->faults;
    const struct sim_path *path =
        to_server ? &world->paths[c->client][c->server] : &world->paths[c->server][c->client];
    bool is_cut = path->cut_until_us > world->now_us;
    world->messages++;
    if ((is_cut && !path->holds) || leat_rng_chance(&world->rng, faults->loss_ppm)) {
        lose(world, c, to_server, frame);
        return;
    }
    int copies = leat_rng_chance(&world->rng, faults->repeat_ppm) ? 2 : 1;
    for (int i = 0; i < copies; i++) {
        int64_t from_us = is_cut ? path->cut_until_us : world->now_us;
        int64_t at_us = from_us + delay_us(world, path);
        if (!leat_rng_chance(&world->rng, faults->reorder_ppm)) {
            if (at_us <= c->last_arrival_us[to_server]) {
                at_us = c->last_arrival_us[to_server] + 1;
            }
            c->last_arrival_us[to_server] = at_us;
        }
        bring(world, c, to_server, frame, at_us);
    }
    if (leat_rng_chance(&world->rng, faults->late_ppm)) {
        uint64_t late_us = leat_rng_below(&world->rng, (uint64_t)faults->late_max_us);
        bring(world, c, to_server, frame, world->now_us + (int64_t)late_us);
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

void sim_send_to_peer(struct sim_node *node, struct leat_peer peer, struct leat_bytes frame)
{
    struct sim_world *world = node->world;
    uint32_t number = 0;
    assert(peer.size == sizeof(number));
    memcpy(&number, peer.bytes, sizeof(number));
    assert(number >= 1 && number <= world->connection_count);
    struct sim_connection *c = &world->connections[number - 1];
    if (sim_is_open(world, c)) {
        send_frame(world, c, false, frame);
    } else {
        sim_at(world, world->now_us, node, unreachable, number);
    }
}

void sim_send_to_server(struct sim_node *node, enum leat_link link, struct leat_bytes frame)
{
    struct sim_world *world = node->world;
    struct sim_connection *c = connection_of(world, node->index, link);
    assert(c != NULL);
    if (!sim_is_open(world, c)) {
        if (world->nodes[c->server].core == NULL) {
            /* Nobody listens; what libzmq would keep is a repeat that may also be lost. */
            lose(world, c, true, frame);
            return;
        }
        c = open_connection(world, node->index, c->server, link);
    }
    send_frame(world, c, true, frame);
}

void sim_part(struct sim_world *world, int from, int to, int64_t until_us, bool holds)
{
    struct sim_path *path = &world->paths[from][to];
    path->cut_until_us = until_us;
    path->holds = holds;
}

void sim_slow(struct sim_world *world, int from, int to, int64_t until_us, int64_t slow_us)
{
    struct sim_path *path = &world->paths[from][to];
    path->slow_until_us = until_us;
    path->slow_us = slow_us;
}

struct sim_node *sim_node_of_peer(struct sim_world *world, struct leat_peer peer)
{
    uint32_t number = 0;
    assert(peer.size == sizeof(number));
    memcpy(&number, peer.bytes, sizeof(number));
    assert(number >= 1 && number <= world->connection_count);
    return &world->nodes[world->connections[number - 1].client];
}
