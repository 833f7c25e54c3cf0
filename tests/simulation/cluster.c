#include "tests/simulation/cluster.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simulation/cluster_inside.h"
#include "wire/codec.h"

#define MS INT64_C(1000)
#define S  INT64_C(1000000)
/* A history takes some thousand steps. */
#define STEPS_MAX 1000000

/* ---- the verdict ---- */

__attribute__((format(printf, 3, 4))) static void broken(struct sim_cluster_report *report,
                                                         const char *rule, const char *format, ...)
{
    if (report->broken != NULL) {
        return;
    }
    report->broken = rule;
    va_list args;
    va_start(args, format);
    vsnprintf(report->text, sizeof(report->text), format, args);
    va_end(args);
}

void sim_break(struct sim_ledger *ledger, const char *rule, const char *format, ...)
{
    if (ledger->broken != NULL) {
        return;
    }
    ledger->broken = rule;
    va_list args;
    va_start(args, format);
    vsnprintf(ledger->text, sizeof(ledger->text), format, args);
    va_end(args);
}

static const struct {
    uint64_t status, failure, attempts;
} expected[SIM_KINDS] = {
    [SIM_OK] = {LEAT_STATE_SUCCEEDED, LEAT_FAILURE_NONE, 1},
    [SIM_FLAKY] = {LEAT_STATE_SUCCEEDED, LEAT_FAILURE_NONE, 3},
    [SIM_BAD] = {LEAT_STATE_FAILED, LEAT_FAILURE_EXIT, 1},
    [SIM_HANGING] = {LEAT_STATE_FAILED, LEAT_FAILURE_TIMEOUT, 2},
    [SIM_POISON] = {LEAT_STATE_FAILED, LEAT_FAILURE_LOST, 1},
    [SIM_DELAYED] = {LEAT_STATE_SUCCEEDED, LEAT_FAILURE_NONE, 1},
    [SIM_EXPIRING] = {LEAT_STATE_SUCCEEDED, LEAT_FAILURE_NONE, 1},
    [SIM_LIMITED] = {LEAT_STATE_SUCCEEDED, LEAT_FAILURE_NONE, 1},
};

bool sim_found_in_store(void *context, const char *what)
{
    sim_break(context, "a store is damaged that was not", "%s", what);
    return false;
}

static void judge_job(const struct sim_ledger *ledger, size_t index,
                      const struct leat_item_result *result, struct sim_cluster_report *report)
{
    const struct sim_job *job = &ledger->jobs[index];
    bool as_expected = result->status == expected[job->kind].status &&
                       result->failure == expected[job->kind].failure &&
                       result->attempts == expected[job->kind].attempts;
    /* A worker that dies five times by misfortune with the same job ends that job, too. */
    bool by_misfortune =
        result->status == LEAT_STATE_FAILED && result->failure == LEAT_FAILURE_LOST;
    bool expired = job->kind == SIM_EXPIRING && result->status == LEAT_STATE_EXPIRED;
    if (!as_expected && !by_misfortune && !expired) {
        broken(report, "a job ended otherwise than it must",
               "job %zu kind %s status %s failure %s attempts %llu", index,
               sim_kind_name(job->kind), leat_state_name(result->status),
               leat_failure_name(result->failure), (unsigned long long)result->attempts);
    }
    if (job->announced > 0 && ledger->settings.keep_results_max == 0 &&
        (job->announced_status != result->status || job->announced_run_us != result->run_us)) {
        broken(report, "a recorded result changed", "job %zu", index);
    }
}

/* Of a result that the sink has removed again there is what it announced. */
static void judge_removed(const struct sim_ledger *ledger, size_t index,
                          struct sim_cluster_report *report)
{
    const struct sim_job *job = &ledger->jobs[index];
    const uint64_t status = job->announced_status;
    bool by_misfortune = status == LEAT_STATE_FAILED;
    bool expired = job->kind == SIM_EXPIRING && status == LEAT_STATE_EXPIRED;
    if (status != expected[job->kind].status && !by_misfortune && !expired) {
        broken(report, "a job ended otherwise than it must", "job %zu kind %s announced as %s",
               index, sim_kind_name(job->kind), leat_state_name(status));
    }
    report->removed++;
}

/* What is due goes first: a result that is removed by the next question could not be counted twice.
 */
static void let_retire(struct sim_world *world, struct sim_node *sink)
{
    struct leat_event event = {.kind = LEAT_EVENT_TICK, .now = sim_now(world)};
    struct leat_out out;
    leat_out_init(&out);
    sink->role->step(sink->core, &event, &out);
    leat_out_fini(&out);
}

static void judge_results(struct sim_world *world, struct sim_ledger *ledger, struct sim_node *sink,
                          struct sim_cluster_report *report)
{
    let_retire(world, sink);
    for (size_t i = 0; i < ledger->count; i++) {
        struct leat_item_job_id id = {sim_job_id(i)};
        struct leat_msg query = {.type = LEAT_MSG_QUERY};
        query.query.jobs.items = &id;
        query.query.jobs.count = 1;
        struct leat_event event = {.kind = LEAT_EVENT_MESSAGE,
                                   .now = sim_now(world),
                                   .link = LEAT_LINK_PEERS,
                                   .peer = {.size = 4},
                                   .msg = &query};
        struct leat_out out;
        leat_out_init(&out);
        sink->role->step(sink->core, &event, &out);
        assert(out.count >= 1 && out.actions[0].msg.type == LEAT_MSG_ANSWERS);
        const struct leat_msg_answers *answers = &out.actions[0].msg.answers;
        if (answers->results.count == 1) {
            report->results++;
            judge_job(ledger, i, &answers->results.items[0], report);
        } else if (ledger->jobs[i].acknowledged && !ledger->jobs[i].excused &&
                   (ledger->settings.keep_results_max == 0 || !ledger->jobs[i].was_settled)) {
            broken(report, "an acknowledged job has no result", "job %zu kind %s, %s", i,
                   sim_kind_name(ledger->jobs[i].kind),
                   ledger->jobs[i].was_settled ? "settled once" : "never settled");
        } else if (ledger->jobs[i].announced > 0 && ledger->jobs[i].was_settled) {
            judge_removed(ledger, i, report);
        }
        leat_out_fini(&out);
    }
    uint64_t kept = sim_sink_results(sink);
    if (kept != report->results) {
        broken(report, "a result without a job", "%llu results, %llu of them of known jobs",
               (unsigned long long)kept, (unsigned long long)report->results);
    }
}

static bool is_up(const struct sim_node *node)
{
    return node->core != NULL && !node->exited;
}

static bool everything_ended(const struct sim_cluster *cluster)
{
    for (int i = 0; i < cluster->config->producers; i++) {
        if (!sim_producer_is_done(cluster->producers[i])) {
            return false;
        }
    }
    return cluster->ledger.broken == NULL && is_up(cluster->ventilator) && is_up(cluster->sink) &&
           sim_ventilator_jobs(cluster->ventilator) == 0;
}

static void run_to_the_end(struct sim_cluster *cluster, struct sim_cluster_report *report)
{
    struct sim_world *world = cluster->world;
    const struct sim_ledger *ledger = &cluster->ledger;
    while (world->now_us < cluster->config->end_us && ledger->broken == NULL) {
        sim_run(world, world->now_us + 500 * MS);
        if (world->steps > STEPS_MAX) {
            broken(report, "the cluster is busy without end", "%llu steps",
                   (unsigned long long)world->steps);
            return;
        }
        if (world->now_us > cluster->config->faults_for_us + 4 * S && everything_ended(cluster)) {
            report->ended_us = world->now_us;
            return;
        }
    }
    if (ledger->broken != NULL) {
        broken(report, ledger->broken, "%s", ledger->text);
        return;
    }
    unsigned long long left =
        cluster->ventilator->core == NULL ? 0 : sim_ventilator_jobs(cluster->ventilator);
    broken(report, "not everything ended", "%llu jobs left at the ventilator", left);
}

/* ---- the cluster ---- */

static void process_ended(struct sim_world *world, struct sim_node *node)
{
    struct sim_cluster *cluster = world->context;
    if (node->role != &sim_role_worker && node->exited && node->exit_status != 0) {
        sim_break(&cluster->ledger, "a broker gave up", "%s, status %d", node->role->name,
                  node->exit_status);
    }
    sim_revive_later(world, node);
}

static void choose_bounds(struct sim_settings *settings, struct leat_rng *rng)
{
    static const size_t few_or_many[] = {1, 3, 50, LEAT_BATCH_ITEMS_MAX};
    settings->batch_jobs_max = leat_rng_chance(rng, 800000) ? 8 : 200;
    settings->prefetch = leat_rng_below(rng, 9);
    settings->outbox_results_max = leat_rng_chance(rng, 300000) ? 11 : 0;
    if (settings->outbox_results_max == 0 && leat_rng_chance(rng, 500000)) {
        settings->prefetch_max = settings->prefetch + leat_rng_below(rng, 40);
    }
    settings->push_items_max = few_or_many[leat_rng_below(rng, 4)];
    settings->settled_window = few_or_many[leat_rng_below(rng, 4)];
    settings->filling_bytes_max = leat_rng_chance(rng, 200000) ? 4000 : LEAT_FILLING_BYTES_MAX;
    settings->dedupe_max = leat_rng_chance(rng, 100000) ? 5 : 0;
    settings->keep_results_max = leat_rng_chance(rng, 100000) ? 5 : 0;
    if (leat_rng_chance(rng, 150000)) {
        settings->batch_jobs_max = 8;
        settings->bytes_max = 300 + leat_rng_below(rng, 600); /* a batch, or three */
    }
}

static void choose_settings(struct sim_cluster *cluster, struct leat_rng *rng)
{
    struct sim_settings *settings = &cluster->ledger.settings;
    *settings = (struct sim_settings){
        .kinds = leat_rng_chance(rng, 500000) ? 0 : leat_rng_next(rng) | 1u << SIM_OK,
        .resubmits = leat_rng_chance(rng, 300000),
        .queues = 1 + (int)leat_rng_below(rng, SIM_QUEUES),
        .rate_limits = leat_rng_chance(rng, 300000),
        .drain_ms = (int64_t)leat_rng_below(rng, 3000),
        .check_every = leat_rng_chance(rng, 200000) ? 1 : 32,
    };
    /* The audit of leases heals what nothing else may need: only where a disk is replaced. */
    settings->audit_ms = cluster->config->loses == SIM_RESTORES_SINK_DISK
                             ? LEAT_AUDIT_MS
                             : 24 * 3600 * LEAT_MS_PER_S;
    choose_bounds(settings, rng);
    sim_faults_choose(cluster, rng);
    bool lingers = leat_rng_chance(rng, 500000);
    /* What a lost disk had acknowledged must not arrive after the loss: nobody could excuse it. */
    cluster->world->linger_ppm =
        lingers && cluster->config->loses == SIM_LOSES_NOTHING ? 500000 : 0;
    bool is_odd = leat_rng_chance(rng, 300000); /* clocks that run differently */
    for (int i = 0; i < cluster->world->node_count && is_odd; i++) {
        cluster->world->nodes[i].clock_ppm = (int32_t)leat_rng_below(rng, 100000) - 50000;
    }
    cluster->ledger.times_hold = !is_odd && cluster->weights[SIM_FAULT_WALL] == 0;
}

static void add_nodes(struct sim_cluster *cluster)
{
    struct sim_world *world = cluster->world;
    struct sim_ledger *ledger = &cluster->ledger;
    cluster->sink = sim_add_node(world, &sim_role_sink, ledger, true);
    cluster->ventilator = sim_add_node(world, &sim_role_ventilator, ledger, true);
    sim_connect(cluster->ventilator, LEAT_LINK_SINK, cluster->sink);
    cluster->operator= sim_add_node(world, &sim_role_operator, ledger, false);
    sim_connect(cluster->operator, LEAT_LINK_VENTILATOR, cluster->ventilator);
    for (int i = 0; i < cluster->config->workers; i++) {
        unsigned all = (1u << SIM_QUEUES) - 1;
        unsigned queues = i == 0 ? all : 1 + (unsigned)leat_rng_below(&world->rng, all);
        struct sim_node *worker =
            sim_add_node(world, &sim_role_worker, sim_worker_new(ledger, queues), false);
        sim_connect(worker, LEAT_LINK_VENTILATOR, cluster->ventilator);
        sim_connect(worker, LEAT_LINK_SINK, cluster->sink);
    }
    for (int i = 0; i < cluster->config->producers; i++) {
        void *context = sim_producer_new(ledger, cluster->config->jobs_per_producer);
        cluster->producers[i] = sim_add_node(world, &sim_role_producer, context, false);
        sim_connect(cluster->producers[i], LEAT_LINK_VENTILATOR, cluster->ventilator);
    }
}

static void take_down(struct sim_cluster *cluster)
{
    struct sim_world *world = cluster->world;
    for (int i = 0; i < world->node_count; i++) {
        if (world->nodes[i].role == &sim_role_worker) {
            sim_worker_free(world->nodes[i].context);
        } else if (world->nodes[i].role == &sim_role_producer) {
            sim_producer_free(world->nodes[i].context);
        }
    }
    sim_world_fini(world);
    sim_checks_free(cluster->checks);
    free(cluster->ledger.jobs);
    free(world);
}

struct sim_cluster_report sim_cluster_run(const struct sim_cluster_config *config)
{
    struct sim_cluster_report report = {0};
    struct sim_cluster cluster = {.config = config};
    struct sim_world *world = malloc(sizeof(*world));
    assert(world != NULL);
    sim_world_init(world, config->seed);
    world->trace = config->trace;
    world->context = &cluster;
    world->ended = process_ended;
    cluster.world = world;
    add_nodes(&cluster);
    cluster.checks = sim_checks_new(world, &cluster.ledger);
    world->watch = sim_checks_watch;
    world->watch_context = cluster.checks;
    struct leat_rng rng;
    leat_rng_init(&rng, ~config->seed);
    choose_settings(&cluster, &rng);
    for (int i = 0; i < world->node_count; i++) {
        sim_boot(&world->nodes[i]);
    }
    if (config->faults_for_us > 0) {
        sim_faults_begin(&cluster);
    }
    run_to_the_end(&cluster, &report);
    if (report.broken == NULL) {
        judge_results(world, &cluster.ledger, cluster.sink, &report);
    }
    report.submitted = cluster.ledger.count;
    for (size_t i = 0; i < cluster.ledger.count; i++) {
        report.acknowledged += cluster.ledger.jobs[i].acknowledged;
    }
    report.steps = world->steps;
    report.messages = world->messages;
    report.lost = world->lost;
    report.crashes = world->crashes;
    take_down(&cluster);
    return report;
}
