/* What the files of the worker's core share. Nobody outside includes this.
 *
 *   worker.c   life, step, deadline        session.c  rounds, numbers, HELLO, PING
 *   receive.c  what each message does      attempt.c  starting, outcomes, RETRY and RETURN
 *   credit.c   what is asked for           ahead.c    how much of it beyond the slots
 *   outbox.c   batches of results          drain.c    ending
 *   check.c    the invariants
 */
#ifndef LEAT_WORKER_INSIDE_H
#define LEAT_WORKER_INSIDE_H

#include "core/check.h"
#include "core/job.h"
#include "core/rng.h"
#include "worker/body.h"
#include "worker/job.h"
#include "worker/rate.h"
#include "worker/worker.h"

/* The queue of one handler. Jobs start in the order of arrival, but for those whose handler has no
 * token or no room at the spawner: they let others pass. */
struct leat_worker_lane {
    char type[LEAT_TYPE_BYTES_MAX];
    size_t type_size;
    enum leat_worker_kind kind;
    struct leat_list queue;
    struct leat_worker_limiter limiter;
    uint64_t received; /* jobs of the type in this round */
    uint64_t granted;  /* total that the last CREDIT named for it */
};

struct leat_worker_session {
    uint64_t round;
    bool open;
    uint64_t sent_number;     /* last number that we used in this round */
    uint64_t received_number; /* last number of the ventilator in this round */
    int64_t hello_us;         /* not open: when to say HELLO (again) */
    int64_t said_hello_us;    /* when the last one went out; before the first: LEAT_NEVER_US */
    unsigned hellos;          /* since the last WELCOME */
    int64_t heard_us;         /* last word of the ventilator; before any, our first HELLO */
    int64_t ping_us;          /* open: when the next PING is due */
    int64_t ping_period_us;
    int64_t quiet_period_us; /* the same while no lease is held */
    int64_t lost_after_us;
    uint64_t pings; /* of this round */
    uint64_t pongs;
    uint64_t received; /* jobs of this round */
    uint64_t granted;  /* total of the last CREDIT of this round */
};

/* Results that went to the sink together and are not known to be stored. */
struct leat_worker_batch {
    uint64_t number; /* 0: free */
    struct leat_list results;
    int64_t again_us; /* when it is sent again */
    int64_t wait_us;  /* the wait after that */
};

struct leat_worker_outbox {
    struct leat_list waiting; /* results that are in no batch yet */
    struct leat_worker_batch batches[LEAT_OUTBOX_BATCHES];
    uint64_t last_number;
    size_t apart;    /* results at the front of `waiting` that go alone, one in a batch */
    size_t bytes;    /* of all results, waiting or in a batch */
    int64_t hold_us; /* the sink was busy: no new batch before */
    bool full;       /* no credit and no starts until there is room */
};

struct leat_worker_ending {
    bool draining;
    bool kill_all;
    unsigned stops;
    int64_t kill_us;     /* when KILL goes to everything */
    int64_t exit_us;     /* when it ends whatever is left */
    int64_t farewell_us; /* when it stops waiting for the ventilator; set when the work is done */
    bool ended;
};

/* Jobs that are held beyond the slots. */
struct leat_worker_ahead {
    size_t least;
    size_t most;
    size_t jobs;             /* between the two: what credit is granted for now */
    size_t commands;         /* started beyond one for each slot, if there are such jobs */
    uint64_t ended;          /* attempts that ended since the sample began */
    uint64_t ended_commands; /* of them, commands */
    int64_t sampled_us;      /* when that was */
};

struct leat_worker {
    struct leat_id session_id;
    struct leat_str name;          /* owned */
    struct leat_item_name *queues; /* owned, texts too */
    size_t queue_count;
    size_t slots;
    size_t results_max;
    size_t bytes_max;
    int64_t drain_us;
    int64_t grace_us;
    struct leat_rng rng;

    struct leat_worker_lane *lanes; /* owned */
    size_t lane_count;
    struct leat_worker_limiter limiter; /* of all attempts together */
    size_t started_by_kind[LEAT_WORKER_PLUGIN + 1];
    uint64_t last_sequence;

    struct leat_worker_body_end last_body;
    struct leat_worker_table table;
    struct leat_worker_trail queued_trail;   /* of the lanes together */
    struct leat_worker_trail finished_trail; /* of the outbox */
    struct leat_list started;
    struct leat_list repeat_new;  /* RETRY to be sent in this round */
    struct leat_list repeat_said; /* RETRY sent in this round, in the order of sending */
    size_t started_bytes;         /* of the bodies of STARTED jobs */
    struct leat_list returning;

    struct leat_worker_session session;
    struct leat_worker_ahead ahead;
    struct leat_worker_outbox outbox;
    struct leat_worker_ending ending;
    int64_t token_us; /* when a missing token comes; LEAT_NEVER_US: none is missed */
    struct leat_worker_counts totals;
};

static inline size_t leat_worker_active(const struct leat_worker *w)
{
    return w->table.counts[LEAT_WORKER_QUEUED] + w->table.counts[LEAT_WORKER_STARTED];
}

static inline size_t leat_worker_unstored(const struct leat_worker *w)
{
    return w->table.counts[LEAT_WORKER_FINISHED];
}

/* session.c */
struct leat_msg *leat_worker_to_ventilator(struct leat_out *out, enum leat_msg_type type);
void leat_worker_session_init(struct leat_worker *w);
/* Starts over with a new round as soon as HELLO's spacing allows, or after a wait. */
void leat_worker_session_renew(struct leat_worker *w, int64_t now_us);
void leat_worker_session_renew_later(struct leat_worker *w, int64_t now_us);
void leat_worker_session_welcome(struct leat_worker *w, const struct leat_msg_welcome *welcome,
                                 int64_t now_us, struct leat_out *out);
/* Whether this is the next message of the round; a gap starts a new one. */
bool leat_worker_session_accept(struct leat_worker *w, uint64_t round, uint64_t number,
                                int64_t now_us);
void leat_worker_session_pong(struct leat_worker *w);
/* Silence and HELLO; first in a turn. */
void leat_worker_session_turn(struct leat_worker *w, int64_t now_us, struct leat_out *out);
/* Jobs have come: from now on PINGs are as frequent as the ventilator wants them. */
void leat_worker_session_busy(struct leat_worker *w, int64_t now_us);
/* PING; after all other numbered messages of the turn. */
void leat_worker_session_ping(struct leat_worker *w, int64_t now_us, struct leat_out *out);
uint64_t leat_worker_next_number(struct leat_worker *w);

/* receive.c */
void leat_worker_receive(struct leat_worker *w, const struct leat_event *event,
                         struct leat_out *out);

/* attempt.c */
/* A job of ours that is in no list goes into the outbox, with the outcome that is in it. Takes
 * `error`, which is malloced or NULL. */
void leat_worker_finish(struct leat_worker *w, struct leat_worker_job *job, char *error,
                        size_t error_size);
/* `hash` is the lease's (leat_worker_table_hash). */
void leat_worker_ran(struct leat_worker *w, const struct leat_item_outcome *ran, uint32_t hash,
                     struct leat_now now, struct leat_out *out);
/* The job, in no list, with failure and attempts of its outcome set: an attempt has failed, or the
 * job cannot be tried here; once more, or for good. */
void leat_worker_attempt_failed(struct leat_worker *w, struct leat_worker_job *job, bool permanent,
                                struct leat_str text, struct leat_now now, struct leat_out *out);
void leat_worker_start_jobs(struct leat_worker *w, struct leat_now now, struct leat_out *out);
/* A job that is in no list is given back. */
void leat_worker_give_back(struct leat_worker *w, struct leat_worker_job *job);
/* RETRY and RETURN of what has gathered; the session is open. */
void leat_worker_say_repeats(struct leat_worker *w, int64_t now_us, struct leat_out *out);
void leat_worker_say_returns(struct leat_worker *w, struct leat_out *out);
/* Takes a QUEUED job out of its lane. */
void leat_worker_unqueue(struct leat_worker *w, struct leat_worker_job *job);
/* Takes a STARTED job out of its list. */
void leat_worker_unstart(struct leat_worker *w, struct leat_worker_job *job);

/* credit.c */
void leat_worker_credit_turn(struct leat_worker *w, int64_t now_us, struct leat_out *out);

/* ahead.c */
void leat_worker_ahead_init(struct leat_worker_ahead *ahead, size_t least, size_t most);
void leat_worker_ahead_turn(struct leat_worker *w, int64_t now_us);
int64_t leat_worker_ahead_deadline_us(const struct leat_worker *w);

/* outbox.c */
void leat_worker_outbox_init(struct leat_worker_outbox *outbox);
void leat_worker_outbox_add(struct leat_worker *w, struct leat_worker_job *job);
void leat_worker_outbox_stored(struct leat_worker *w, uint64_t number);
/* The sink will never take this batch: its results go again one by one, so that those it takes are
 * not held up; the one that it does not take is given up. */
void leat_worker_outbox_refused(struct leat_worker *w, const struct leat_msg_error *error,
                                struct leat_out *out);
void leat_worker_outbox_busy(struct leat_worker *w, uint64_t number, uint64_t retry_after_ms,
                             int64_t now_us);
void leat_worker_outbox_turn(struct leat_worker *w, int64_t now_us, struct leat_out *out);
int64_t leat_worker_outbox_deadline_us(const struct leat_worker *w);
/* Decides whether new work has to wait for the sink. */
void leat_worker_outbox_judge(struct leat_worker *w, struct leat_out *out);

/* drain.c */
void leat_worker_stop(struct leat_worker *w, int64_t now_us, struct leat_out *out);
void leat_worker_drain(struct leat_worker *w, const char *reason, int64_t now_us,
                       struct leat_out *out);
void leat_worker_drain_turn(struct leat_worker *w, int64_t now_us, struct leat_out *out);
int64_t leat_worker_drain_deadline_us(const struct leat_worker *w);

#endif
