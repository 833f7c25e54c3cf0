/* What goes into a core and what comes out of it: the contract between the pure cores and whatever
 * runs them, the real shells as well as the simulated cluster.
 *
 *   leat_X_step(core, event, out)   takes one event, changes the core, appends actions to `out`
 *   leat_X_deadline_us(core)        monotonic time at which the core wants a TICK; LEAT_NEVER_US:
 * none
 *
 * Rules for those who run a core:
 *   1. Each event carries the time; within one core mono_us never steps back.
 *   2. Writes that a step makes go through the core's store into the batch that is being filled.
 *   3. No action of a step may be carried out before every batch that was being filled or was on
 * its way to the disk at the end of that step is durable. Actions are carried out in order.
 *   4. If a batch cannot be made durable, the process ends (exit status in io/exit.h); none of the
 *      waiting actions is ever carried out.
 *   5. What `out` points to is valid until the next leat_out_clear.
 */
#ifndef LEAT_CORE_STEP_H
#define LEAT_CORE_STEP_H

#include "core/arena.h"
#include "core/instant.h"
#include "core/messages.h"
#include "core/policy.h"

/* A peer on a ROUTER socket: the routing id that libzmq made for its connection. */
struct leat_peer {
    uint8_t size;
    uint8_t bytes[LEAT_PEER_BYTES_MAX];
};

static inline bool leat_peer_equal(struct leat_peer a, struct leat_peer b)
{
    return a.size == b.size && memcmp(a.bytes, b.bytes, a.size) == 0;
}

/* Where a message comes from or goes to. Each core uses the few that it has. */
enum leat_link {
    LEAT_LINK_PEERS = 1,      /* a broker's ROUTER socket; `peer` says who */
    LEAT_LINK_VENTILATOR = 2, /* DEALER to the ventilator */
    LEAT_LINK_SINK = 3,       /* DEALER to the sink */
    LEAT_LINK_SPAWNER = 4,    /* the worker's spawner */
    LEAT_LINK_METRICS = 5,    /* the metrics actor; may drop */
    LEAT_LINK_EVENTS = 6,     /* PUB socket; may drop */
};

enum leat_event_kind {
    LEAT_EVENT_TICK = 1,        /* the deadline has come, or nothing: always allowed */
    LEAT_EVENT_MESSAGE = 2,     /* link, peer, msg */
    LEAT_EVENT_MALFORMED = 3,   /* link, peer, why: bytes that are no message */
    LEAT_EVENT_UNREACHABLE = 4, /* link, peer: a send failed; what was sent is lost */
    LEAT_EVENT_STOP = 5,        /* SIGTERM: end in order; a second one: end now */
    LEAT_EVENT_SPACE = 6,       /* space: the store's room has changed */
    LEAT_EVENT_FORBIDDEN = 7,   /* link, peer, msg, why: its sender may not say this; to be answered
                                   with ERROR FORBIDDEN, and nothing of it to be done */
    LEAT_EVENT_REVOKED = 8,     /* who, instead: somebody's rights have changed; what rests on those
                                   that are no more ends */
};

struct leat_event {
    enum leat_event_kind kind;
    struct leat_now now;
    enum leat_link link;
    struct leat_peer peer;
    const struct leat_msg *msg; /* borrowed for the call */
    /* MESSAGE: who sent it; NULL: keys are not in use. REVOKED: as it was. Borrowed for the call.
     */
    const struct leat_principal *who;
    const struct leat_principal *instead; /* REVOKED: as it is; NULL: not known any more */
    enum leat_err error;                  /* MALFORMED: what is wrong with the bytes */
    const char *why;   /* MALFORMED, FORBIDDEN: in words; borrowed for the call */
    bool store_full;   /* SPACE: the store can take no new jobs */
    uint64_t msg_type; /* MALFORMED: type number for the ERROR that answers, 0: unreadable */
};

enum leat_action_kind {
    LEAT_ACTION_SEND = 1, /* link, peer, msg */
    LEAT_ACTION_NOTE = 2, /* note: something worth a log line and a line in a trace */
    LEAT_ACTION_EXIT = 3, /* exit_status: the core has ended in order */
};

/* Events worth a log line, with stable names (core/notes.def). */
enum leat_note_id {
#define NOTE(NAME, level, text, help) LEAT_NOTE_##NAME,
#include "core/notes.def"
#undef NOTE
    LEAT_NOTE_COUNT
};

struct leat_note {
    enum leat_note_id id;
    struct leat_id subject; /* job, session or producer; all zero when there is none */
    struct leat_str name;   /* queue, worker name or reason; borrowed from out's arena */
    int64_t value;          /* a count or a number, as the note's help says */
};

struct leat_action {
    enum leat_action_kind kind;
    bool is_patient; /* SEND: nobody waits for it; see leat_out_send_patiently */
    enum leat_link link;
    struct leat_peer peer;
    struct leat_msg msg;
    struct leat_note note;
    int exit_status;
};

/* The actions of one or several steps, in order. Caller's storage. When there is no memory for an
 * action the process ends, as after a crash: half a step could not be taken back. The arena holds
 * LEAT_OUT_BYTES_MAX. */
struct leat_out {
    struct leat_arena arena;
    struct leat_action *actions; /* owned, grows */
    size_t count;
    size_t capacity;
};

void leat_out_init(struct leat_out *out);
void leat_out_fini(struct leat_out *out);
void leat_out_clear(struct leat_out *out);
/* Appends a SEND and returns its message, zeroed but for the type, for the caller to fill in. The
 * pointer is valid until the next append. */
struct leat_msg *leat_out_send(struct leat_out *out, enum leat_link link, struct leat_peer peer,
                               enum leat_msg_type type);
/* The same for a message that nobody waits for: what it needs on the disk may wait some
 * milliseconds for a batch that somebody waits for, and go with that. */
struct leat_msg *leat_out_send_patiently(struct leat_out *out, enum leat_link link,
                                         struct leat_peer peer, enum leat_msg_type type);
/* Appends a NOTE; `subject` may be NULL; `name` is copied into the arena. */
void leat_out_note(struct leat_out *out, enum leat_note_id id, const struct leat_id *subject,
                   struct leat_str name, int64_t value);
void leat_out_exit(struct leat_out *out, int exit_status);

const char *leat_note_name(enum leat_note_id id);  /* "worker_lost" */
const char *leat_note_level(enum leat_note_id id); /* "info" */

#endif
