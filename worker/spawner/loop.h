/* The state of the spawner process, shared by loop.c (waiting, starting and ending of slot
 * processes), slot_time.c (their time), slot_answers.c (what they say), orders.c (what the worker
 * says) and answers.c (what it is told). */
#ifndef LEAT_WORKER_SPAWNER_LOOP_H
#define LEAT_WORKER_SPAWNER_LOOP_H

#include "core/arena.h"
#include "worker/spawner/report.h"
#include "worker/spawner/slot.h"

/* Both processes of a slot may be there at once; only one of them has attempts at a time. */
struct leat_spawner_slot {
    struct leat_slot exec;
    struct leat_slot plugin;
    int64_t closed_until_us; /* after crashes; 0: not for that reason */
    unsigned crashes;        /* processes in a row that ended without an answer */
};

struct leat_spawner_loop {
    const struct leat_spawner_config *config;
    struct leat_frames worker;
    uint32_t worker_watched;
    pid_t worker_pid;
    int epoll_fd;
    int signals_fd;
    uint64_t files_max;
    struct leat_plan plan;
    struct leat_spawner_slot *slots;
    struct leat_arena arena;
    struct leat_wire_buffer piece;      /* the answer that is being read */
    struct leat_item_outcome *outcomes; /* owned; not yet sent to the worker */
    size_t outcomes_count;
    struct leat_arena outcomes_arena; /* their texts and outputs */
    int64_t now_us;
    bool stopping;
};

static inline struct leat_slot *leat_spawner_process(struct leat_spawner_loop *loop, size_t slot,
                                                     enum leat_spawner_kind kind)
{
    struct leat_spawner_slot *it = &loop->slots[slot];
    return kind == LEAT_SPAWNER_PLUGIN ? &it->plugin : &it->exec;
}

/* ---- loop.c ---- */

/* Whether the slot takes attempts; to be called after anything that has a part in it. */
void leat_spawner_open_or_close(struct leat_spawner_loop *loop, size_t slot);
/* Kills the process, which is of no use any more. */
void leat_spawner_break_slot(struct leat_spawner_loop *loop, size_t slot,
                             struct leat_slot *process);

/* ---- slot_time.c ---- */

/* Does what is due in the slot; returns when it wants attention next. */
int64_t leat_spawner_check_slot(struct leat_spawner_loop *loop, size_t slot);
/* Whether the plug-in child was given all that it gets (--recycle). */
bool leat_spawner_is_used_up(const struct leat_spawner_loop *loop, const struct leat_slot *process);

/* ---- answers.c ---- */

/* Answers for an attempt that has no process to do it, and forgets it. `slot`: where it is in the
 * plan. started_us: 0 when it was never begun. */
void leat_spawner_answer(struct leat_spawner_loop *loop, size_t slot, struct leat_attempt *attempt,
                         struct leat_item_outcome *ran, const char *reason, int64_t started_us);
/* The same for TIMEOUT and KILLED. */
void leat_spawner_answer_cause(struct leat_spawner_loop *loop, size_t slot,
                               struct leat_attempt *attempt, enum leat_failure cause,
                               int64_t started_us);
/* Keeps a copy of the outcome, which leaves with others in one RAN. */
void leat_spawner_tell(struct leat_spawner_loop *loop, const struct leat_item_outcome *outcome);
/* Queues the RAN of what was told since the last one, if anything was. */
void leat_spawner_send_outcomes(struct leat_spawner_loop *loop);
/* Queues a message behind all that was told. */
void leat_spawner_send(struct leat_spawner_loop *loop, const struct leat_msg *msg);

/* ---- slot_answers.c ---- */

/* With so much on its way to the worker, slots are not read. */
#define LEAT_SPAWNER_OUT_BYTES_MAX (8u << 20)
/* Outcomes in one RAN, or so many bytes of them. */
#define LEAT_SPAWNER_OUTCOMES_MAX      1024
#define LEAT_SPAWNER_OUTCOME_BYTES_MAX ((size_t)LEAT_BATCH_BYTES_TARGET)

/* An attempt that runs longer than this is slow (plan.h). A command's start alone costs more than
 * most calls of plug-ins. */
#define LEAT_SPAWNER_SLOW_PLUGIN_US (5 * LEAT_US_PER_MS)
#define LEAT_SPAWNER_SLOW_EXEC_US   (10 * LEAT_US_PER_MS)

static inline int64_t leat_spawner_slow_us(enum leat_spawner_kind kind)
{
    return kind == LEAT_SPAWNER_EXEC ? LEAT_SPAWNER_SLOW_EXEC_US : LEAT_SPAWNER_SLOW_PLUGIN_US;
}

/* Reads the slot's socket once, and takes all answers that are there. As leat_frames_fill. */
enum leat_err leat_spawner_read_slot(struct leat_spawner_loop *loop, size_t slot,
                                     struct leat_slot *process);
/* Takes the answers that are there without a look at the socket. */
void leat_spawner_take_answers(struct leat_spawner_loop *loop, size_t slot,
                               struct leat_slot *process);

/* ---- orders.c ---- */

/* Does what one frame of the worker says. */
void leat_spawner_obey(struct leat_spawner_loop *loop, struct leat_bytes frame);
/* Ends the plug-in attempt that runs in the slot, for TIMEOUT or KILLED; what stands behind it
 * waits again. False: it has just ended by itself. */
bool leat_spawner_end_head(struct leat_spawner_loop *loop, size_t slot, enum leat_failure cause);
/* What the slot has not begun waits again. */
void leat_spawner_take_back(struct leat_spawner_loop *loop, size_t slot);

#endif
