/* What time asks for in a slot: answers that nobody told of, attempts that turn out to be slow, and
 * for plug-ins, whose keeper knows nothing of attempts, their timeouts. */
#include <sys/socket.h>

#include "worker/spawner/loop.h"

/* A plug-in child may keep quick answers to itself for a short time; when one that is slow came
 * behind them, they are found by looking into the ring as often as this. */
#define LOOK_US (1 * LEAT_US_PER_MS)
/* A plug-in child that begins nothing for this time hangs while it loads. */
#define LOAD_US (10 * LEAT_US_PER_S)

bool leat_spawner_is_used_up(const struct leat_spawner_loop *loop, const struct leat_slot *process)
{
    const uint64_t most = loop->config->recycle_jobs;
    return most != 0 && process->keeper != 0 && process->sent >= most;
}

static void take_answers(struct leat_spawner_loop *loop, size_t slot, struct leat_slot *process)
{
    if (process->keeper != 0 &&
        leat_frames_queued_bytes(&loop->worker) < LEAT_SPAWNER_OUT_BYTES_MAX) {
        leat_spawner_take_answers(loop, slot, process);
    }
}

/* With attempts behind the one that was begun last: whether that one is slow. If so they wait for
 * another slot; else returns when it would be. */
static int64_t check_pace(struct leat_spawner_loop *loop, size_t slot,
                          const struct leat_slot *process)
{
    const int64_t slow_us =
        leat_slot_begun_us(process, loop->now_us) + leat_spawner_slow_us(process->kind);
    if (loop->now_us < slow_us) {
        return slow_us;
    }
    leat_plan_note_slow(&loop->plan, slot);
    leat_spawner_take_back(loop, slot);
    return LEAT_NEVER_US;
}

static int64_t check_exec(struct leat_spawner_loop *loop, size_t slot)
{
    struct leat_slot *process = &loop->slots[slot].exec;
    take_answers(loop, slot, process);
    const struct leat_attempt *head = leat_plan_head(&loop->plan, slot);
    if (head == NULL || head->kind != LEAT_SPAWNER_EXEC || process->ending ||
        loop->plan.slots[slot].flight.count < 2) {
        return LEAT_NEVER_US;
    }
    if (!leat_slot_has_begun(process, head)) {
        return loop->now_us + LEAT_SPAWNER_SLOW_EXEC_US; /* it is about to be begun */
    }
    return check_pace(loop, slot, process);
}

static int64_t check_begun(struct leat_spawner_loop *loop, size_t slot, struct leat_slot *process,
                           int64_t limit_us)
{
    const int64_t due_us = leat_slot_begun_us(process, loop->now_us) + limit_us;
    if (loop->now_us >= due_us) {
        const bool ended = leat_spawner_end_head(loop, slot, LEAT_FAILURE_TIMEOUT);
        return ended ? LEAT_NEVER_US : loop->now_us + LEAT_US_PER_MS;
    }
    if (loop->plan.slots[slot].flight.count < 2) {
        return due_us;
    }
    const bool is_slow = check_pace(loop, slot, process) == LEAT_NEVER_US;
    return is_slow ? due_us : leat_min_us(due_us, loop->now_us + LOOK_US);
}

static int64_t check_plugin(struct leat_spawner_loop *loop, size_t slot)
{
    struct leat_slot *process = &loop->slots[slot].plugin;
    take_answers(loop, slot, process);
    struct leat_attempt *head = leat_plan_head(&loop->plan, slot);
    if (head == NULL && leat_spawner_is_used_up(loop, process) && !process->ending) {
        process->ending = true;
        shutdown(process->jobs_fd, SHUT_WR); /* the child has nothing to do and sees the end */
    }
    if (head == NULL || head->kind != LEAT_SPAWNER_PLUGIN || process->ending) {
        return LEAT_NEVER_US;
    }
    const int64_t limit_us = leat_slot_limit_us(head->timeout_ms);
    if (process->head_seq != head->seq) {
        process->head_seq = head->seq;
        process->head_since_us = loop->now_us;
    }
    const int64_t latest_us = process->head_since_us + limit_us + LOAD_US;
    if (loop->now_us >= latest_us) {
        /* Whatever the gate says, which a wild handler may have written over: its time is up. */
        head->cause = LEAT_FAILURE_TIMEOUT;
        leat_spawner_break_slot(loop, slot, process);
        return LEAT_NEVER_US;
    }
    if (leat_slot_has_begun(process, head)) {
        return leat_min_us(latest_us, check_begun(loop, slot, process, limit_us));
    }
    if (process->answered == 0 && loop->now_us >= process->started_us + LOAD_US) {
        leat_spawner_break_slot(loop, slot, process);
        return LEAT_NEVER_US;
    }
    /* It may be begun right now, and nobody tells us; so no later than it could be due then. */
    const bool is_ahead = loop->plan.slots[slot].flight.count > 1;
    const int64_t soonest_us = is_ahead ? LOOK_US : leat_min_us(limit_us + 1, LOAD_US);
    return leat_min_us(latest_us, loop->now_us + soonest_us);
}

int64_t leat_spawner_check_slot(struct leat_spawner_loop *loop, size_t slot)
{
    struct leat_spawner_slot *it = &loop->slots[slot];
    int64_t deadline_us = LEAT_NEVER_US;
    if (it->closed_until_us != 0) {
        if (loop->now_us < it->closed_until_us) {
            deadline_us = it->closed_until_us;
        } else {
            it->closed_until_us = 0;
            leat_spawner_open_or_close(loop, slot);
        }
    }
    deadline_us = leat_min_us(deadline_us, check_exec(loop, slot));
    return leat_min_us(deadline_us, check_plugin(loop, slot));
}
