#include <assert.h>
#include <stdlib.h>

#include "broker/examine.h"
#include "broker/sink/sink.h"
#include "tests/simulation/roles.h"

struct sink {
    struct sim_ledger *ledger;
    struct leat_sink *sink;
    struct leat_sink_store *store;
    unsigned steps;
};

uint64_t sim_sink_results(const struct sim_node *node)
{
    const struct sink *sink = node->core;
    struct leat_sink_info info = leat_sink_info(sink->sink);
    return info.successes + info.failures;
}

struct leat_sink_info sim_sink_info(const struct sim_node *node)
{
    const struct sink *sink = node->core;
    return leat_sink_info(sink->sink);
}

/* What the sink has announced it keeps until the ventilator has heard of it. */
static void check_kept(const struct sink *sink)
{
    for (size_t i = 0; i < sink->ledger->count; i++) {
        const struct sim_job *job = &sink->ledger->jobs[i];
        const struct leat_id id = sim_job_id(i);
        struct leat_sink_kept kept;
        if (job->announced > 0 && !job->was_settled &&
            leat_sink_store_find(sink->store, &id, &kept) == LEAT_ERR_NOT_FOUND) {
            sim_break(sink->ledger, "a result was removed that the ventilator has not heard of",
                      "job %zu", i);
        }
    }
}

static void sink_step(void *core, const struct leat_event *event, struct leat_out *out)
{
    struct sink *sink = core;
    leat_sink_step(sink->sink, event, out);
    if (++sink->steps % sink->ledger->settings.check_every == 0) {
        struct leat_why why;
        if (leat_sink_check(sink->sink, &why) != LEAT_OK) {
            sim_break(sink->ledger, "an invariant of the sink", "%s", why.text);
        }
        check_kept(sink);
    }
}

static int64_t sink_deadline_us(const void *core)
{
    return leat_sink_deadline_us(((const struct sink *)core)->sink);
}

static void sink_check(const void *core)
{
    (void)core; /* in sink_step, every now and then */
}

static void *sink_boot(struct sim_node *node, struct leat_out *out)
{
    struct sink *sink = calloc(1, sizeof(*sink));
    assert(sink != NULL);
    struct leat_sink_config config;
    leat_sink_config_init(&config);
    sink->ledger = node->context;
    config.seed = leat_rng_next(&node->world->rng);
    config.settled_window = sink->ledger->settings.settled_window;
    if (sink->ledger->settings.keep_results_max > 0) {
        config.keep_results_max = (int64_t)sink->ledger->settings.keep_results_max;
        config.keep_failures_ms = 2000; /* failures go early, too */
    }
    sink->store = leat_sink_store_new(node->store);
    sink->sink = leat_sink_new(&config, sink->store);
    struct leat_examination examination = {.found = sim_found_in_store, .context = sink->ledger};
    enum leat_err err = leat_sink_store_examine(sink->store, &examination);
    assert(err == LEAT_OK);
    struct leat_why why;
    err = leat_sink_recover(sink->sink, sim_node_now(node), out, &why);
    assert(err == LEAT_OK);
    return sink;
}

static void sink_destroy(void *core)
{
    struct sink *sink = core;
    leat_sink_destroy(&sink->sink);
    leat_sink_store_destroy(&sink->store);
    free(sink);
}

/* A result is announced once, when it is recorded. */
static void sink_local(struct sim_node *node, enum leat_link link, const struct leat_msg *msg)
{
    struct sim_ledger *ledger = node->context;
    if (link != LEAT_LINK_EVENTS || msg->type != LEAT_MSG_FINISHED) {
        return;
    }
    for (size_t i = 0; i < msg->finished.jobs.count; i++) {
        const struct leat_item_ended *ended = &msg->finished.jobs.items[i];
        struct sim_job *job = sim_job_of(ledger, &ended->id);
        job->announced++;
        job->announced_status = ended->status;
        job->announced_run_us = ended->run_us;
        /* A sink that keeps few results takes a late one of a job that it has forgotten. */
        if (job->announced > 1 && ledger->settings.keep_results_max == 0) {
            sim_break(ledger, "a second result was recorded", "job %zu", sim_job_index(&ended->id));
        }
        if (job->stored && ledger->settings.keep_results_max == 0) {
            sim_break(ledger, "a result was recorded after another was confirmed", "job %zu",
                      sim_job_index(&ended->id));
        }
        if (ended->status == LEAT_STATE_SUCCEEDED && job->succeeded == 0) {
            sim_break(ledger, "a job succeeded that no handler ended", "job %zu",
                      sim_job_index(&ended->id));
        }
    }
}

const struct sim_role sim_role_sink = {
    .name = "sink",
    .step = sink_step,
    .deadline_us = sink_deadline_us,
    .check = sink_check,
    .boot = sink_boot,
    .destroy = sink_destroy,
    .local = sink_local,
};
