/* What the files of the cluster share. */
#ifndef LEAT_SIMULATION_CLUSTER_INSIDE_H
#define LEAT_SIMULATION_CLUSTER_INSIDE_H

#include "tests/simulation/roles.h"

/* Kinds of faults. Each history has some of them, each with a weight of its own: a fault that is
 * rare among many others is common in histories that have only a few. */
enum sim_fault {
    SIM_FAULT_CRASH,
    SIM_FAULT_BREAK,    /* of a connection */
    SIM_FAULT_PART,     /* one-way or both ways */
    SIM_FAULT_SLOW,     /* a way between two nodes */
    SIM_FAULT_FREEZE,   /* and thaw */
    SIM_FAULT_WEATHER,  /* loss, repeats, reordering, delay, all over */
    SIM_FAULT_LATE,     /* copies that arrive much later */
    SIM_FAULT_WALL,     /* somebody sets the clocks, or one of them */
    SIM_FAULT_FULL,     /* disk */
    SIM_FAULT_COMMIT,   /* fails */
    SIM_FAULT_MIDWAY,   /* a crash between two actions */
    SIM_FAULT_STALL,    /* commits that take seconds */
    SIM_FAULT_PAUSE,    /* of a queue, and resume */
    SIM_FAULT_STOP,     /* SIGTERM */
    SIM_FAULT_SHUTDOWN, /* of the cluster; it is started again */
    SIM_FAULTS,
};

struct sim_cluster {
    const struct sim_cluster_config *config;
    struct sim_world *world;
    struct sim_ledger ledger;
    struct sim_checks *checks;
    struct sim_node *sink, *ventilator, *operator;
    struct sim_node *producers[SIM_NODES_MAX];
    unsigned weights[SIM_FAULTS];
    int64_t pause_us; /* longest time from one fault to the next */
};

/* faults.c */
void sim_faults_choose(struct sim_cluster *cluster, struct leat_rng *rng);
void sim_faults_begin(struct sim_cluster *cluster);
/* A process that is not there is started after a while; takes part in every history. */
void sim_revive_later(struct sim_world *world, struct sim_node *node);

/* checks.c: looks at everything that happens. */
struct sim_checks *sim_checks_new(struct sim_world *world, struct sim_ledger *ledger);
void sim_checks_free(struct sim_checks *checks);
void sim_checks_watch(const struct sim_sight *sight, void *checks);

/* bounds.c: whether what the node has just said or taken keeps its bounds. */
void sim_check_bounds(struct sim_ledger *ledger, const struct sim_sight *sight);

#endif
