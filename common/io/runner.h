/* Runs one core (core/step.h): reads messages, feeds events, carries actions out in order, and
 * holds every action back until what its step wrote is on the disk.
 *
 * One thread, one loop. A turn: poll once; take note of a finished commit; signals; read each link
 * within a budget, round robin; TICK when it is due; seal the batch when something was written and
 * no commit is under way; carry out what may be carried out.
 *
 *   events ─▶ step ─▶ actions ─▶ [ waiting until durable >= needed ] ─▶ sends, notes, exit
 *
 * `needed` of a step is the batch being filled when it is dirty, else the one on its way, else
 * none: reads see what is not yet durable, so a step that wrote nothing waits as well. Messages are
 * encoded when their step ends, so the core's memory is free at once.
 *
 * What waits is bounded. When it is too much, or the batch being filled is, no link is read until
 * the commit has ended, and for the core time stands still meanwhile, so that peers whose messages
 * were not read do not count as silent.
 *
 * An EXIT waits like every action. A signal that comes while one waits ends the loop at once, with
 * LEAT_EXIT_STORE: a full disk must not keep a process that is to end.
 *
 * When all links were read empty, or none is read (paused, exiting), a store that is quick may
 * commit within the turn (leat_store_seal_here): there was nothing else to do.
 *
 * Invariants: waiting.needed never decreases along the queue; nothing leaves before durable >=
 * needed; after a failed commit nothing leaves at all.
 */
#ifndef LEAT_IO_RUNNER_H
#define LEAT_IO_RUNNER_H

#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/step.h"
#include "io/guard.h"
#include "io/socket.h"
#include "store/store.h"

#define LEAT_RUNNER_LINKS_MAX           8
#define LEAT_RUNNER_FDS_MAX             16
#define LEAT_RUNNER_WAITING_ACTIONS_MAX 65536
#define LEAT_RUNNER_WAITING_BYTES_MAX   (64LL << 20)
#define LEAT_RUNNER_FILLING_BYTES_MAX   (256LL << 20)
#define LEAT_RUNNER_PATIENCE_US         10000
#define LEAT_RUNNER_PATIENCE_ROWS       8192
#define LEAT_RUNNER_BUDGET_MESSAGES     64
#define LEAT_RUNNER_BUDGET_US           1000

/* A link that is no ZeroMQ socket, for example a stream to the worker's spawner. Frames are whole
 * encoded messages (wire/codec.h). Nothing may block. */
struct leat_link_ops {
    /* What to poll: a descriptor and POLLIN, with POLLOUT while output is waiting. */
    int (*poll)(void *context, short *ret_events);
    /* Polled ready (also called with revents 0 once per turn): move bytes. May be NULL. */
    void (*ready)(void *context, short revents);
    /* The next frame, borrowed until the next call. */
    enum leat_received (*recv)(void *context, struct leat_bytes *ret_frame);
    /* Before a message is encoded: may put large parts of it elsewhere. May be NULL. */
    void (*prepare)(void *context, struct leat_msg *msg);
    /* Copies, or writes. */
    enum leat_sent (*send)(void *context, struct leat_bytes frame);
};

struct leat_runner_link {
    enum leat_link link;
    zsock_t *socket; /* borrowed; NULL: ops. A PUB's topic is the queue of a FINISHED message's
                        first job, else empty. */
    const struct leat_link_ops *ops;
    void *context;
    bool send_only; /* never read: PUB, an actor's pipe */
    bool may_drop;  /* what cannot be sent is counted, the core is not told */
};

/* Something else to poll. `ready` may call leat_runner_step and leat_runner_exit. */
struct leat_runner_fd {
    int fd; /* -1: not polled */
    short events;
    void (*ready)(void *context, short revents);
    void *context;
};

struct leat_runner;

struct leat_runner_config {
    void *core;
    void (*step)(void *core, const struct leat_event *event, struct leat_out *out);
    int64_t (*deadline_us)(const void *core);
    struct leat_store *store;             /* borrowed; NULL: nothing is held back */
    const struct leat_runner_link *links; /* copied */
    size_t link_count;
    const struct leat_runner_fd *fds; /* copied */
    size_t fd_count;
    int signal_fd; /* from leat_signals_open; -1: none */
    /* Who may say what on LEAT_LINK_PEERS, when it has keys. Borrowed; NULL: everybody everything.
     */
    struct leat_guard *guard;
    /* The keys have changed, after the core was told. May be NULL. */
    void (*keys_changed)(void *context, const struct leat_keyring *before,
                         const struct leat_keyring *now);
    void *keys_context;
    /* Called once per turn, before sealing; may call leat_runner_step. May be NULL. */
    void (*turn)(void *context, struct leat_now now);
    void *turn_context;
    size_t waiting_actions_max; /* 0: the default above; as the next ones */
    size_t waiting_bytes_max;
    size_t filling_bytes_max;
    int64_t patience_us;      /* so long may a batch wait that nobody waits for */
    size_t patience_rows;     /* unless it has so many rows */
    unsigned budget_messages; /* read from one link in one turn */
    int64_t budget_us;
    int64_t connect_wait_us; /* before the first TICK, wait so long for DEALERs to connect */
};

/* All zero but for signal_fd -1 and connect_wait_us 300 ms. */
void leat_runner_config_init(struct leat_runner_config *config);

/* Never NULL: out of memory ends the process. Core, store, sockets stay the caller's. */
struct leat_runner *leat_runner_new(const struct leat_runner_config *config);
void leat_runner_destroy(struct leat_runner **runner);

/* Takes over the actions of a step that the caller made, as of a recovery before the loop, and
 * clears `out`. */
void leat_runner_take(struct leat_runner *runner, struct leat_out *out);

/* Feeds an event of the caller's (from a `turn` or `ready` function; event->now is filled in). */
void leat_runner_step(struct leat_runner *runner, struct leat_event *event);
/* Ends the loop with this status after everything that waits now was carried out. */
void leat_runner_exit(struct leat_runner *runner, int status);
/* From now on the link is this socket (borrowed). */
void leat_runner_replace(struct leat_runner *runner, enum leat_link link, zsock_t *socket);
/* The time of this turn, as the core sees it. */
struct leat_now leat_runner_now(const struct leat_runner *runner);

/* Runs until EXIT; the exit status. A first TICK comes before anything else. LEAT_EXIT_STORE when
 * the store failed, LEAT_EXIT_INTERNAL when a custom link closed; both were logged. */
int leat_runner_run(struct leat_runner *runner);

/* One turn, waiting at most wait_us in poll. False: the loop has ended with *ret_status. */
bool leat_runner_turn(struct leat_runner *runner, int64_t wait_us, int *ret_status);

struct leat_runner_counts {
    uint64_t turns;
    uint64_t steps;
    uint64_t messages_in;
    uint64_t messages_out;
    uint64_t malformed;
    uint64_t forbidden; /* messages that their senders may not send */
    uint64_t unreachable;
    uint64_t dropped;    /* on links that may drop */
    uint64_t unsendable; /* could not be encoded: logged, lost */
    uint64_t commits;
    uint64_t commit_actions;     /* actions that waited for a commit */
    uint64_t commit_actions_max; /* most that one commit set free */
    uint64_t pauses;             /* times that reading stopped because too much waited */
    size_t waiting_actions;      /* now */
    size_t waiting_bytes;        /* now */
    bool paused;                 /* now */
};

struct leat_runner_counts leat_runner_counts(const struct leat_runner *runner);

#endif
