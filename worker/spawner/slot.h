/* A slot process as the spawner sees it: a keeper and what it keeps, and the sockets to both. */
#ifndef LEAT_WORKER_SPAWNER_SLOT_H
#define LEAT_WORKER_SPAWNER_SLOT_H

#include <stdbool.h>
#include <sys/types.h>

#include "worker/spawner/inside.h"
#include "worker/spawner/plan.h"

struct leat_slot {
    enum leat_spawner_kind kind;
    pid_t keeper;                    /* 0: there is no process */
    int jobs_fd;                     /* owned */
    int control_fd;                  /* owned */
    struct leat_frames frames;       /* over jobs_fd */
    struct leat_slot_shared *shared; /* owned mapping */
    struct leat_ring_taker ring;     /* of `shared` */
    bool elsewhere;                  /* the next answer comes over jobs_fd, not by the ring */
    uint64_t sent;                   /* seq of the last attempt that was sent */
    uint64_t answered;               /* attempts that were answered */
    int64_t started_us;
    /* Plug-in slots: the attempt that is the first in flight, and since when, as the spawner saw
     * it. */
    uint64_t head_seq;
    int64_t head_since_us;
    bool ending; /* was told to end; is sent nothing more */
    bool broken; /* answered with nonsense; is not listened to any more */
    bool gone;   /* the keeper was reaped: its number may mean another process now */
    bool ended;  /* `status` is known: the plug-in child is gone */
    int status;
    uint32_t watched; /* epoll events of jobs_fd */
};

/* Forks the processes. LEAT_ERR_IO: *slot is untouched. */
LEAT_MUST_USE enum leat_err leat_slot_start(struct leat_slot *slot, enum leat_spawner_kind kind,
                                            const struct leat_spawner_config *config,
                                            uint64_t files_max);
/* Closes and frees all; the processes, if there are any, end. */
void leat_slot_close(struct leat_slot *slot);

/* Queues the attempt and numbers it. */
LEAT_MUST_USE enum leat_err leat_slot_send(struct leat_slot *slot, struct leat_attempt *attempt);

/* The next answer that has come, borrowed until the next call and the next fill of `frames`;
 * `piece` is where it is kept. LEAT_ERR_NOT_FOUND: none has. LEAT_ERR_MALFORMED, LEAT_ERR_LIMIT,
 * LEAT_ERR_MEMORY: the slot is of no use any more. */
LEAT_MUST_USE enum leat_err leat_slot_next_answer(struct leat_slot *slot,
                                                  struct leat_wire_buffer *piece,
                                                  struct leat_bytes *ret_answer);

/* TERM or KILL; to an exec slot TERM, for the attempt `seq` only. */
void leat_slot_control(struct leat_slot *slot, enum leat_control_kind kind, uint64_t seq);

/* Reads the keeper's last word, if it is there. */
void leat_slot_read_status(struct leat_slot *slot);

/* Whether the slot process has begun the attempt. */
bool leat_slot_has_begun(const struct leat_slot *slot, const struct leat_attempt *attempt);

/* When the slot process began the attempt that it has begun last. A wild handler may have written
 * over it, so it is at least between the start of the process and now. */
int64_t leat_slot_begun_us(const struct leat_slot *slot, int64_t now_us);

/* Sees to it that nothing is begun that was not begun before; returns the seq of the last that was.
 */
uint64_t leat_slot_take_back(struct leat_slot *slot);

#endif
