/* P7: every buffer has a bound. What of it can be seen from outside is compared with the bound that
 * the node was given, whenever it has said or taken something. */
#include "tests/simulation/cluster_inside.h"
#include "worker/worker.h"

static void hold(struct sim_ledger *ledger, const char *what, uint64_t value, uint64_t bound)
{
    if (value > bound) {
        sim_break(ledger, "a bound was exceeded", "%s: %llu, at most %llu", what,
                  (unsigned long long)value, (unsigned long long)bound);
    }
}

static void at_ventilator(struct sim_ledger *ledger, const struct sim_node *node)
{
    const struct sim_settings *settings = &ledger->settings;
    struct leat_ventilator_counts counts = sim_ventilator_counts(node);
    if (settings->bytes_max > 0) {
        hold(ledger, "bytes of jobs", counts.bytes, settings->bytes_max);
    }
    hold(ledger, "leases", counts.leased, LEAT_LEASES_MAX);
    hold(ledger, "sessions", counts.sessions, LEAT_SESSIONS_MAX);
    hold(ledger, "producers", counts.producers, LEAT_PRODUCERS_MAX);
}

static void at_sink(struct sim_ledger *ledger, const struct sim_node *node)
{
    struct leat_sink_info info = sim_sink_info(node);
    hold(ledger, "ids under way", info.sent - info.confirmed, ledger->settings.settled_window);
}

/* The jobs that the ventilator may push ahead, and what has ended and the sink has not stored. Jobs
 * that are on their way back do not count: nobody waits for them. */
static void at_worker(struct sim_ledger *ledger, const struct sim_node *node)
{
    const struct sim_settings *settings = &ledger->settings;
    struct leat_worker_counts counts = leat_worker_counts(node->core);
    size_t window =
        SIM_SLOTS +
        (settings->prefetch_max > settings->prefetch ? settings->prefetch_max : settings->prefetch);
    hold(ledger, "jobs at a worker", counts.queued + counts.started, window);
    hold(ledger, "results at a worker", counts.finished,
         settings->outbox_results_max > 0 ? settings->outbox_results_max : LEAT_OUTBOX_RESULTS_MAX);
}

static void of_message(struct sim_ledger *ledger, const struct leat_msg *msg)
{
    const struct sim_settings *settings = &ledger->settings;
    switch ((int)msg->type) {
    case LEAT_MSG_SUBMIT:
        hold(ledger, "jobs in SUBMIT", msg->submit.jobs.count, settings->batch_jobs_max);
        return;
    case LEAT_MSG_JOBS:
        hold(ledger, "jobs in JOBS", msg->jobs.jobs.count, settings->push_items_max);
        return;
    case LEAT_MSG_HELLO:
        hold(ledger, "leases in HELLO", msg->hello.leases.count, LEAT_SESSION_LEASES_MAX);
        return;
    case LEAT_MSG_SETTLED:
        hold(ledger, "ids in SETTLED", msg->settled.jobs.count, settings->settled_window);
        return;
    case LEAT_MSG_RESULTS:
        hold(ledger, "results in RESULTS", msg->results.results.count, LEAT_BATCH_ITEMS_MAX);
        return;
    default:
        return;
    }
}

void sim_check_bounds(struct sim_ledger *ledger, const struct sim_sight *sight)
{
    const struct sim_node *node = sight->node;
    if (sight->kind == SIM_SENDS) {
        of_message(ledger, sight->msg);
    }
    if (sight->kind != SIM_TOOK || node->core == NULL) {
        return;
    }
    if (node->role == &sim_role_ventilator) {
        at_ventilator(ledger, node);
    } else if (node->role == &sim_role_sink) {
        at_sink(ledger, node);
    } else if (node->role == &sim_role_worker) {
        at_worker(ledger, node);
    }
}
