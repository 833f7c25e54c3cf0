/* The simulated world: virtual time, a network that loses, repeats, delays and cuts, disks that
 * forget what was not committed, and processes that die and come back. Everything that happens
 * follows from the seed.
 *
 * A node is one process: a core (core/step.h), its store if it has one, and the gate that holds its
 * messages back until what they speak of is on the disk. Its incarnation counts its lives; whatever
 * was under way to an earlier life is lost.
 *
 * Bytes travel, not structs: every message is encoded when it leaves and decoded when it arrives.
 */
#ifndef LEAT_SIMULATION_WORLD_H
#define LEAT_SIMULATION_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rng.h"
#include "core/step.h"
#include "store/memory.h"
#include "wire/buffer.h"

#define SIM_NODES_MAX 32
/* What every wall clock shows at the beginning, about. */
#define SIM_WALL_US INT64_C(1700000000000000)

struct sim_world;
struct sim_node;

/* What makes a node a ventilator, a worker... All act on node->core. */
struct sim_role {
    const char *name;
    void (*step)(void *core, const struct leat_event *event, struct leat_out *out);
    int64_t (*deadline_us)(const void *core);
    void (*check)(const void *core); /* invariants, after every step */
    /* Makes the core of a new life; appends what recovery emits to `out`. */
    void *(*boot)(struct sim_node *node, struct leat_out *out);
    void (*destroy)(void *core);
    /* A message on a link that is no connection (spawner, metrics, events); may be NULL. */
    void (*local)(struct sim_node *node, enum leat_link link, const struct leat_msg *msg);
};

/* One message that waits for the disk. */
struct sim_waiting {
    uint64_t batch;
    enum leat_link link;
    struct leat_peer peer;
    struct leat_bytes frame; /* owned */
};

struct sim_node {
    struct sim_world *world;
    int index;
    const struct sim_role *role;
    void *core;                /* NULL while it is dead */
    struct leat_store *store;  /* its disk: outlives its lives; NULL for roles without one */
    struct leat_store *backup; /* a copy of it that somebody made; NULL: none */
    unsigned life;
    void *context; /* the role's own */

    struct leat_out out;
    struct sim_waiting *waiting;
    size_t waiting_count, waiting_capacity;
    int64_t tick_at_us; /* of the tick that is scheduled; LEAT_NEVER_US: none */
    int64_t frozen_until_us;
    int32_t clock_ppm;      /* its clocks run faster by this, or slower */
    int64_t wall_offset_us; /* its wall clock is ahead by this */
    bool exited;            /* the core has emitted EXIT; the process ends when all is said */
    int exit_status;
};

struct sim_faults {
    uint32_t loss_ppm;    /* a message vanishes */
    uint32_t repeat_ppm;  /* a message arrives twice */
    uint32_t reorder_ppm; /* a message overtakes others of its connection */
    uint32_t late_ppm;    /* a second copy of a message arrives later than everything else */
    int64_t late_max_us;
    int64_t delay_min_us, delay_max_us;
    int64_t commit_min_us, commit_max_us;
    uint32_t commit_fails_ppm; /* a commit fails, and the process ends */
    uint32_t midway_ppm;       /* a process dies between two of the actions that it carries out */
};

/* The way from one node to another. */
struct sim_path {
    int64_t cut_until_us;           /* nothing gets through until then */
    bool holds;                     /* what is sent meanwhile arrives afterwards; else it is lost */
    int64_t slow_until_us, slow_us; /* until then each message takes this much longer */
};

/* What can be seen of a world, by checkers and by who writes a story of it. */
enum sim_sight_kind {
    SIM_SENDS = 1, /* the core emitted a message; it may still wait for the disk */
    SIM_GETS,      /* a message has arrived, and the core is about to take it */
    SIM_TOOK,      /* and has taken it */
    SIM_LEAVES,    /* a message leaves, since all that it speaks of is on the disk; with `tells` */
    SIM_LOSES,     /* a message was lost on its way; node is who sent it */
    SIM_WRITES,    /* a batch of the node's store is on the disk, and messages wait for it */
    SIM_NOTES,
    SIM_BOOTS,
    SIM_CRASHES,
    SIM_ENDS,
};

struct sim_sight {
    enum sim_sight_kind kind;
    struct sim_node *node;
    enum leat_link link;
    struct leat_peer peer;        /* with LEAT_LINK_PEERS */
    const struct leat_msg *msg;   /* borrowed; of the first five */
    const struct leat_note *note; /* borrowed; of SIM_NOTES */
};

typedef void sim_watch_fn(const struct sim_sight *sight, void *context);

struct sim_world {
    struct leat_rng rng;
    int64_t now_us;
    int64_t wall_offset_us;
    struct sim_faults faults;
    uint32_t linger_ppm; /* what is under way on a connection arrives after its end all the same */
    struct sim_node nodes[SIM_NODES_MAX];
    int node_count;
    struct sim_path paths[SIM_NODES_MAX][SIM_NODES_MAX]; /* from, to */
    bool trace;
    bool tells;          /* SIM_LEAVES is wanted */
    sim_watch_fn *watch; /* may be NULL */
    void *watch_context;
    /* A process has ended by itself: after EXIT, or since a commit failed. May be NULL. */
    void (*ended)(struct sim_world *world, struct sim_node *node);
    void *context; /* whose `ended` is */

    struct sim_event *events; /* binary heap by (time, number) */
    size_t event_count, event_capacity;
    uint64_t event_number;
    struct sim_connection *connections;
    size_t connection_count, connection_capacity;
    uint64_t steps, messages, lost, crashes;
};

typedef void sim_action_fn(struct sim_world *world, struct sim_node *node, uint64_t argument);

void sim_world_init(struct sim_world *world, uint64_t seed);
void sim_world_fini(struct sim_world *world);

/* Adds a node, dead at first. with_store: it gets a disk. */
struct sim_node *sim_add_node(struct sim_world *world, const struct sim_role *role, void *context,
                              bool with_store);
/* On `link` the node reaches `server` from now on; the server sees it as a peer. */
void sim_connect(struct sim_node *client, enum leat_link link, struct sim_node *server);

void sim_boot(struct sim_node *node);
/* Replaces a dead node's disk by an empty one. */
void sim_lose_disk(struct sim_node *node);
/* Copies what is on a node's disk now; puts the copy in place of a dead node's disk. */
void sim_back_up_disk(struct sim_node *node);
void sim_restore_disk(struct sim_node *node);
/* kill -9: the core is gone, the disk loses what was not durable (a batch under way is kept or lost
 * by chance), what is under way to it is lost, and what is under way from it, but for linger_ppm.
 */
void sim_crash(struct sim_node *node);
/* Breaks the connection: what is under way on it is lost (or, with linger_ppm, comes all the same,
 * later than what the next one brings), the next message opens a new one. */
void sim_cut(struct sim_node *client, enum leat_link link);
/* From now on and for a while: nothing gets from one node to the other (or it does so afterwards,
 * with `holds`); everything takes longer. One way. */
void sim_part(struct sim_world *world, int from, int to, int64_t until_us, bool holds);
void sim_slow(struct sim_world *world, int from, int to, int64_t until_us, int64_t slow_us);
/* SIGSTOP: nothing reaches the core until `until_us`; then everything does. */
void sim_freeze(struct sim_node *node, int64_t until_us);

struct leat_now sim_now(const struct sim_world *world);
/* The same by the clocks of the node. */
struct leat_now sim_node_now(const struct sim_node *node);
/* Who is at the other end of a connection that a server knows as `peer`. */
struct sim_node *sim_node_of_peer(struct sim_world *world, struct leat_peer peer);
/* Hands an event to the core, now; completes time and link. Dead nodes ignore it. */
void sim_event(struct sim_node *node, struct leat_event *event);
/* A message from a local link (spawner) to the core, through the codec. */
void sim_deliver_local(struct sim_node *node, enum leat_link link, const struct leat_msg *msg);
/* Calls `action` at a time; with a node, only if it is still in the same life. */
void sim_at(struct sim_world *world, int64_t at_us, struct sim_node *node, sim_action_fn *action,
            uint64_t argument);
/* Runs until nothing is left to happen or the time has come. */
void sim_run(struct sim_world *world, int64_t until_us);

#endif
