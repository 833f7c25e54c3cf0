/* The four roles as nodes of the simulated world, around the real cores, and the ledger in which
 * producers write what they submitted and what was acknowledged. */
#ifndef LEAT_SIMULATION_ROLES_H
#define LEAT_SIMULATION_ROLES_H

#include "tests/simulation/cluster.h"

struct sim_job {
    enum sim_job_kind kind;
    bool acknowledged;
    int announced; /* FINISHED events seen */
    uint64_t announced_status;
    int64_t not_before_ms;
};

struct sim_ledger {
    struct sim_job *jobs; /* owned by the cluster; a job's number is its place */
    size_t count, capacity;
    const char *broken; /* the first rule that a role saw broken */
    char text[200];
};

/* The id of a job is its number, so that a result can be looked up without a map. */
struct leat_id sim_job_id(size_t index);
size_t sim_job_index(const struct leat_id *id);

extern const struct sim_role sim_role_ventilator; /* context: struct sim_ledger */
extern const struct sim_role sim_role_sink;       /* context: struct sim_ledger */
extern const struct sim_role sim_role_worker;     /* context: from sim_worker_new */
extern const struct sim_role sim_role_producer;   /* context: from sim_producer_new */

uint64_t sim_ventilator_jobs(const struct sim_node *ventilator); /* not yet settled */
uint64_t sim_sink_results(const struct sim_node *sink);

/* A worker whose handlers behave as the kinds of jobs say. */
void *sim_worker_new(struct sim_ledger *ledger);
void sim_worker_free(void *context);

/* A producer that submits `jobs` jobs over its lives, and remembers how many it has. */
void *sim_producer_new(struct sim_ledger *ledger, int jobs);
void sim_producer_free(void *context);
/* Submitted all, and all are acknowledged or were lost with an earlier life. */
bool sim_producer_is_done(const struct sim_node *producer);

#endif
