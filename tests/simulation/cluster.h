/* A whole cluster in the simulated world: one ventilator, one sink, some workers and producers, and
 * what must hold of them whatever happens (docs/ARCHITECTURE.md, promise P1).
 *
 *   1. every acknowledged job has exactly one final result at the end
 *   2. no result belongs to a job that was not submitted
 *   3. a result that was recorded once never changes, and is announced at most once
 *   4. each job ends as its kind must: see sim_job_kind
 *   5. no attempt has a number above the job's maximum
 *   6. no attempt begins before its time or after its expiry, nor faster than its rate, nor before
 *      the delay of the retry has passed
 *   7. of one job no two workers that the ventilator counts have a lease
 *   8. no more jobs are pushed than the worker granted credit for
 *   9. a job that is settled is never pushed again, an acknowledged one never accepted as new again
 *  10. a job is given up exactly when it has reached its delivery limit
 *  11. no job succeeds of which no handler said so
 *  12. no bound is exceeded: jobs and bytes at the ventilator, items of a message, jobs and results
 *      at a worker, ids under way to the ventilator
 *  13. no worker is lost that was heard; after a restart nothing is pushed before workers have had
 *      the time to say what they run
 *  14. of a job of which STORED was said no other result is recorded, and what was announced stays
 *      in the sink until the ventilator has heard of it; nothing new is accepted without room on
 * the disk; nothing of a paused queue is pushed
 *  15. everything ends, nothing is left at the ventilator, nobody is busy without end, and every
 *      core keeps its own invariants all the time
 *  16. at every start --check-store would say that the broker's store is in order
 */
#ifndef LEAT_SIMULATION_CLUSTER_H
#define LEAT_SIMULATION_CLUSTER_H

#include "tests/simulation/world.h"

enum sim_job_kind {
    SIM_OK,       /* succeeds */
    SIM_FLAKY,    /* fails twice, then succeeds */
    SIM_BAD,      /* fails for good at the first attempt */
    SIM_HANGING,  /* every attempt times out; fails after 2 */
    SIM_POISON,   /* kills its worker; ends as lost too often */
    SIM_DELAYED,  /* succeeds, not before its time */
    SIM_EXPIRING, /* succeeds, or expires */
    SIM_LIMITED,  /* succeeds; workers limit the rate of its type */
    SIM_KINDS,
};

/* Disks are lost as a whole, or replaced by an older copy, only in histories of their own: what was
 * on them may be missing. */
enum sim_loss {
    SIM_LOSES_NOTHING,
    SIM_LOSES_SINK_DISK,
    SIM_LOSES_VENTILATOR_DISK,
    SIM_RESTORES_SINK_DISK,
    SIM_RESTORES_VENTILATOR_DISK,
};

struct sim_cluster_config {
    uint64_t seed;
    int workers, producers;
    int jobs_per_producer;
    int64_t faults_for_us; /* faults happen until then; 0: none */
    int64_t end_us;        /* everything must have ended by then */
    enum sim_loss loses;
    bool trace;
};

struct sim_cluster_report {
    const char *broken; /* NULL: everything held; else which rule, with details in `text` */
    char text[256];
    uint64_t submitted, acknowledged, steps, messages, lost, crashes;
    uint64_t results; /* that the sink keeps at the end */
    uint64_t removed; /* jobs that ended, and whose result it has removed: it may keep a few only */
    int64_t ended_us; /* when the last job had ended */
};

/* The world is made, lives and is taken down inside this call. */
struct sim_cluster_report sim_cluster_run(const struct sim_cluster_config *config);

#endif
