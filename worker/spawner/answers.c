#include <string.h>

#include "worker/spawner/loop.h"

void leat_spawner_send(struct leat_spawner_loop *loop, const struct leat_msg *msg)
{
    /* The queue has room for far more than is read from slots before it is looked at again
     * (LEAT_SPAWNER_OUT_BYTES_MAX). An answer that is lost would be a job that never ends; so
     * without memory the spawner ends, and the worker with it: the jobs run elsewhere. */
    if (leat_frames_send_msg(&loop->worker, msg) != LEAT_OK) {
        loop->stopping = true;
    }
}

void leat_spawner_answer(struct leat_spawner_loop *loop, size_t slot, struct leat_attempt *attempt,
                         struct leat_msg_ran *ran, const char *reason, int64_t started_us)
{
    char text[LEAT_REPORT_BYTES];
    struct leat_msg answer = {.type = LEAT_MSG_RAN};
    ran->id = attempt->id;
    ran->delivery = attempt->delivery;
    ran->error = leat_report_text(text, reason, (struct leat_str){0});
    const int64_t until_us = started_us == 0 ? loop->now_us : started_us;
    ran->queued_us =
        until_us > attempt->received_us ? (uint64_t)(until_us - attempt->received_us) : 0;
    ran->run_us = loop->now_us > until_us ? (uint64_t)(loop->now_us - until_us) : 0;
    answer.ran = *ran;
    leat_spawner_send(loop, &answer);
    leat_plan_drop(&loop->plan, slot, attempt);
}

void leat_spawner_answer_cause(struct leat_spawner_loop *loop, size_t slot,
                               struct leat_attempt *attempt, enum leat_failure cause,
                               int64_t started_us)
{
    struct leat_msg_ran ran = {.failure = cause};
    char reason[LEAT_REPORT_REASON_BYTES] = "killed by the worker";
    if (cause == LEAT_FAILURE_TIMEOUT) {
        leat_report_timeout(reason, attempt->timeout_ms);
    }
    leat_spawner_answer(loop, slot, attempt, &ran, reason, started_us);
}
