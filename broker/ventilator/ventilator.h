/* The ventilator: owns every job that has not ended, pushes jobs to workers within their credit,
 * and forgets a job when the sink has its result. A pure core; core/step.h is the contract.
 *
 * LEAT_LINK_PEERS  takes SUBMIT, HELLO, CREDIT, RETRY, RETURN, PING, GOODBYE, CONTROL, LOOKUP;
 *                  sends ACCEPTED, BUSY, REJECTED, RESEND, WELCOME, JOBS, PONG, GOODBYE, DRAIN,
 * DONE, FOUND, ERROR LEAT_LINK_SINK   takes SETTLED, STORED, BUSY, ERROR; sends FOLLOW, RESULTS,
 * GAUGES, QUIT
 *
 * How a job moves (every arrow that changes what a restart would find is in the store before any
 * message that speaks of it leaves):
 *
 *   SUBMIT ──▶ scheduled ──due──▶ ready ──JOBS──▶ leased ──SETTLED──▶ settled (id remembered a
 * while) └────────────────────────▲  ▲──lost, returned──┤ retrying ──due──────┘ ◀─────RETRY───────┘
 *   ready, scheduled, retrying ──expired──▶ ending ──SETTLED──▶ settled
 *   leased ──lost too often, expired──────▶ ending
 *
 * broker/ventilator/README.md has the invariants. Single-threaded; nothing blocks but the reads of
 * the store. Out of memory, and a store that cannot be read, end the process: the first by abort,
 * the second by ACTION_EXIT with status LEAT_VENTILATOR_EXIT_STORE.
 */
#ifndef LEAT_VENTILATOR_VENTILATOR_H
#define LEAT_VENTILATOR_VENTILATOR_H

#include "broker/ventilator/store.h"
#include "core/err.h"
#include "core/step.h"

/* The exit status of ACTION_EXIT when the store is broken, as in io/exit.h. */
#define LEAT_VENTILATOR_EXIT_STORE 74

struct leat_ventilator;

struct leat_ventilator_config {
    struct leat_id sender;      /* names this process in RESULTS; random, not zero */
    uint64_t seed;              /* for hashing */
    uint64_t jobs_max;          /* jobs that have not ended; at least LEAT_BATCH_ITEMS_MAX */
    uint64_t bytes_max;         /* bytes of their bodies; at least twice payload_bytes_max */
    uint64_t payload_bytes_max; /* of one job; at most LEAT_PAYLOAD_BYTES_CEILING */
    uint64_t filling_bytes_max; /* a batch waiting for a slow disk may grow to this, then: BUSY */
    int64_t lost_after_ms;      /* silence after which a worker is lost; more than ping_ms */
    int64_t ping_ms;            /* how often workers are asked to say PING */
    int64_t recovery_grace_ms;  /* after a restart, time for workers to announce their leases */
    int64_t audit_ms;           /* a worker with a lease of this age is asked what it holds */
    int64_t dedupe_ms;          /* how long a settled id is remembered */
    uint64_t dedupe_max;        /* how many of them at most */
    uint64_t deliveries_max;    /* workers lost until a job ends as failed; at least 1 */
    size_t batch_items_max;     /* jobs in one JOBS; 1 to LEAT_BATCH_ITEMS_MAX */
};

/* The defaults of core/limits.h; seed 0 and sender zero are for the caller to set. */
void leat_ventilator_config_init(struct leat_ventilator_config *config);

/* `store` is borrowed and must outlive the ventilator. Never NULL. */
struct leat_ventilator *leat_ventilator_new(const struct leat_ventilator_config *config,
                                            struct leat_ventilator_store *store);
/* Takes the address, accepts NULL, leaves NULL. The store stays open. */
void leat_ventilator_destroy(struct leat_ventilator **ventilator);

/* Reads the store; once, before the first step. Appends NOTE RECOVERED and what there is to send.
 * LEAT_ERR_CORRUPT or LEAT_ERR_IO: the store must not be used; `why` says what. */
LEAT_MUST_USE enum leat_err leat_ventilator_recover(struct leat_ventilator *ventilator,
                                                    struct leat_now now, struct leat_out *out,
                                                    struct leat_why *why);

/* Takes one event. After an ACTION_EXIT was emitted every event but STOP is ignored. Large bodies
 * in `out` are the store's: they must be encoded before the next step, seal or advance. */
void leat_ventilator_step(struct leat_ventilator *ventilator, const struct leat_event *event,
                          struct leat_out *out);

/* Monotonic time of the next TICK; at or before now: there is more to do at once. */
int64_t leat_ventilator_deadline_us(const struct leat_ventilator *ventilator);

/* ---- queries ---- */

struct leat_ventilator_counts {
    uint64_t jobs; /* not yet settled: the sum of the next five */
    uint64_t ready;
    uint64_t scheduled; /* waiting for not-before */
    uint64_t retrying;  /* waiting for their next attempt */
    uint64_t leased;
    uint64_t ending;     /* ended here, result not yet settled by the sink */
    uint64_t bytes;      /* of the bodies of all of them */
    uint64_t remembered; /* settled ids */
    uint64_t producers;  /* whose last batch is known */
    size_t sessions;
    uint64_t settled; /* last number of the sink's stream */
    /* since the start: */
    uint64_t accepted_total, known_total, busy_total, rejected_total, retried_total, lost_total;
    uint64_t redelivered_total, returned_total, expired_total, lost_too_often_total;
    uint64_t settled_total, malformed_total, forbidden_total, pushed_total;
    uint64_t looks_total;   /* at sessions in line for a job: what giving out costs */
    uint64_t damaged_total; /* records that failed their checksum; `bytes` is inexact after one */
};

struct leat_ventilator_counts leat_ventilator_counts(const struct leat_ventilator *ventilator);
/* Queues are numbered 0 to count - 1; the gauge is valid until the next step. Reads the store. */
size_t leat_ventilator_queue_count(const struct leat_ventilator *ventilator);
struct leat_item_queue_gauge leat_ventilator_queue(struct leat_ventilator *ventilator,
                                                   size_t number);
bool leat_ventilator_holds_lease(const struct leat_ventilator *ventilator, const struct leat_id *id,
                                 uint64_t delivery, const struct leat_id *session);
bool leat_ventilator_is_ended(const struct leat_ventilator *ventilator); /* EXIT was emitted */

/* Checks every invariant against the whole store; linear, for tests and the simulation.
 * LEAT_ERR_STATE and why: which one does not hold. */
LEAT_MUST_USE enum leat_err leat_ventilator_check(struct leat_ventilator *ventilator,
                                                  struct leat_why *why);

#endif
