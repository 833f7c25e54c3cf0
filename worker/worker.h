/* The worker's policy: what it asks for, what it starts when, what becomes of each attempt, and how
 * it stays in touch. Pure: no sockets, clock, processes or logging; see core/step.h for the
 * contract.
 *
 * Links:
 *   LEAT_LINK_VENTILATOR  HELLO, CREDIT, RETRY, RETURN, PING, GOODBYE out; WELCOME, JOBS, PONG,
 *                         DRAIN, GOODBYE, ERROR in
 *   LEAT_LINK_SINK        RESULTS out; STORED, BUSY, ERROR in
 *   LEAT_LINK_SPAWNER     RUN, KILL, RECALL out; RAN, RECALLED in. A lossless, ordered link: each
 *                         attempt of a RUN is named in exactly one RAN or RECALLED.
 *
 * Life of a lease inside the worker (worker/job.h):
 *
 *   JOBS ──▶ QUEUED ──RUN──▶ STARTED ──RAN──▶ FINISHED ──STORED──▶ gone
 *               │               ├──RAN, to be repeated──▶ REPEATING ──confirmed──▶ gone
 *               └───────────────┴──drain──▶ RETURNING ──RETURN sent──▶ gone
 *
 * Not thread-safe; nothing blocks. A worker that runs out of memory ends the process (core/step.h:
 * a core cannot go on half-way; its jobs are redelivered).
 */
#ifndef LEAT_WORKER_WORKER_H
#define LEAT_WORKER_WORKER_H

#include "core/bucket.h"
#include "core/err.h"
#include "core/step.h"

enum leat_worker_kind {
    LEAT_WORKER_EXEC = 1,   /* a command per attempt: one for each slot at the spawner, and up to
                               LEAT_PIPELINE_COMMANDS while they are quick (ahead.c) */
    LEAT_WORKER_PLUGIN = 2, /* a C function: LEAT_PIPELINE_JOBS attempts per slot sent ahead */
};

struct leat_worker_handler {
    struct leat_str type; /* 1 to LEAT_TYPE_BYTES_MAX bytes, each type once */
    enum leat_worker_kind kind;
};

/* A token bucket (core/bucket.h): at most `burst` starts at once, and over any window of time t at
 * most burst + rate * t. */
struct leat_worker_rate {
    struct leat_str
        type; /* a type that has a handler; empty: all attempts of the worker together */
    struct leat_rate rate; /* starts */
    uint64_t burst;        /* 1 to LEAT_BURST_MAX */
};

/* Everything is copied by leat_worker_new. */
struct leat_worker_config {
    struct leat_id session; /* random, new for each process, not zero */
    struct leat_str name;   /* for people, at most LEAT_TEXT_BYTES_MAX bytes */
    const struct leat_str *queues;
    size_t queue_count; /* 1 to LEAT_SESSION_QUEUES_MAX */
    const struct leat_worker_handler *handlers;
    size_t handler_count; /* 1 to LEAT_HANDLERS_MAX */
    const struct leat_worker_rate *rates;
    size_t rate_count;   /* at most one for the worker and LEAT_SESSION_LIMITS_MAX for types */
    size_t slots;        /* 1 to LEAT_SLOTS_MAX */
    size_t prefetch;     /* jobs held beyond the slots, 0 to LEAT_PREFETCH_MAX */
    size_t prefetch_max; /* the same while jobs end quickly; prefetch to LEAT_PREFETCH_MAX; 0: as
                            prefetch */
    size_t
        outbox_results_max;  /* slots + prefetch_max to LEAT_OUTBOX_RESULTS_MAX; 0: that maximum */
    size_t outbox_bytes_max; /* 0: LEAT_OUTBOX_BYTES_MAX; exceeded by what was running at most */
    int64_t drain_ms;        /* after a stop, attempts may go on for this time; >= 0 */
    int64_t grace_ms;        /* what the spawner may need to end killed attempts; >= 0 */
    uint64_t seed;           /* of back-off and jitter */
};

struct leat_worker;

/* LEAT_ERR_INVALID or LEAT_ERR_LIMIT with the setting and the value in `why`; LEAT_ERR_MEMORY. */
LEAT_MUST_USE enum leat_err leat_worker_new(const struct leat_worker_config *config,
                                            struct leat_worker **ret_worker, struct leat_why *why);
/* Takes the address, accepts NULL, leaves NULL. Messages in an `out` that is not yet cleared must
 * have been carried out before. */
void leat_worker_destroy(struct leat_worker **worker);

/* Takes one event. Events: TICK, MESSAGE, MALFORMED, UNREACHABLE, STOP; others do nothing. The
 * first call, usually a TICK, says HELLO. Payloads and outputs in `out` are not copied: they stay
 * valid until a step begins with an empty `out`. So give every step the same `out`, or carry out
 * and clear it between steps. Actions: SEND, NOTE and at the end one EXIT, with status 0, or 1 when
 * results were left that the sink did not store or attempts that would not end. */
void leat_worker_step(struct leat_worker *worker, const struct leat_event *event,
                      struct leat_out *out);

/* When it next wants a step, monotonic; at or before now: at once. LEAT_NEVER_US after EXIT. */
int64_t leat_worker_deadline_us(const struct leat_worker *worker);

struct leat_worker_counts {
    size_t queued;    /* received, not yet given to the spawner */
    size_t started;   /* with the spawner */
    size_t repeating; /* RETRY not yet confirmed by the ventilator */
    size_t returning; /* RETURN not yet sent */
    size_t finished;  /* results not yet stored by the sink */
    size_t finished_bytes;
    uint64_t jobs_received; /* since the start, as are the following */
    uint64_t attempts_started;
    uint64_t succeeded;
    uint64_t failed;
    uint64_t expired;
    uint64_t repeated;
};

struct leat_worker_counts leat_worker_counts(const struct leat_worker *worker);
uint64_t leat_worker_round(const struct leat_worker *worker);
bool leat_worker_is_open(const struct leat_worker *worker);     /* WELCOME received, not lost */
bool leat_worker_is_draining(const struct leat_worker *worker); /* takes no more */
bool leat_worker_is_ended(const struct leat_worker *worker);    /* EXIT was emitted */
bool leat_worker_holds(const struct leat_worker *worker, const struct leat_id *id,
                       uint64_t delivery);

/* Asserts every invariant (worker/README.md). For tests and the simulated cluster; linear. */
void leat_worker_check(const struct leat_worker *worker);

#endif
