#include <string.h>

#include "worker/spawner/loop.h"

void leat_spawner_tell(struct leat_spawner_loop *loop, const struct leat_item_outcome *outcome)
{
    struct leat_item_outcome *kept = &loop->outcomes[loop->outcomes_count];
    *kept = *outcome;
    kept->error = leat_arena_copy_str(&loop->outcomes_arena, outcome->error);
    kept->output = leat_arena_copy(&loop->outcomes_arena, outcome->output);
    if (kept->error.data == NULL || kept->output.data == NULL) {
        loop->stopping = true; /* as below */
        return;
    }
    loop->outcomes_count++;
    if (loop->outcomes_count == LEAT_SPAWNER_OUTCOMES_MAX ||
        loop->outcomes_arena.used_bytes >= LEAT_SPAWNER_OUTCOME_BYTES_MAX) {
        leat_spawner_send_outcomes(loop);
    }
}

static void send_msg(struct leat_spawner_loop *loop, const struct leat_msg *msg)
{
    /* The queue has room for far more than is read from slots before it is looked at again
     * (LEAT_SPAWNER_OUT_BYTES_MAX). An answer that is lost would be a job that never ends; so
     * without memory the spawner ends, and the worker with it: the jobs run elsewhere. */
    if (leat_frames_send_msg(&loop->worker, msg) != LEAT_OK) {
        loop->stopping = true;
    }
}

void leat_spawner_send_outcomes(struct leat_spawner_loop *loop)
{
    if (loop->outcomes_count == 0) {
        return;
    }
    struct leat_msg msg = {.type = LEAT_MSG_RAN};
    msg.ran.outcomes.items = loop->outcomes;
    msg.ran.outcomes.count = loop->outcomes_count;
    send_msg(loop, &msg);
    loop->outcomes_count = 0;
    leat_arena_clear(&loop->outcomes_arena);
}

void leat_spawner_send(struct leat_spawner_loop *loop, const struct leat_msg *msg)
{
    leat_spawner_send_outcomes(loop);
    send_msg(loop, msg);
}

void leat_spawner_answer(struct leat_spawner_loop *loop, size_t slot, struct leat_attempt *attempt,
                         struct leat_item_outcome *ran, const char *reason, int64_t started_us)
{
    char text[LEAT_REPORT_BYTES];
    ran->id = attempt->id;
    ran->delivery = attempt->delivery;
    ran->error = leat_report_text(text, reason, (struct leat_str){0});
    const int64_t until_us = started_us == 0 ? loop->now_us : started_us;
    ran->queued_us =
        until_us > attempt->received_us ? (uint64_t)(until_us - attempt->received_us) : 0;
    ran->run_us = loop->now_us > until_us ? (uint64_t)(loop->now_us - until_us) : 0;
    leat_spawner_tell(loop, ran);
    leat_plan_drop(&loop->plan, slot, attempt);
}

void leat_spawner_answer_cause(struct leat_spawner_loop *loop, size_t slot,
                               struct leat_attempt *attempt, enum leat_failure cause,
                               int64_t started_us)
{
    struct leat_item_outcome ran = {.failure = cause};
    char reason[LEAT_REPORT_REASON_BYTES] = "killed by the worker";
    if (cause == LEAT_FAILURE_TIMEOUT) {
        leat_report_timeout(reason, attempt->timeout_ms);
    }
    leat_spawner_answer(loop, slot, attempt, &ran, reason, started_us);
}
