/* What must not happen before its time, or after it: attempts, and the loss of workers. All by the
 * ventilator's own clocks. Times are kept in milliseconds there, so it may be a little early. */
#include "tests/simulation/checks_inside.h"

#define EARLY_US 1000

static void check_number(struct sim_checks *checks, const struct sim_job *job,
                         const struct leat_item_delivery *item, int64_t now_us)
{
    if (item->attempt > job->retry_attempt + 1) {
        sim_break(checks->ledger, "an attempt was counted that nobody made",
                  "job %zu attempt %llu, the last to be repeated was %llu",
                  sim_job_index(&item->id), (unsigned long long)item->attempt,
                  (unsigned long long)job->retry_attempt);
    }
    /* A restart begins the clock of retries at the wall's time, which somebody may have set. */
    bool clock_holds = checks->ledger->times_hold || job->retry_life == checks->life;
    if (clock_holds && item->attempt == job->retry_attempt + 1 &&
        now_us + EARLY_US < job->retry_due_us) {
        sim_break(checks->ledger, "an attempt before the delay of its retry",
                  "job %zu attempt %llu", sim_job_index(&item->id),
                  (unsigned long long)item->attempt);
    }
}

void sim_check_attempt(struct sim_checks *checks, const struct sim_node *ventilator,
                       const struct leat_item_delivery *item)
{
    const struct sim_job *job = sim_job_of(checks->ledger, &item->id);
    struct leat_now now = sim_node_now(ventilator);
    check_number(checks, job, item, now.mono_us);
    if (item->expires_at_ms != 0 && now.wall.us >= item->expires_at_ms * 1000) {
        sim_break(checks->ledger, "an expired job was pushed", "job %zu", sim_job_index(&item->id));
    }
    /* What was ready at the restart may be with a worker that has not yet said so. */
    int64_t began_wall_us = now.wall.us - (now.mono_us - checks->began_us);
    if (checks->ledger->times_hold && item->ready_us > 0 && item->ready_us < began_wall_us &&
        now.mono_us + EARLY_US < checks->began_us + LEAT_RECOVERY_GRACE_MS * LEAT_US_PER_MS) {
        sim_break(checks->ledger, "a job was pushed before workers could say that they have it",
                  "job %zu, %lld us after the start", sim_job_index(&item->id),
                  (long long)(now.mono_us - checks->began_us));
    }
}

void sim_times_retry(struct sim_checks *checks, const struct sim_node *ventilator,
                     const struct leat_msg_retry *retry)
{
    for (size_t i = 0; i < retry->jobs.count; i++) {
        const struct leat_item_repeat *repeat = &retry->jobs.items[i];
        struct sim_job *job = sim_job_of(checks->ledger, &repeat->id);
        int64_t due_us = sim_node_now(ventilator).mono_us + (int64_t)repeat->delay_ms * 1000;
        if (repeat->attempt > job->retry_attempt) {
            job->retry_attempt = repeat->attempt;
            job->retry_due_us = due_us;
            job->retry_life = checks->life;
        } else if (repeat->attempt == job->retry_attempt) {
            job->retry_due_us = leat_min_us(job->retry_due_us, due_us);
        }
    }
}

void sim_times_heard(struct sim_checks *checks, const struct sim_node *ventilator,
                     const struct sim_node *worker, struct leat_peer peer)
{
    struct sim_fellow *fellow = &checks->fellows[worker->index];
    if (worker->role == &sim_role_worker && leat_peer_equal(peer, fellow->peer)) {
        fellow->heard_us = sim_node_now(ventilator).mono_us;
    }
}

void sim_times_lost(struct sim_checks *checks, const struct sim_node *ventilator,
                    const struct leat_id *session)
{
    int64_t now_us = sim_node_now(ventilator).mono_us;
    for (int i = 0; i < checks->world->node_count; i++) {
        const struct sim_node *node = &checks->world->nodes[i];
        const struct sim_fellow *fellow = &checks->fellows[i];
        if (node->role != &sim_role_worker || fellow->round == 0) {
            continue;
        }
        struct leat_id its = sim_worker_session(node);
        if (leat_id_equal(&its, session) &&
            now_us + EARLY_US < fellow->heard_us + LEAT_LOST_AFTER_MS * LEAT_US_PER_MS) {
            sim_break(checks->ledger, "a worker was lost that had been heard",
                      "worker %d, heard %lld us before", i, (long long)(now_us - fellow->heard_us));
        }
    }
}
