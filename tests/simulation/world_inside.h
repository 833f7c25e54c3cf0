/* What the files of the simulated world share. */
#ifndef LEAT_SIMULATION_WORLD_INSIDE_H
#define LEAT_SIMULATION_WORLD_INSIDE_H

#include "tests/simulation/world.h"

enum sim_event_kind { SIM_ARRIVAL, SIM_TICK, SIM_COMMIT, SIM_ACTION };

struct sim_event {
    int64_t at_us;
    uint64_t number; /* of equal times the earlier made comes first */
    enum sim_event_kind kind;
    int node; /* -1: none */
    unsigned life;
    size_t connection;       /* SIM_ARRIVAL */
    bool to_server;          /* SIM_ARRIVAL */
    struct leat_bytes frame; /* SIM_ARRIVAL; owned */
    sim_action_fn *action;
    uint64_t argument;
};

/* A client's way to a server. A break or the end of either side ends it; the next message of the
 * client opens a new one with a new routing id, as libzmq does. */
struct sim_connection {
    struct leat_peer peer; /* the client, as the server sees it */
    int client, server;
    unsigned client_life, server_life;
    enum leat_link link; /* at the client */
    bool broken;
    bool lingers;               /* as bytes that a kernel or libzmq had taken already */
    int64_t last_arrival_us[2]; /* to the client, to the server: keeps the order */
};

/* events.c: the heap of what is still to happen. Takes over the frame. */
void sim_push_event(struct sim_world *world, struct sim_event event);
struct sim_event sim_pop_event(struct sim_world *world);

/* network.c */
bool sim_is_open(const struct sim_world *world, const struct sim_connection *connection);
/* Whether what arrives on it now still finds its reader. */
bool sim_is_heard(const struct sim_world *world, const struct sim_connection *connection,
                  bool by_server);
void sim_send_to_peer(struct sim_node *node, struct leat_peer peer, struct leat_bytes frame);
void sim_send_to_server(struct sim_node *node, enum leat_link link, struct leat_bytes frame);

/* world.c */
void sim_see(struct sim_node *node, enum sim_sight_kind kind, enum leat_link link,
             struct leat_peer peer, const struct leat_msg *msg);

#endif
