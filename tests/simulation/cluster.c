#include "tests/simulation/cluster.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simulation/roles.h"
#include "wire/codec.h"

#define MS INT64_C(1000)
#define S  INT64_C(1000000)

/* ---- faults ---- */

static void revive(struct sim_world *world, struct sim_node *node, uint64_t index)
{
    (void)node;
    struct sim_node *dead = &world->nodes[index];
    if (dead->core == NULL) {
        sim_boot(dead);
    }
}

static void crash_for_a_while(struct sim_world *world, struct sim_node *node)
{
    if (node->core == NULL) {
        return;
    }
    sim_crash(node);
    int64_t away_us = 20 * MS + (int64_t)leat_rng_below(&world->rng, (uint64_t)(3 * S));
    sim_at(world, world->now_us + away_us, NULL, revive, (uint64_t)node->index);
}

static void full_disk_ends(struct sim_world *world, struct sim_node *node, uint64_t argument)
{
    (void)world;
    (void)argument;
    leat_store_memory_set_full(node->store, false);
    sim_event(node, &(struct leat_event){.kind = LEAT_EVENT_SPACE, .store_full = false});
}

static void fill_disk(struct sim_world *world, struct sim_node *node)
{
    if (node->core == NULL) {
        return;
    }
    leat_store_memory_set_full(node->store, true);
    sim_event(node, &(struct leat_event){.kind = LEAT_EVENT_SPACE, .store_full = true});
    sim_at(world, world->now_us + (int64_t)leat_rng_below(&world->rng, (uint64_t)(2 * S)), node,
           full_disk_ends, 0);
}

static void cut_something(struct sim_world *world)
{
    struct sim_node *node = &world->nodes[leat_rng_below(&world->rng, (uint64_t)world->node_count)];
    if (node->role == &sim_role_producer) {
        sim_cut(node, LEAT_LINK_VENTILATOR);
    } else if (node->role == &sim_role_ventilator) {
        sim_cut(node, LEAT_LINK_SINK);
    } else if (node->role == &sim_role_worker) {
        sim_cut(node, leat_rng_chance(&world->rng, 500000) ? LEAT_LINK_VENTILATOR : LEAT_LINK_SINK);
    }
}

static void weather(struct sim_world *world)
{
    static const uint32_t loss[] = {0, 0, 1000, 20000, 200000};
    world->faults.loss_ppm = loss[leat_rng_below(&world->rng, 5)];
    world->faults.repeat_ppm = loss[leat_rng_below(&world->rng, 5)];
    world->faults.reorder_ppm = loss[leat_rng_below(&world->rng, 5)];
    world->faults.delay_max_us = 500 + (int64_t)leat_rng_below(&world->rng, 200000);
    world->faults.commit_max_us = 500 + (int64_t)leat_rng_below(&world->rng, 100000);
}

static void calm(struct sim_world *world)
{
    world->faults.loss_ppm = 0;
    world->faults.repeat_ppm = 0;
    world->faults.reorder_ppm = 0;
    world->faults.delay_max_us = 500;
    world->faults.commit_max_us = 2000;
}

static void fault(struct sim_world *world, struct sim_node *node, uint64_t until_us)
{
    (void)node;
    if (world->now_us >= (int64_t)until_us) {
        calm(world);
        return;
    }
    struct sim_node *some = &world->nodes[leat_rng_below(&world->rng, (uint64_t)world->node_count)];
    switch (leat_rng_below(&world->rng, 8)) {
    case 0:
    case 1:
    case 2:
        crash_for_a_while(world, some);
        break;
    case 3:
        cut_something(world);
        break;
    case 4:
        sim_freeze(some, world->now_us + (int64_t)leat_rng_below(&world->rng, (uint64_t)(9 * S)));
        break;
    case 5:
        weather(world);
        break;
    case 6:
        world->wall_offset_us += (int64_t)leat_rng_below(&world->rng, (uint64_t)(20 * S)) - 10 * S;
        break;
    default:
        if (some->store != NULL) {
            fill_disk(world, some);
        }
        break;
    }
    sim_at(world, world->now_us + 50 * MS + (int64_t)leat_rng_below(&world->rng, (uint64_t)(S)),
           NULL, fault, until_us);
}

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

static void judge_job(const struct sim_ledger *ledger, size_t index, uint64_t status,
                      uint64_t failure, struct sim_cluster_report *report)
{
    static const uint64_t expected[SIM_KINDS][2] = {
        [SIM_OK] = {LEAT_STATE_SUCCEEDED, LEAT_FAILURE_NONE},
        [SIM_FLAKY] = {LEAT_STATE_SUCCEEDED, LEAT_FAILURE_NONE},
        [SIM_BAD] = {LEAT_STATE_FAILED, LEAT_FAILURE_EXIT},
        [SIM_HANGING] = {LEAT_STATE_FAILED, LEAT_FAILURE_TIMEOUT},
        [SIM_POISON] = {LEAT_STATE_FAILED, LEAT_FAILURE_LOST},
        [SIM_DELAYED] = {LEAT_STATE_SUCCEEDED, LEAT_FAILURE_NONE},
    };
    const struct sim_job *job = &ledger->jobs[index];
    /* A worker that dies five times by misfortune with the same job ends that job, too. */
    bool by_misfortune = status == LEAT_STATE_FAILED && failure == LEAT_FAILURE_LOST;
    if (!by_misfortune && (status != expected[job->kind][0] || failure != expected[job->kind][1])) {
        broken(report, "a job ended otherwise than it must", "job %zu kind %d status %s failure %s",
               index, job->kind, leat_state_name(status), leat_failure_name(failure));
    }
    if (job->announced > 0 && (job->announced_status != status)) {
        broken(report, "a recorded result changed", "job %zu", index);
    }
}

static void judge_results(struct sim_world *world, struct sim_ledger *ledger, struct sim_node *sink,
                          struct sim_cluster_report *report)
{
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
            judge_job(ledger, i, answers->results.items[0].status,
                      answers->results.items[0].failure, report);
        } else if (ledger->jobs[i].acknowledged) {
            broken(report, "an acknowledged job has no result", "job %zu kind %d", i,
                   ledger->jobs[i].kind);
        }
        leat_out_fini(&out);
    }
    uint64_t kept = sim_sink_results(sink);
    if (kept != report->results) {
        broken(report, "a result without a job", "%llu results, %llu of them of known jobs",
               (unsigned long long)kept, (unsigned long long)report->results);
    }
}

static bool everything_ended(const struct sim_ledger *ledger, struct sim_node *const *producers,
                             int producer_count, struct sim_node *ventilator)
{
    for (int i = 0; i < producer_count; i++) {
        if (!sim_producer_is_done(producers[i])) {
            return false;
        }
    }
    return ledger->broken == NULL && ventilator->core != NULL &&
           sim_ventilator_jobs(ventilator) == 0;
}

static void run_to_the_end(struct sim_world *world, const struct sim_cluster_config *config,
                           const struct sim_ledger *ledger, struct sim_node **producers,
                           struct sim_node *ventilator, struct sim_cluster_report *report)
{
    while (world->now_us < config->end_us && ledger->broken == NULL) {
        sim_run(world, world->now_us + 500 * MS);
        if (world->now_us > config->faults_for_us + 4 * S &&
            everything_ended(ledger, producers, config->producers, ventilator)) {
            report->ended_us = world->now_us;
            return;
        }
    }
    if (ledger->broken != NULL) {
        broken(report, ledger->broken, "%s", ledger->text);
        return;
    }
    broken(report, "not everything ended", "%llu jobs left at the ventilator",
           ventilator->core == NULL ? 0ULL : (unsigned long long)sim_ventilator_jobs(ventilator));
}

struct sim_cluster_report sim_cluster_run(const struct sim_cluster_config *config)
{
    struct sim_cluster_report report = {0};
    struct sim_world *world = malloc(sizeof(*world));
    assert(world != NULL);
    sim_world_init(world, config->seed);
    world->trace = config->trace;
    struct sim_ledger ledger = {0};
    struct sim_node *producers[SIM_NODES_MAX] = {0};

    struct sim_node *sink = sim_add_node(world, &sim_role_sink, &ledger, true);
    struct sim_node *ventilator = sim_add_node(world, &sim_role_ventilator, &ledger, true);
    sim_connect(ventilator, LEAT_LINK_SINK, sink);
    for (int i = 0; i < config->workers; i++) {
        struct sim_node *worker =
            sim_add_node(world, &sim_role_worker, sim_worker_new(&ledger), false);
        sim_connect(worker, LEAT_LINK_VENTILATOR, ventilator);
        sim_connect(worker, LEAT_LINK_SINK, sink);
    }
    for (int i = 0; i < config->producers; i++) {
        producers[i] = sim_add_node(world, &sim_role_producer,
                                    sim_producer_new(&ledger, config->jobs_per_producer), false);
        sim_connect(producers[i], LEAT_LINK_VENTILATOR, ventilator);
    }
    for (int i = 0; i < world->node_count; i++) {
        sim_boot(&world->nodes[i]);
    }
    if (config->faults_for_us > 0) {
        weather(world);
        sim_at(world, 100 * MS, NULL, fault, (uint64_t)config->faults_for_us);
    }
    run_to_the_end(world, config, &ledger, producers, ventilator, &report);
    if (report.broken == NULL) {
        judge_results(world, &ledger, sink, &report);
    }
    report.submitted = ledger.count;
    for (size_t i = 0; i < ledger.count; i++) {
        report.acknowledged += ledger.jobs[i].acknowledged;
    }
    report.steps = world->steps;
    report.messages = world->messages;
    report.lost = world->lost;
    report.crashes = world->crashes;
    for (int i = 0; i < world->node_count; i++) {
        if (world->nodes[i].role == &sim_role_worker) {
            sim_worker_free(world->nodes[i].context);
        } else if (world->nodes[i].role == &sim_role_producer) {
            sim_producer_free(world->nodes[i].context);
        }
    }
    sim_world_fini(world);
    free(ledger.jobs);
    free(world);
    return report;
}
