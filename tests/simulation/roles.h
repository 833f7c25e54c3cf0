/* The roles as nodes of the simulated world, around the real cores, and the ledger: what was
 * submitted, what was acknowledged, what was seen of each job. */
#ifndef LEAT_SIMULATION_ROLES_H
#define LEAT_SIMULATION_ROLES_H

#include "broker/sink/sink.h"
#include "broker/ventilator/ventilator.h"
#include "tests/simulation/cluster.h"

#define SIM_QUEUES 3
#define SIM_SLOTS  3 /* of a worker */

struct sim_job {
    enum sim_job_kind kind;
    int producer, queue;
    bool acknowledged;
    bool excused;                           /* whoever had it or its result lost the disk */
    bool forgotten;                         /* the ventilator lost its disk since */
    int announced;                          /* FINISHED events seen */
    bool was_announced;                     /* when the sink's disk was copied */
    bool was_settled;                       /* the ventilator has heard so, ever */
    int succeeded;                          /* attempts of which the handler said so */
    uint64_t retry_attempt;                 /* last attempt that a worker said is to be repeated */
    int64_t retry_due_us;                   /* by the ventilator's clock: not before then */
    unsigned retry_life;                    /* of the ventilator that was told so */
    uint64_t pushed_delivery;               /* of its last lease */
    uint64_t lost_delivery;                 /* of the last one that was lost */
    unsigned pushed_life;                   /* in that life of the ventilator */
    unsigned lost_life;                     /* in that life of the ventilator */
    uint64_t taken_attempt, taken_delivery; /* of the last RETRY from who had the lease */
    uint64_t arrived_attempt;               /* the latest of which RETRY has come */
    uint64_t confirmed_attempt;             /* a worker was told that its failure is on disk */
    bool stored;                            /* a worker was told STORED of its result */
    uint64_t announced_status, announced_run_us;
    int64_t not_before_ms, expires_at_ms;
    bool gone; /* the ventilator has it on disk that this job is settled */
    struct leat_id stream;
    uint64_t settled; /* its number in that stream, as last sent */
};

/* What the members of a cluster are set to; chosen by the seed. */
struct sim_settings {
    uint64_t kinds; /* bits of enum sim_job_kind that are submitted; 0: all */
    size_t batch_jobs_max;
    bool resubmits; /* a producer that comes back submits again what it has submitted before */
    int queues;     /* 1 to SIM_QUEUES */
    bool rate_limits;
    size_t prefetch, prefetch_max, outbox_results_max;
    int64_t drain_ms;
    size_t push_items_max;   /* in one JOBS */
    uint64_t settled_window; /* of the sink */
    uint64_t filling_bytes_max;
    uint64_t bytes_max;        /* of jobs at the ventilator; 0: as usual */
    uint64_t dedupe_max;       /* settled ids that the ventilator remembers; 0: as usual */
    uint64_t keep_results_max; /* successes that the sink keeps; 0: as usual */
    int64_t audit_ms;          /* of the ventilator */
    unsigned check_every;      /* steps between two checks of a broker's whole store */
    int64_t run_us;            /* each attempt runs as long; 0: by chance */
};

struct sim_ledger {
    struct sim_job *jobs; /* owned by the cluster; a job's number is its place */
    size_t count, capacity;
    struct sim_settings settings;
    bool times_hold;     /* no wall clock is set in this history, and all run alike */
    bool disk_replaced;  /* of the ventilator: what was said to it may be unsaid */
    bool numbers_repeat; /* an older copy of the sink gives numbers of its stream a second time */
    struct sim_checks *checks;
    const char *broken; /* the first rule that a role saw broken */
    char text[200];
};

/* For leat_examination: what --check-store would say of a store that nothing has damaged is a rule
 * broken. context: the ledger. */
bool sim_found_in_store(void *context, const char *what);

/* Notes the first rule that was broken. */
__attribute__((format(printf, 3, 4))) void sim_break(struct sim_ledger *ledger, const char *rule,
                                                     const char *format, ...);

/* The id of a job is its number, so that a result can be looked up without a map. */
struct leat_id sim_job_id(size_t index);
size_t sim_job_index(const struct leat_id *id);
struct sim_job *sim_job_of(struct sim_ledger *ledger, const struct leat_id *id);
const char *sim_kind_name(enum sim_job_kind kind); /* the type of such jobs */
struct leat_str sim_queue_name(int queue);

extern const struct sim_role sim_role_ventilator; /* context: struct sim_ledger */
extern const struct sim_role sim_role_sink;       /* context: struct sim_ledger */
extern const struct sim_role sim_role_worker;     /* context: from sim_worker_new */
extern const struct sim_role sim_role_producer;   /* context: from sim_producer_new */
extern const struct sim_role sim_role_operator;   /* context: struct sim_ledger */

uint64_t sim_ventilator_jobs(const struct sim_node *ventilator); /* not yet settled */
struct leat_ventilator_counts sim_ventilator_counts(const struct sim_node *ventilator);
struct leat_sink_info sim_sink_info(const struct sim_node *sink);
bool sim_ventilator_holds(const struct sim_node *ventilator, const struct leat_id *id,
                          uint64_t delivery, const struct leat_id *session);
uint64_t sim_sink_results(const struct sim_node *sink);

/* The person with the command line, on LEAT_LINK_VENTILATOR. */
void sim_operator_say(struct sim_node *node, const char *verb, const char *argument);

/* The worker's batches of results, and which of them the sink has confirmed. */
void sim_worker_said_results(struct sim_node *worker, const struct leat_msg_results *results);
void sim_worker_heard_stored(struct sim_node *worker, uint64_t batch);

struct leat_id sim_worker_session(const struct sim_node *worker);
/* Whether an attempt of the job is with the spawner and not about to be killed. */
bool sim_worker_runs(const struct sim_node *worker, const struct leat_id *id,
                     uint64_t *ret_delivery);

/* A worker whose handlers behave as the kinds of jobs say. */
void *sim_worker_new(struct sim_ledger *ledger, unsigned queues); /* bits */
void sim_worker_free(void *context);

/* A producer that submits `jobs` jobs over its lives, and remembers how many it has. */
void *sim_producer_new(struct sim_ledger *ledger, int jobs);
/* Submits one job now; its number. */
size_t sim_producer_submit(struct sim_node *producer, enum sim_job_kind kind);
void sim_producer_free(void *context);
/* Submitted all, and all are acknowledged or were lost with an earlier life. */
bool sim_producer_is_done(const struct sim_node *producer);

#endif
