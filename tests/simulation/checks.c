/* What must hold at every moment, seen from outside: from the messages and notes of all nodes, and
 * from read-only queries. */
#include <assert.h>
#include <stdlib.h>

#include "tests/simulation/checks_inside.h"
#include "worker/worker.h"

struct sim_checks *sim_checks_new(struct sim_world *world, struct sim_ledger *ledger)
{
    struct sim_checks *checks = calloc(1, sizeof(*checks));
    assert(checks != NULL);
    checks->world = world;
    checks->ledger = ledger;
    return checks;
}

void sim_checks_free(struct sim_checks *checks)
{
    free(checks);
}

/* ---- one live lease per job ---- */

/* The ventilator has welcomed its present round, and it knows. */
static bool is_counted(const struct sim_checks *checks, const struct sim_node *node)
{
    const struct sim_fellow *fellow = &checks->fellows[node->index];
    return node->role == &sim_role_worker && node->core != NULL && !node->exited &&
           fellow->round != 0 && leat_worker_is_open(node->core) &&
           leat_worker_round(node->core) == fellow->round;
}

static void check_runs_once(struct sim_checks *checks, const struct sim_node *here,
                            const struct leat_id *id, uint64_t delivery)
{
    /* An id that was settled, forgotten and submitted again is another job; of the first one a
     * worker may not have heard that it has ended. */
    const bool is_another =
        checks->ledger->settings.dedupe_max > 0 && sim_job_of(checks->ledger, id)->was_settled;
    if (!is_counted(checks, here) || is_another) {
        return;
    }
    for (int i = 0; i < checks->world->node_count; i++) {
        const struct sim_node *other = &checks->world->nodes[i];
        uint64_t other_delivery = 0;
        if (other != here && is_counted(checks, other) &&
            sim_worker_runs(other, id, &other_delivery)) {
            sim_break(checks->ledger, "two workers have leases of one job",
                      "job %zu delivery %llu at %d, delivery %llu at %d", sim_job_index(id),
                      (unsigned long long)delivery, here->index, (unsigned long long)other_delivery,
                      other->index);
        }
    }
}

static void check_all_run_once(struct sim_checks *checks, const struct sim_node *here)
{
    for (size_t i = 0; i < checks->ledger->count; i++) {
        struct leat_id id = sim_job_id(i);
        uint64_t delivery = 0;
        if (sim_worker_runs(here, &id, &delivery)) {
            check_runs_once(checks, here, &id, delivery);
        }
    }
}

/* ---- what the ventilator says ---- */

static void on_welcome(struct sim_checks *checks, const struct sim_sight *sight)
{
    const struct sim_node *worker = sim_node_of_peer(checks->world, sight->peer);
    const struct leat_msg_welcome *welcome = &sight->msg->welcome;
    struct leat_id session = sim_worker_session(worker);
    if (leat_id_equal(&session, &welcome->session)) {
        checks->fellows[worker->index] = (struct sim_fellow){
            .round = welcome->round,
            .peer = sight->peer,
            .heard_us = sim_node_now(sight->node).mono_us,
        };
    }
}

static void on_jobs(struct sim_checks *checks, const struct sim_sight *sight)
{
    const struct sim_node *worker = sim_node_of_peer(checks->world, sight->peer);
    const struct leat_msg_jobs *jobs = &sight->msg->jobs;
    struct leat_peer peer = sight->peer;
    struct sim_fellow *fellow = &checks->fellows[worker->index];
    bool is_present = leat_peer_equal(peer, fellow->peer);
    for (size_t i = 0; i < jobs->jobs.count; i++) {
        const struct leat_item_delivery *item = &jobs->jobs.items[i];
        const struct sim_job *job = sim_job_of(checks->ledger, &item->id);
        fellow->pushed += is_present;
        sim_check_attempt(checks, sight->node, item);
        sim_check_lease(checks, item);
        sim_check_queue(checks, item);
        fellow->limited_pushed += is_present && job->kind == SIM_LIMITED;
        if (job->gone && !job->forgotten && checks->ledger->settings.dedupe_max == 0) {
            sim_break(checks->ledger, "a settled job was pushed again", "job %zu",
                      sim_job_index(&item->id));
        }
    }
    if (!is_present) {
        return;
    }
    if (jobs->round != fellow->round || fellow->pushed > fellow->credit) {
        sim_break(checks->ledger, "more jobs were pushed than credit was given",
                  "worker %d: %llu of %llu", worker->index, (unsigned long long)fellow->pushed,
                  (unsigned long long)fellow->credit);
    }
    if (checks->ledger->settings.rate_limits && fellow->limited_pushed > fellow->limited_credit) {
        sim_break(checks->ledger, "more jobs of a type were pushed than credit was given",
                  "worker %d: %llu of %llu", worker->index,
                  (unsigned long long)fellow->limited_pushed,
                  (unsigned long long)fellow->limited_credit);
    }
}

static void on_credit(struct sim_checks *checks, const struct sim_node *worker,
                      struct leat_peer peer, const struct leat_msg_credit *credit)
{
    struct sim_fellow *fellow = &checks->fellows[worker->index];
    if (credit->round != fellow->round || !leat_peer_equal(peer, fellow->peer)) {
        return;
    }
    if (credit->total > fellow->credit) {
        fellow->credit = credit->total;
    }
    for (size_t i = 0; i < credit->limits.count; i++) {
        if (credit->limits.items[i].total > fellow->limited_credit) {
            fellow->limited_credit = credit->limits.items[i].total;
        }
    }
}

static struct sim_customer *customer_of(struct sim_checks *checks, const struct leat_id *producer)
{
    for (size_t i = 0; i < checks->customer_count && i < SIM_CUSTOMERS; i++) {
        if (leat_id_equal(&checks->customers[i].producer, producer)) {
            return &checks->customers[i];
        }
    }
    struct sim_customer *customer = &checks->customers[checks->customer_count++ % SIM_CUSTOMERS];
    *customer = (struct sim_customer){.producer = *producer};
    return customer;
}

static void on_submit(struct sim_checks *checks, const struct leat_msg_submit *submit)
{
    checks->submitted_batch = submit->batch;
    checks->acknowledged_before = 0;
    for (size_t i = 0; i < submit->jobs.count; i++) {
        const struct sim_job *job = sim_job_of(checks->ledger, &submit->jobs.items[i].id);
        checks->acknowledged_before += job->acknowledged && !job->forgotten;
    }
}

static void on_accepted(struct sim_checks *checks, const struct sim_node *ventilator,
                        const struct leat_msg_accepted *accepted)
{
    struct sim_customer *customer = customer_of(checks, &accepted->producer);
    if (accepted->batch <= customer->accepted) {
        return; /* said before: how many were known is not told again */
    }
    customer->accepted = accepted->batch;
    if (!leat_store_has_room(ventilator->store)) {
        sim_break(checks->ledger, "a batch was accepted without room on the disk", "batch %llu",
                  (unsigned long long)accepted->batch);
    }
    if (checks->ledger->settings.dedupe_max == 0 && accepted->batch == checks->submitted_batch &&
        accepted->known < checks->acknowledged_before) {
        sim_break(checks->ledger, "a job was accepted as new twice", "batch %llu",
                  (unsigned long long)accepted->batch);
    }
}

/* ---- the stream of settled ids ---- */

static bool is_left(const struct sim_checks *checks, const struct leat_id *stream)
{
    for (size_t i = 0; i < SIM_STREAMS_LEFT; i++) {
        if (leat_id_equal(&checks->left[i], stream)) {
            return true;
        }
    }
    return false;
}

/* What arrived was on the disk: no FOLLOW of that stream says less. But a ventilator that has gone
 * over to another stream knows nothing of the one before, and an old SETTLED that begins at 1 takes
 * it back there. */
static void check_follow(struct sim_checks *checks, const struct leat_msg_follow *follow)
{
    const struct leat_id *last = &checks->last_followed;
    if (!leat_id_equal(last, &follow->stream) && !leat_id_is_zero(last) && !is_left(checks, last)) {
        checks->left[checks->left_count++ % SIM_STREAMS_LEFT] = *last;
    }
    checks->last_followed = follow->stream;
    if (leat_id_equal(&follow->stream, &checks->followed) && follow->settled < checks->settled &&
        !checks->ledger->disk_replaced && !checks->ledger->numbers_repeat &&
        !is_left(checks, &follow->stream)) {
        sim_break(checks->ledger, "what FOLLOW said was not on the disk",
                  "it was %llu, and later %llu", (unsigned long long)checks->settled,
                  (unsigned long long)follow->settled);
    }
}

/* As it arrives, since what has left the sink is on its disk. */
static void on_settled(struct sim_checks *checks, const struct leat_msg_settled *settled)
{
    for (size_t i = 0; i < settled->jobs.count; i++) {
        struct sim_job *job = sim_job_of(checks->ledger, &settled->jobs.items[i].id);
        job->stream = settled->stream;
        job->settled = settled->first + i;
        job->was_settled = true;
    }
}

/* FOLLOW leaves when what it says is on the ventilator's disk. */
static void on_follow(struct sim_checks *checks, const struct leat_msg_follow *follow)
{
    bool is_old =
        leat_id_equal(&follow->stream, &checks->followed) && follow->settled <= checks->settled;
    /* A FOLLOW that waited for the ventilator's disk may speak of the numbers of before. Then a job
     * whose result is there stays with the ventilator until the next audit of its lease. */
    if (is_old || checks->ledger->numbers_repeat) {
        return;
    }
    checks->followed = follow->stream;
    checks->settled = follow->settled;
    for (size_t i = 0; i < checks->ledger->count; i++) {
        struct sim_job *job = &checks->ledger->jobs[i];
        if (job->settled > 0 && job->settled <= follow->settled &&
            leat_id_equal(&job->stream, &follow->stream)) {
            job->gone = true;
        }
    }
}

/* ---- sights ---- */

static void forget_session(struct sim_checks *checks, const struct leat_id *session)
{
    for (int i = 0; i < checks->world->node_count; i++) {
        const struct sim_node *node = &checks->world->nodes[i];
        if (node->role == &sim_role_worker) {
            struct leat_id its = sim_worker_session(node);
            if (leat_id_equal(&its, session)) {
                checks->fellows[i] = (struct sim_fellow){0};
            }
        }
    }
}

static void on_note(struct sim_checks *checks, const struct sim_node *ventilator,
                    const struct leat_note *note)
{
    if (note->id == LEAT_NOTE_WORKER_LOST) {
        sim_times_lost(checks, ventilator, &note->subject);
    }
    if (note->id == LEAT_NOTE_WORKER_LOST || note->id == LEAT_NOTE_WORKER_LEFT) {
        forget_session(checks, &note->subject);
    } else if (note->id == LEAT_NOTE_JOB_REDELIVERED) {
        sim_lease_lost(checks, &note->subject);
    }
    if (note->id == LEAT_NOTE_JOB_REDELIVERED &&
        (note->value < 1 || note->value >= LEAT_DELIVERIES_DEFAULT)) {
        sim_break(checks->ledger, "a job was delivered too often", "job %zu, lost %lld times",
                  sim_job_index(&note->subject), (long long)note->value);
    } else if (note->id == LEAT_NOTE_JOB_LOST_TOO_OFTEN && note->value != LEAT_DELIVERIES_DEFAULT) {
        sim_break(checks->ledger, "a job was given up too soon", "job %zu, lost %lld times",
                  sim_job_index(&note->subject), (long long)note->value);
    }
}

static void on_life(struct sim_checks *checks, const struct sim_node *node)
{
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        if (node->role == &sim_role_ventilator || i == node->index) {
            checks->fellows[i] = (struct sim_fellow){0};
        }
    }
    if (node->role == &sim_role_ventilator) {
        checks->life = node->life;
        checks->began_us = sim_node_now(node).mono_us;
        sim_control_restarts(checks);
    }
}

static void at_ventilator(struct sim_checks *checks, const struct sim_sight *sight)
{
    const struct leat_msg *msg = sight->msg;
    if (sight->kind == SIM_GETS && msg->type == LEAT_MSG_SETTLED) {
        on_settled(checks, &msg->settled);
    }
    if (sight->kind == SIM_SENDS && msg->type == LEAT_MSG_FOLLOW) {
        check_follow(checks, &msg->follow);
    }
    if (sight->link != LEAT_LINK_PEERS) {
        return;
    }
    const struct sim_node *peer = sim_node_of_peer(checks->world, sight->peer);
    bool sends = sight->kind == SIM_SENDS;
    /* A HELLO counts when it is welcomed. */
    if (sight->kind == SIM_GETS && msg->type != LEAT_MSG_HELLO && msg->type != LEAT_MSG_GOODBYE) {
        sim_times_heard(checks, sight->node, peer, sight->peer);
    }
    if (sends && msg->type == LEAT_MSG_WELCOME) {
        on_welcome(checks, sight);
    } else if (sends && msg->type == LEAT_MSG_JOBS) {
        on_jobs(checks, sight);
    } else if (sends && msg->type == LEAT_MSG_ACCEPTED) {
        on_accepted(checks, sight->node, &msg->accepted);
    } else if (sight->kind == SIM_GETS && msg->type == LEAT_MSG_CREDIT) {
        on_credit(checks, peer, sight->peer, &msg->credit);
    } else if (sight->kind == SIM_GETS && msg->type == LEAT_MSG_RETRY) {
        sim_times_retry(checks, sight->node, &msg->retry);
        sim_lease_retries(checks, sight->node, peer, &msg->retry);
    } else if (sight->kind == SIM_GETS && msg->type == LEAT_MSG_CONTROL) {
        sim_control_said(checks, &msg->control);
    } else if (sight->kind == SIM_GETS && msg->type == LEAT_MSG_SUBMIT) {
        on_submit(checks, &msg->submit);
    }
}

static void at_worker(struct sim_checks *checks, const struct sim_sight *sight)
{
    const struct leat_msg *msg = sight->msg;
    if (sight->kind == SIM_SENDS && msg->type == LEAT_MSG_RUN) {
        for (size_t i = 0; i < msg->run.attempts.count; i++) {
            const struct leat_item_attempt *attempt = &msg->run.attempts.items[i];
            check_runs_once(checks, sight->node, &attempt->id, attempt->delivery);
        }
    } else if (sight->kind == SIM_TOOK && msg->type == LEAT_MSG_WELCOME) {
        check_all_run_once(checks, sight->node);
    } else if (sight->kind == SIM_SENDS && msg->type == LEAT_MSG_HELLO) {
        sim_lease_forget(checks, sight->node);
    } else if (sight->kind == SIM_SENDS && msg->type == LEAT_MSG_RETRY) {
        sim_lease_said(checks, sight->node, &msg->retry);
    } else if (sight->kind == SIM_TOOK && msg->type == LEAT_MSG_PONG && sight->node->core != NULL) {
        sim_lease_pong(checks, sight->node);
    } else if (sight->kind == SIM_GETS && msg->type == LEAT_MSG_STORED) {
        sim_worker_heard_stored(sight->node, msg->stored.batch);
    } else if (sight->kind == SIM_SENDS && msg->type == LEAT_MSG_RESULTS) {
        sim_worker_said_results(sight->node, &msg->results);
    }
}

void sim_checks_watch(const struct sim_sight *sight, void *context)
{
    struct sim_checks *checks = context;
    const struct sim_role *role = sight->node->role;
    sim_check_bounds(checks->ledger, sight);
    switch (sight->kind) {
    case SIM_NOTES:
        if (role == &sim_role_ventilator) {
            on_note(checks, sight->node, sight->note);
        }
        return;
    case SIM_BOOTS:
    case SIM_CRASHES:
    case SIM_ENDS:
        on_life(checks, sight->node);
        return;
    case SIM_SENDS:
    case SIM_GETS:
    case SIM_TOOK:
        break;
    case SIM_LOSES:
    case SIM_LEAVES:
    case SIM_WRITES:
        return;
    }
    if (role == &sim_role_ventilator) {
        at_ventilator(checks, sight);
    } else if (role == &sim_role_worker) {
        at_worker(checks, sight);
    } else if (role == &sim_role_operator && sight->kind == SIM_GETS &&
               sight->msg->type == LEAT_MSG_DONE) {
        sim_control_done(checks, &sight->msg->done);
    } else if (role == &sim_role_sink && sight->kind == SIM_GETS &&
               sight->msg->type == LEAT_MSG_FOLLOW) {
        on_follow(checks, &sight->msg->follow);
    }
}
