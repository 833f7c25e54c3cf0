/* A worker's core in the hands of a test: time that the test moves, messages that the test sends,
 * and everything that the worker does as lines of text. After every step the invariants are checked
 * and every message that leaves is put through the codec. */
#ifndef LEAT_TESTS_WORKER_RIG_H
#define LEAT_TESTS_WORKER_RIG_H

#include "core/step.h"
#include "worker/worker.h"

#define RIG_TRACE_BYTES 65536
#define RIG_RUNS_MAX    8192
#define RIG_WALL_US     INT64_C(1700000000000000)

struct rig_run {
    struct leat_id id;
    uint64_t delivery;
    uint64_t attempt;
    int64_t expires_at_ms;
    int64_t at_us;
    char type[LEAT_TYPE_BYTES_MAX + 1];
};

struct rig {
    struct leat_worker *worker;
    struct leat_out out;
    struct leat_now now;
    char trace[RIG_TRACE_BYTES];
    size_t trace_size;
    bool quiet; /* no trace */

    uint64_t ping_ms, lost_after_ms; /* what WELCOMEs say; 1 s and 5 s at first */
    uint64_t round;                  /* of the last HELLO */
    uint64_t number;                 /* last number that the test's ventilator has used in it */
    uint64_t hello_count;
    uint64_t last_lease_count;
    uint64_t credit;       /* last CREDIT's total */
    uint64_t credit_limit; /* last CREDIT's first type limit */
    uint64_t credit_count;
    uint64_t pings; /* in this round */
    uint64_t last_batch;
    size_t last_batch_count;
    uint64_t results_count; /* RESULTS messages */
    uint64_t kills;
    uint64_t recalls;
    size_t returned;
    bool goodbye;
    int exit_status; /* -1: none */

    struct rig_run runs[RIG_RUNS_MAX]; /* every RUN, in order */
    size_t run_count;
    size_t ended; /* first run that rig_ran_next has not ended */
    /* Called for every message before it is gone; may be NULL. */
    void (*on_send)(void *context, const struct leat_action *action);
    void *context;
};

/* One exec handler "a", queue "default", as many slots and as much prefetch as given. */
void rig_config(struct leat_worker_config *config, size_t slots, size_t prefetch);
void rig_init(struct rig *rig, const struct leat_worker_config *config);
void rig_fini(struct rig *rig);

void rig_step(struct rig *rig, struct leat_event event);
void rig_tick(struct rig *rig);
void rig_message(struct rig *rig, enum leat_link link, const struct leat_msg *msg);
/* Moves time on by so much, with a TICK at every deadline on the way. */
void rig_pass(struct rig *rig, int64_t us);

/* TICK for the first HELLO, and a WELCOME. */
void rig_open(struct rig *rig);
void rig_welcome(struct rig *rig, const struct leat_item_lease *refused, size_t count);
struct leat_id rig_id(uint64_t n);
/* Pushes `count` jobs of a type with ids first, first + 1...; delivery 1, attempt 1. */
void rig_jobs(struct rig *rig, const char *type, uint64_t first, size_t count);
struct rig_job {
    uint64_t n;
    uint64_t delivery;
    uint64_t attempt;
    const char *type;
    int64_t expires_at_ms;
    uint64_t attempts_max; /* 0: 3 */
    const char *payload;   /* NULL: "p" */
    bool malformed;
    bool header;
};
void rig_push(struct rig *rig, const struct rig_job *job);
void rig_pong(struct rig *rig);
void rig_drain(struct rig *rig);
void rig_stop(struct rig *rig);
void rig_stored(struct rig *rig, uint64_t batch);
void rig_error(struct rig *rig, enum leat_err code);
void rig_refused(struct rig *rig, uint64_t batch, enum leat_err code); /* by the sink */
/* Ends a run: success with output "ok", or a failure. */
void rig_ran(struct rig *rig, const struct rig_run *run, enum leat_failure failure, bool permanent,
             const char *error);
/* Ends the oldest run that is still open, with success. */
void rig_ran_next(struct rig *rig);
/* Names every run from `ended` on, but for the first `keep`, in a RECALLED. */
void rig_recalled(struct rig *rig, size_t keep);

void rig_forget(struct rig *rig); /* empties the trace */
void rig_expect(struct rig *rig, const char *trace);

uint64_t rig_seed(void); /* LEAT_SEED or 1; printed */

#endif
