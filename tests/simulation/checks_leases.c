/* What a lease that has ended leaves behind: a delivery that was lost is used up, and a retry that
 * was confirmed is on the disk. */
#include "tests/simulation/checks_inside.h"
#include "worker/worker.h"

/* ---- deliveries ---- */

/* NOTE JOB_REDELIVERED: the lease that the job had last is lost. One that was adopted after a
 * restart has not been seen. */
void sim_lease_lost(struct sim_checks *checks, const struct leat_id *id)
{
    struct sim_job *job = sim_job_of(checks->ledger, id);
    if (job->pushed_life != checks->life) {
        return;
    }
    job->lost_delivery = job->pushed_delivery;
    job->lost_life = checks->life;
}

static void check_delivery(struct sim_checks *checks, struct sim_job *job,
                           const struct leat_item_delivery *item)
{
    if (job->lost_life == checks->life && item->delivery <= job->lost_delivery) {
        sim_break(checks->ledger, "a delivery number was used again",
                  "job %zu delivery %llu, lost was %llu", sim_job_index(&item->id),
                  (unsigned long long)item->delivery, (unsigned long long)job->lost_delivery);
    }
    job->pushed_delivery = item->delivery;
    job->pushed_life = checks->life;
}

/* ---- retries ---- */

/* As the ventilator is about to take it: does the lease count? */
void sim_lease_retries(struct sim_checks *checks, const struct sim_node *ventilator,
                       const struct sim_node *worker, const struct leat_msg_retry *retry)
{
    struct leat_id session = sim_worker_session(worker);
    for (size_t i = 0; i < retry->jobs.count; i++) {
        const struct leat_item_repeat *repeat = &retry->jobs.items[i];
        struct sim_job *job = sim_job_of(checks->ledger, &repeat->id);
        if (repeat->attempt > job->arrived_attempt) {
            job->arrived_attempt = repeat->attempt;
        }
        if (sim_ventilator_holds(ventilator, &repeat->id, repeat->delivery, &session)) {
            job->taken_attempt = repeat->attempt;
            job->taken_delivery = repeat->delivery;
        }
    }
}

/* What the worker holds no more after a PONG was confirmed. */
void sim_lease_pong(struct sim_checks *checks, const struct sim_node *worker)
{
    struct sim_said *said = checks->said[worker->index];
    for (size_t i = 0; i < SIM_SAID_MAX; i++) {
        if (said[i].attempt == 0 ||
            leat_worker_holds(worker->core, &said[i].id, said[i].delivery)) {
            continue;
        }
        struct sim_job *job = sim_job_of(checks->ledger, &said[i].id);
        if (job->arrived_attempt < said[i].attempt) {
            sim_break(checks->ledger, "a retry was confirmed that had not come",
                      "job %zu attempt %llu", sim_job_index(&said[i].id),
                      (unsigned long long)said[i].attempt);
        }
        bool was_taken = job->taken_attempt == said[i].attempt &&
                         job->taken_delivery == said[i].delivery && !job->forgotten;
        if (was_taken && said[i].attempt > job->confirmed_attempt) {
            job->confirmed_attempt = said[i].attempt;
        }
        said[i] = (struct sim_said){0};
    }
}

/* In a new round what is not said again was refused; what is said again is kept anew. */
void sim_lease_forget(struct sim_checks *checks, const struct sim_node *worker)
{
    memset(checks->said[worker->index], 0, sizeof(checks->said[worker->index]));
}

void sim_lease_said(struct sim_checks *checks, const struct sim_node *worker,
                    const struct leat_msg_retry *retry)
{
    struct sim_said *said = checks->said[worker->index];
    size_t place = 0;
    for (size_t i = 0; i < retry->jobs.count; i++) {
        const struct leat_item_repeat *repeat = &retry->jobs.items[i];
        while (place < SIM_SAID_MAX && said[place].attempt != 0) {
            place++;
        }
        if (place < SIM_SAID_MAX) {
            said[place] = (struct sim_said){repeat->id, repeat->delivery, repeat->attempt};
        }
    }
}

void sim_check_lease(struct sim_checks *checks, const struct leat_item_delivery *item)
{
    struct sim_job *job = sim_job_of(checks->ledger, &item->id);
    if (checks->ledger->settings.dedupe_max > 0) {
        return; /* a job that is submitted again after it was forgotten begins anew */
    }
    check_delivery(checks, job, item);
    if (item->attempt <= job->confirmed_attempt && !job->forgotten) {
        sim_break(checks->ledger, "a confirmed retry was forgotten",
                  "job %zu attempt %llu, confirmed was that %llu failed", sim_job_index(&item->id),
                  (unsigned long long)item->attempt, (unsigned long long)job->confirmed_attempt);
    }
}
