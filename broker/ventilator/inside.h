/* What the files of the ventilator's core share. Nobody outside includes this.
 *
 *   ventilator.c  life, step, deadline, queries   recover.c   reading the store at start
 *   lane.c        queues and lanes                window.c    the ready jobs known in memory
 *   line.c        who waits at which queue
 *   submit.c      SUBMIT                          dispatch.c  who gets which job: JOBS
 *   fleet.c       sessions: HELLO, lost, leaving  session.c   CREDIT, RETRY, RETURN, PING
 *   lease.c       leases and how they end         due.c       what becomes ready or expires
 *   counts.c      how many jobs are where
 *   settle.c      FOLLOW, SETTLED, forgetting     ending.c    results that are reported from here
 *   control.c     CONTROL, LOOKUP, shutdown       gauges.c    GAUGES
 *   check.c       the invariants
 */
#ifndef LEAT_VENTILATOR_INSIDE_H
#define LEAT_VENTILATOR_INSIDE_H

#include "broker/ventilator/ventilator.h"
#include "broker/ventilator/window.h"
#include "core/list.h"
#include "core/map.h"
#include "store/slab.h"

/* A queue and its lanes: one lane per type of job in it. */
struct leat_queue {
    char name[LEAT_QUEUE_BYTES_MAX];
    size_t name_size;
    bool paused;
    struct leat_lane **lanes; /* owned array of borrowed lanes */
    size_t lane_count, lane_capacity;
    uint64_t ready;                  /* the sum over its lanes */
    struct leat_list_node work_link; /* in v->work while ready > 0 */
    uint64_t stuck_turn; /* the turn (v->turn) in which nobody in line could take a job of it */
    struct leat_list
        line; /* sessions that serve it and want jobs; who has waited longest is first */
};

struct leat_lane {
    uint32_t number;
    struct leat_queue *queue;
    char type[LEAT_TYPE_BYTES_MAX];
    size_t type_size;
    uint32_t type_number;
    uint64_t pin;   /* equal to the ventilator's: a batch is about to put jobs into it */
    uint64_t ready; /* in READY and not leased; window.count of them are in the window */
    uint64_t leased, scheduled, retrying;
    uint64_t leased_end;                       /* every lease of the lane has a seq below */
    struct leat_ventilator_lane_counts stored; /* what the store says of it, if is_stored */
    bool is_stored;
    bool is_dry;                        /* fewer ready jobs were found than counted: see lane.c */
    struct leat_list_node changed_link; /* in v->changed */
    /* Every ready, unleased job with seq < cursor is in the window, and no other. */
    uint64_t cursor;
    struct leat_window window;
    /* Its names in the arena of `out`, for all picks of one turn (dispatch.c). */
    uint64_t named_turn;
    struct leat_str named_queue, named_type;
};

struct leat_lane_type {
    char name[LEAT_TYPE_BYTES_MAX];
    size_t name_size;
    uint32_t lanes; /* that have it; 0: the number is free */
};

struct leat_session;

struct leat_held_lease {
    struct leat_id id;
    uint64_t delivery;
    struct leat_session *session;
    struct leat_lane *lane;
    uint64_t seq;
    int64_t expires_at_ms;
    uint64_t body_bytes;
    uint64_t round;             /* of the session, when it was given or last announced */
    struct leat_list_node link; /* in session->leases */
};

struct leat_session_queue {
    char name[LEAT_QUEUE_BYTES_MAX];
    size_t name_size;
    struct leat_queue *queue; /* NULL: no such queue yet */
    struct leat_session *session;
    struct leat_list_node line_link; /* in queue->line */
};

struct leat_session_limit {
    char type[LEAT_TYPE_BYTES_MAX];
    size_t type_size;
    uint64_t total;
};

struct leat_session {
    struct leat_id id;
    struct leat_peer peer; /* size 0: superseded by another session on the same connection */
    char *name;            /* owned */
    size_t name_size;
    struct leat_session_queue *queues; /* owned */
    size_t queue_count;
    bool in_line; /* of each of its queues; whoever is hungry is */
    bool has_key;
    bool revoked;        /* it is being lost because its key, or a right of it, was taken away */
    struct leat_key key; /* whose session it is; nobody else may go on with it */
    uint64_t slots, busy, outbox;
    uint64_t round;
    uint64_t number_in;  /* last number taken in this round */
    uint64_t number_out; /* last number sent in this round */
    bool unreachable;    /* a send failed; nothing is pushed until it is heard again */
    bool renew;          /* the next message is answered so that a new round begins */
    uint64_t credit, pushed;
    struct leat_session_limit limits[LEAT_SESSION_LIMITS_MAX];
    size_t limit_count;
    uint64_t *pushed_of; /* owned; by type number, in this round */
    size_t pushed_of_count;
    struct leat_list leases;
    struct leat_id oldest_lease; /* audit_ms before audit_at_us */
    uint64_t oldest_delivery;    /* 0: there was none */
    int64_t audit_at_us;
    int64_t heard_us;
    struct leat_list_node heard_link; /* in fleet.heard or, when it is lost, in fleet.losing */
    struct leat_list_node all_link;   /* in fleet.sessions */
    struct leat_list_node turn_link;  /* in v->served */
    size_t pick_first, pick_last;     /* of this turn, see dispatch.c; counted from 1 */
};

enum leat_ventilator_phase {
    LEAT_VENTILATOR_RUNNING = 0,
    LEAT_VENTILATOR_DRAINING = 1, /* shutdown: waits for the workers to leave */
    LEAT_VENTILATOR_LAST = 2,     /* and then for the sink's last words */
    LEAT_VENTILATOR_ENDED = 3,    /* EXIT was emitted */
};

#define LEAT_ENDING_BATCH 256
/* A shutdown waits this long for the next word of the sink. */
#define LEAT_LAST_WORD_US (3 * LEAT_US_PER_S)

/* Reporting what ended here to the sink: one batch at a time. */
struct leat_ventilator_report {
    uint64_t batch; /* of what is on its way, or was last */
    struct leat_id ids[LEAT_ENDING_BATCH];
    size_t count;          /* 0: nothing is on its way */
    struct leat_id cursor; /* what was reported last in this pass; all zero: a new pass */
    int64_t at_us;         /* resend, or begin a new pass; LEAT_NEVER_US: nothing to report */
};

struct leat_pick;

struct leat_ventilator {
    struct leat_ventilator_config config;
    struct leat_ventilator_store *store;
    struct leat_now now; /* of the last event */
    bool more;           /* work was left over by a bound: come back at once */
    bool broken;         /* the store could not be read: the process must end */
    int64_t deadline_us;
    struct leat_ventilator_counts counts;
    enum leat_ventilator_phase phase;
    bool store_full;

    /* lanes and queues */
    struct leat_lane *lanes[LEAT_LANES_MAX]; /* owned; NULL: free number */
    size_t lanes_used;
    struct leat_map lane_of;    /* queue and type -> lane */
    struct leat_queue **queues; /* owned */
    size_t queue_count, queue_capacity;
    struct leat_map queue_of; /* name -> queue */
    struct leat_lane_type types[LEAT_LANES_MAX];
    uint32_t type_count;                              /* numbers in use are below */
    uint64_t pin;                                     /* counts SUBMITs; see struct leat_lane */
    struct leat_lane *lanes_of[LEAT_BATCH_ITEMS_MAX]; /* of the jobs of the SUBMIT at hand */
    struct leat_list changed;    /* lanes with counts that the store may not have yet */
    uint64_t mended;             /* jobs that were miscounted; a note is due */
    struct leat_lane *last_lane; /* that was looked up; jobs of a batch are often alike */
    size_t windows_jobs;         /* in all windows */
    struct leat_slab rows;       /* of jobs in windows */
    uint64_t next_seq;

    /* fleet */
    struct leat_map session_of; /* id -> session */
    struct leat_map session_at; /* peer -> session */
    struct leat_list heard;     /* sessions, the one heard longest ago first */
    struct leat_list losing;    /* lost sessions that still have leases to be released */
    struct leat_list sessions;  /* those that are not lost, in the order of joining */
    struct leat_map lease_of;   /* id -> lease */
    struct leat_slab leases;    /* their memory */
    struct leat_list work;      /* queues with ready jobs, in the order of their turn */
    struct leat_list served;    /* sessions with picks of this turn */
    struct leat_pick *picks;    /* owned; of one turn */
    size_t pick_capacity;
    uint64_t turn;         /* turns of dispatch so far */
    int64_t push_again_us; /* `out` was full; LEAT_NEVER_US: it was not */
    int64_t push_from_us;  /* nothing is pushed before: workers announce their leases */
    int64_t renew_at_us; /* every session is asked for a new round; LEAT_NEVER_US: it need not be */

    /* time */
    int64_t steady_base_ms; /* the steady clock at mono 0 */
    int64_t due_ms;         /* SCHEDULED has nothing before; INT64_MAX: it is empty */
    int64_t retry_ms;       /* RETRYING, on the steady clock */
    int64_t expiry_ms;      /* EXPIRY, after expiry_at */
    /* Rows of EXPIRY up to here are of leased jobs. */
    struct leat_ventilator_expiry expiry_at;

    /* sink */
    struct leat_ventilator_meta meta;
    int64_t follow_at_us, gauges_at_us;
    int64_t sink_heard_us; /* LEAT_NEVER_US: never yet */
    struct leat_ventilator_report report;
    uint64_t remembered_first, remembered_next; /* rows of SETTLED */
    int64_t forget_at_ms;  /* steady clock: when the oldest may go; INT64_MAX: none */
    uint64_t oldest_count; /* ids in the oldest row */
    int64_t sweep_at_us;
    struct leat_id sweep_cursor;

    /* ending */
    int64_t last_until_us, last_bound_us;
    bool sink_idle; /* since LAST began, the sink had nothing more to settle */
};

/* Ends the process when memory is out; returns what it was given. */
void *leat_ventilator_must(void *memory);
void leat_ventilator_must_ok(enum leat_err err);
/* What a read of the store said: true when it is LEAT_ERR_IO, and then the ventilator is broken. */
bool leat_ventilator_broke(struct leat_ventilator *v, enum leat_err err);
int64_t leat_ventilator_steady_ms(const struct leat_ventilator *v);
int64_t leat_ventilator_wall_ms(const struct leat_ventilator *v);
/* Answers with ERROR, counts and notes. */
void leat_ventilator_refuse(struct leat_ventilator *v, const struct leat_event *event,
                            struct leat_out *out, enum leat_err err, const char *text,
                            uint64_t ref);

/* ---- counts.c ---- */
/* Jobs that are not settled. */
uint64_t leat_ventilator_jobs(const struct leat_ventilator *v);
/* A count of the lane may change in this step. */
void leat_lane_touch(struct leat_ventilator *v, struct leat_lane *lane);
/* A job is in SCHEDULED or RETRYING from now on, or no longer. Totals follow. */
void leat_lane_add_waiting(struct leat_ventilator *v, struct leat_lane *lane,
                           enum leat_ventilator_where where);
void leat_lane_remove_waiting(struct leat_ventilator *v, struct leat_lane *lane,
                              enum leat_ventilator_where where);
/* The store has so many ready and unleased jobs of the lane, and not what was counted. */
void leat_lane_mend_ready(struct leat_ventilator *v, struct leat_lane *lane, uint64_t ready);
/* SCHEDULED or RETRYING is empty. */
void leat_lanes_mend_waiting(struct leat_ventilator *v, enum leat_ventilator_where where);
/* Writes what has changed; the last thing in a step. */
void leat_ventilator_save_counts(struct leat_ventilator *v, struct leat_out *out);

/* ---- lane.c ---- */
struct leat_str leat_queue_name(const struct leat_queue *queue);
struct leat_str leat_lane_type(const struct leat_lane *lane);
struct leat_queue *leat_queue_find(const struct leat_ventilator *v, struct leat_str name);
/* NULL: there are LEAT_LANES_MAX already. */
struct leat_queue *leat_queue_make(struct leat_ventilator *v, struct leat_str name);
/* Frees the queue when it has no lane and is not paused: there is nothing to know of it. */
void leat_queue_drop_empty(struct leat_ventilator *v, struct leat_queue *queue);
struct leat_lane *leat_lane_find(const struct leat_ventilator *v, struct leat_str queue,
                                 struct leat_str type);
/* Finds or makes a lane, in the store too. NULL: no number is free. */
struct leat_lane *leat_lane_make(struct leat_ventilator *v, struct leat_str queue,
                                 struct leat_str type);
/* A lane that the store knows; false: the number is taken or out of range. */
bool leat_lane_restore(struct leat_ventilator *v, uint32_t number, struct leat_str queue,
                       struct leat_str type);
/* Forgets the lane, which has no jobs; in the store too. */
void leat_lane_drop(struct leat_ventilator *v, struct leat_lane *lane);
void leat_lanes_free(struct leat_ventilator *v);
/* The job is in READY and unleased from now on, or no longer. Totals follow. */
void leat_lane_enter(struct leat_ventilator *v, struct leat_lane *lane, uint64_t seq,
                     const struct leat_id *id);
/* The same for a job that is in SUBMIT's hands: what the store has of it may be kept in memory. */
void leat_lane_enter_row(struct leat_ventilator *v, struct leat_lane *lane, uint64_t seq,
                         const struct leat_id *id, const struct leat_ventilator_job *job,
                         struct leat_bytes body);
void leat_lane_leave(struct leat_ventilator *v, struct leat_lane *lane, uint64_t seq);
/* The lane with this number, or NULL. */
static inline struct leat_lane *leat_lane_at(const struct leat_ventilator *v, uint32_t number)
{
    return number < LEAT_LANES_MAX ? v->lanes[number] : NULL;
}
/* The first ready job, read ahead from the store if need be; NULL: none (or broken, or more). */
const struct leat_window_job *leat_lane_head(struct leat_ventilator *v, struct leat_lane *lane);

/* ---- line.c ---- */
/* The queue has so many ready jobs. */
void leat_queue_set_ready(struct leat_ventilator *v, struct leat_queue *queue, uint64_t ready);
/* If the session is hungry, it stands in line from now on; to be called whenever it may have become
 * so. It leaves when its turn comes and it is not hungry any more. */
void leat_session_line_up(struct leat_session *session);
void leat_session_leave_lines(struct leat_session *session);
/* Behind all others at each of its queues; it stands in line. */
void leat_session_go_last(struct leat_session *session);
/* What it serves under this name is this queue; NULL: there is none of that name. */
void leat_session_learn_queue(struct leat_session *session, struct leat_session_queue *served,
                              struct leat_queue *queue);

/* ---- lease.c ---- */
/* Leases a job that has left READY. */
struct leat_held_lease *leat_lease_give(struct leat_ventilator *v, struct leat_session *session,
                                        struct leat_lane *lane, uint64_t seq,
                                        const struct leat_id *id,
                                        const struct leat_ventilator_job *job);
struct leat_held_lease *leat_lease_find(const struct leat_ventilator *v, const struct leat_id *id);
/* The lease of this job, if there is one, ends soon. */
static inline void leat_lease_prefetch(const struct leat_ventilator *v, const struct leat_id *id)
{
    const struct leat_held_lease *lease = leat_lease_find(v, id);
    __builtin_prefetch(lease);
    __builtin_prefetch(lease == NULL ? NULL : &lease->link);
}
/* The lease of this job is no more; *ret_lease is what it was. False: there is none. */
bool leat_lease_take(struct leat_ventilator *v, const struct leat_id *id,
                     struct leat_held_lease *ret_lease);
/* The job is ready again; no delivery is counted. */
void leat_lease_return(struct leat_ventilator *v, struct leat_held_lease *ending,
                       struct leat_out *out);
/* Its worker was lost; counted against the job unless the session was revoked. */
void leat_lease_lose(struct leat_ventilator *v, struct leat_held_lease *ending,
                     struct leat_out *out);
/* Its attempt failed and is to be repeated. */
void leat_lease_retry(struct leat_ventilator *v, struct leat_held_lease *ending,
                      const struct leat_item_repeat *repeat, struct leat_out *out);
/* Takes a lease that a worker announces after a restart of ours or a lost link. */
bool leat_lease_adopt(struct leat_ventilator *v, struct leat_session *session,
                      const struct leat_item_lease *announced);

/* ---- due.c ---- */
void leat_ventilator_tend_due(struct leat_ventilator *v, struct leat_out *out);
int64_t leat_ventilator_due_deadline_us(const struct leat_ventilator *v);
bool leat_ventilator_is_expired(const struct leat_ventilator *v, int64_t expires_at_ms);
/* A job with this expires-at (0: none) waits from now on. */
void leat_ventilator_watch_expiry(struct leat_ventilator *v, int64_t expires_at_ms);
/* Something was put into SCHEDULED or RETRYING. */
void leat_ventilator_watch_due(struct leat_ventilator *v,
                               const struct leat_ventilator_place *place);

/* ---- ending.c ---- */
/* How a job that this side ends has ended; all at `place`, counted out of its lane by the caller.
 */
void leat_ventilator_end_lost(struct leat_ventilator *v, const struct leat_id *id,
                              const struct leat_ventilator_place *place,
                              const struct leat_ventilator_job *job, struct leat_out *out);
void leat_ventilator_end_expired(struct leat_ventilator *v, const struct leat_id *id,
                                 const struct leat_ventilator_place *place,
                                 const struct leat_ventilator_job *job, struct leat_out *out);
void leat_ventilator_end_damaged(struct leat_ventilator *v, const struct leat_id *id,
                                 const struct leat_ventilator_place *place, int64_t expires_at_ms,
                                 struct leat_out *out);
void leat_ventilator_tend_report(struct leat_ventilator *v, struct leat_out *out);
void leat_ventilator_on_stored(struct leat_ventilator *v, const struct leat_msg_stored *msg);
void leat_ventilator_on_sink_busy(struct leat_ventilator *v, const struct leat_msg_busy *msg);
void leat_ventilator_report_again(struct leat_ventilator *v);

/* ---- submit.c ---- */
void leat_ventilator_on_submit(struct leat_ventilator *v, const struct leat_event *event,
                               struct leat_out *out);
void leat_ventilator_sweep_producers(struct leat_ventilator *v);

/* ---- fleet.c ---- */
void leat_fleet_on_hello(struct leat_ventilator *v, const struct leat_event *event,
                         struct leat_out *out);
void leat_fleet_on_goodbye(struct leat_ventilator *v, const struct leat_event *event,
                           struct leat_out *out);
/* Sessions that rest on rights which are no more are lost at once. */
void leat_fleet_on_revoked(struct leat_ventilator *v, const struct leat_event *event,
                           struct leat_out *out);
void leat_fleet_on_unreachable(struct leat_ventilator *v, struct leat_peer peer);
/* The session that the next message of a round is from; NULL: it was answered or is to be ignored.
 */
struct leat_session *leat_fleet_accept(struct leat_ventilator *v, const struct leat_event *event,
                                       uint64_t round, uint64_t number, struct leat_out *out);
/* A queue has come, or goes (queue NULL): sessions that serve it learn of it. */
void leat_fleet_learn_queue(struct leat_ventilator *v, struct leat_str name,
                            struct leat_queue *queue);
/* A type's number has a new meaning: what was pushed of it was something else. */
void leat_fleet_forget_type(struct leat_ventilator *v, uint32_t type_number);
/* This process was not run for a while: that is nobody's silence. */
void leat_fleet_forgive(struct leat_ventilator *v, int64_t gap_us);
void leat_fleet_tend(struct leat_ventilator *v, struct leat_out *out);
int64_t leat_fleet_deadline_us(const struct leat_ventilator *v);
/* Says GOODBYE or DRAIN to every worker. */
void leat_fleet_goodbye(struct leat_ventilator *v, const char *reason, struct leat_out *out);
void leat_fleet_drain(struct leat_ventilator *v, struct leat_out *out);
/* Appends a numbered message of the session's round; the caller fills in its fields. */
struct leat_msg *leat_session_send(struct leat_session *session, struct leat_out *out,
                                   enum leat_msg_type type);
/* Its leases are of the ventilator's memory. */
void leat_session_free(struct leat_session *session);
static inline struct leat_held_lease *leat_lease_of(struct leat_list_node *node)
{
    return node == NULL ? NULL : LEAT_CONTAINER_OF(node, struct leat_held_lease, link);
}

/* ---- session.c ---- */
void leat_session_on_credit(struct leat_ventilator *v, const struct leat_event *event,
                            struct leat_out *out);
void leat_session_on_retry(struct leat_ventilator *v, const struct leat_event *event,
                           struct leat_out *out);
void leat_session_on_return(struct leat_ventilator *v, const struct leat_event *event,
                            struct leat_out *out);
void leat_session_on_ping(struct leat_ventilator *v, const struct leat_event *event,
                          struct leat_out *out);
/* Whether the session may be given a job at all, and one of this lane. */
bool leat_session_is_hungry(const struct leat_session *session);
bool leat_session_may_take(const struct leat_session *session, const struct leat_lane *lane);
void leat_session_count_push(struct leat_session *session, const struct leat_lane *lane);
void leat_session_uncount_push(struct leat_session *session, const struct leat_lane *lane);

/* ---- dispatch.c ---- */
void leat_ventilator_dispatch(struct leat_ventilator *v, struct leat_out *out);

/* ---- settle.c ---- */
void leat_ventilator_on_settled(struct leat_ventilator *v, const struct leat_msg_settled *msg,
                                struct leat_out *out);
void leat_ventilator_tend_sink(struct leat_ventilator *v, struct leat_out *out);
void leat_ventilator_tend_memory(struct leat_ventilator *v);
int64_t leat_ventilator_memory_deadline_us(const struct leat_ventilator *v);
/* Saves what META holds, the steady clock included. */
void leat_ventilator_save_meta(struct leat_ventilator *v);
/* Learns the oldest row of SETTLED. */
void leat_ventilator_look_at_oldest(struct leat_ventilator *v);

/* ---- gauges.c ---- */
void leat_ventilator_tend_gauges(struct leat_ventilator *v, struct leat_out *out);

/* ---- control.c ---- */
void leat_ventilator_on_control(struct leat_ventilator *v, const struct leat_event *event,
                                struct leat_out *out);
void leat_ventilator_on_lookup(struct leat_ventilator *v, const struct leat_event *event,
                               struct leat_out *out);
void leat_ventilator_stop(struct leat_ventilator *v, struct leat_out *out);
void leat_ventilator_tend_shutdown(struct leat_ventilator *v, struct leat_out *out);
int64_t leat_ventilator_shutdown_deadline_us(const struct leat_ventilator *v);

#endif
