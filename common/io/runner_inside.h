/* Shared by the runner's own files only.
 *
 *   runner.c        the loop
 *   runner_links.c  bytes in: sockets and custom links, decoding, budgets
 *   runner_store.c  commits: when, and what they set free
 *   runner_queue.c  actions out: encoding, waiting until durable, carrying out
 */
#ifndef LEAT_IO_RUNNER_INSIDE_H
#define LEAT_IO_RUNNER_INSIDE_H

#include "io/runner.h"
#include "wire/buffer.h"

/* An action that waits. */
struct leat_runner_action {
    uint64_t needed; /* batch that must be durable first */
    enum leat_action_kind kind;
    size_t bytes; /* memory that it holds beyond this struct */
    union {
        struct {
            enum leat_link link;
            struct leat_peer peer;
            uint8_t topic_size;
            char topic[LEAT_QUEUE_BYTES_MAX];
            zmq_msg_t frame; /* owned */
        } send;
        struct leat_note note; /* note.name: owned copy */
        int exit_status;
    };
};

struct leat_runner_failure {
    enum leat_link link;
    struct leat_peer peer;
};

struct leat_runner {
    struct leat_runner_config config;
    struct leat_runner_link links[LEAT_RUNNER_LINKS_MAX];
    struct leat_runner_fd fds[LEAT_RUNNER_FDS_MAX];

    int64_t unconnected_us[LEAT_RUNNER_LINKS_MAX]; /* of leat_socket_tend */
    int64_t tend_at_us;                            /* real time of the next look at the links */
    struct leat_guard_view view;                   /* of the keys of this turn */

    struct leat_now now;        /* as the core sees it */
    int64_t real_mono_us;       /* of this turn */
    int64_t held_us;            /* time that stood still for the core; now.mono_us = real - held */
    int64_t held_back_until_us; /* real time; 0: the filling batch is not held back */
    int64_t patient_since_us;   /* real time; 0: the filling batch is clean, or urgent */
    uint64_t urgent;            /* the last batch that somebody waits for */
    int64_t tick_due_since_us;  /* real time at which a TICK was put off first; 0: none is */

    struct leat_out out;
    struct leat_arena arena;         /* of the message that is being decoded */
    struct leat_wire_buffer encoded; /* of the message that is being encoded */
    zmq_msg_t frame;                 /* the frame received last; always initialised */

    struct leat_runner_action *ring; /* owned; capacity is a power of two */
    size_t ring_capacity;
    size_t ring_first;
    size_t ring_count;

    struct leat_runner_failure *failures; /* owned: sends that failed, not yet told to the core */
    size_t failure_count;
    size_t failure_capacity;

    struct leat_runner_counts counts;
    bool started;
    bool exiting; /* an EXIT waits: no events but STOP */
    bool ended;
    bool more; /* a link that is read was not read empty within its budget */
    bool store_full;
    int status;
};

/* runner_queue.c */

/* Takes over and clears `out`: carries out at once what nothing holds back, queues the rest. */
void leat_runner_collect(struct leat_runner *runner, struct leat_out *out);
/* Carries out what is durable now. */
void leat_runner_release(struct leat_runner *runner);
/* Queues an EXIT behind all that waits. */
void leat_runner_queue_exit(struct leat_runner *runner, int status);
void leat_runner_queue_fini(struct leat_runner *runner);
/* Whether so much waits that nothing more may be read. */
bool leat_runner_is_congested(const struct leat_runner *runner);

/* runner_store.c */

/* Takes note of a commit that has ended, and carries out what waited for it. */
void leat_runner_advance_store(struct leat_runner *runner);
/* Whether the store has become full, or has room again, and the core was not told yet. */
bool leat_runner_has_space_to_tell(const struct leat_runner *runner);
/* Starts the commit of what was written, unless one is under way or it may wait. */
void leat_runner_seal_store(struct leat_runner *runner);

/* runner_links.c */

/* Takes the keys of now; tells the core whose rights have ended. */
void leat_runner_refresh_keys(struct leat_runner *runner);
/* Reads every link within its budget; sets runner->more. */
void leat_runner_read_links(struct leat_runner *runner);

#endif
