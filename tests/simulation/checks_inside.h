/* What the files of the checks share. */
#ifndef LEAT_SIMULATION_CHECKS_INSIDE_H
#define LEAT_SIMULATION_CHECKS_INSIDE_H

#include "tests/simulation/cluster_inside.h"

/* A worker as the ventilator has it in its present life. */
struct sim_fellow {
    uint64_t round;        /* of the last WELCOME; 0: the ventilator does not count it */
    struct leat_peer peer; /* where it was said; jobs may still go to an earlier life elsewhere */
    uint64_t credit, pushed;
    uint64_t limited_credit, limited_pushed; /* of the type with a rate */
    int64_t heard_us;                        /* by the ventilator's clock */
};

/* How many producers' batches are followed; the one that was seen first is given up for a new one.
 */
#define SIM_CUSTOMERS 256

/* A producer id as the ventilator has answered it, in all its lives. */
struct sim_customer {
    struct leat_id producer;
    uint64_t accepted; /* last batch that was accepted */
};

/* Whether a queue is paused, as far as it can be known. */
struct sim_word {
    bool is_known, is_paused;
    bool is_done; /* the operator has read so: it outlives a restart */
};

/* A RETRY that was said and not confirmed. */
struct sim_said {
    struct leat_id id;
    uint64_t delivery, attempt; /* attempt 0: a free place */
};

#define SIM_SAID_MAX 64

#define SIM_STREAMS_LEFT 8

struct sim_checks {
    struct sim_world *world;
    struct sim_ledger *ledger;
    struct sim_fellow fellows[SIM_NODES_MAX];
    struct sim_customer customers[SIM_CUSTOMERS];
    size_t customer_count;
    size_t acknowledged_before; /* jobs of the SUBMIT at hand that had been acknowledged */
    uint64_t submitted_batch;
    struct leat_id followed;
    struct sim_said said[SIM_NODES_MAX][SIM_SAID_MAX]; /* by workers */
    unsigned life;                                     /* of the ventilator */
    int64_t began_us;                                  /* by its clock */
    struct sim_word words[SIM_QUEUES];                 /* what was last said of each queue */
    uint64_t settled; /* up to this number of it the ventilator has everything on disk */
    struct leat_id last_followed;          /* stream of the latest FOLLOW */
    struct leat_id left[SIM_STREAMS_LEFT]; /* streams for which another one was followed */
    size_t left_count;
};

/* checks_times.c: attempts, retries, expiry, silence, grace */
void sim_check_attempt(struct sim_checks *checks, const struct sim_node *ventilator,
                       const struct leat_item_delivery *item);
void sim_times_retry(struct sim_checks *checks, const struct sim_node *ventilator,
                     const struct leat_msg_retry *retry);
void sim_times_heard(struct sim_checks *checks, const struct sim_node *ventilator,
                     const struct sim_node *worker, struct leat_peer peer);
void sim_times_lost(struct sim_checks *checks, const struct sim_node *ventilator,
                    const struct leat_id *session);

/* checks_leases.c: deliveries that were lost, retries that were confirmed */
void sim_check_lease(struct sim_checks *checks, const struct leat_item_delivery *item);
void sim_lease_lost(struct sim_checks *checks, const struct leat_id *id);
void sim_lease_retries(struct sim_checks *checks, const struct sim_node *ventilator,
                       const struct sim_node *worker, const struct leat_msg_retry *retry);
void sim_lease_said(struct sim_checks *checks, const struct sim_node *worker,
                    const struct leat_msg_retry *retry);
void sim_lease_pong(struct sim_checks *checks, const struct sim_node *worker);
void sim_lease_forget(struct sim_checks *checks, const struct sim_node *worker);

/* checks_control.c: pause and resume */
void sim_control_said(struct sim_checks *checks, const struct leat_msg_control *control);
void sim_control_done(struct sim_checks *checks, const struct leat_msg_done *done);
void sim_control_restarts(struct sim_checks *checks);
void sim_check_queue(struct sim_checks *checks, const struct leat_item_delivery *item);

#endif
