/* What goes wrong in a history. */
#include <assert.h>

#include "tests/simulation/cluster_inside.h"

#define MS INT64_C(1000)
#define S  INT64_C(1000000)

static uint64_t below(struct sim_world *world, int64_t bound)
{
    return leat_rng_below(&world->rng, (uint64_t)bound);
}

static struct sim_cluster *cluster_of(const struct sim_world *world)
{
    return world->context;
}

static struct sim_node *some_node(struct sim_world *world)
{
    return &world->nodes[below(world, world->node_count)];
}

void sim_faults_choose(struct sim_cluster *cluster, struct leat_rng *rng)
{
    for (int i = 0; i < SIM_FAULTS; i++) {
        uint64_t weight = leat_rng_below(rng, 10);
        cluster->weights[i] = weight < 5 ? 0 : 1u << (weight - 5);
    }
    cluster->pause_us = 200 * MS << leat_rng_below(rng, 5);
}

/* ---- processes ---- */

static void revive(struct sim_world *world, struct sim_node *none, uint64_t index)
{
    (void)none;
    if (world->nodes[index].core == NULL) {
        sim_boot(&world->nodes[index]);
    }
}

void sim_revive_later(struct sim_world *world, struct sim_node *node)
{
    sim_at(world, world->now_us + 20 * MS + (int64_t)below(world, 3 * S), NULL, revive,
           (uint64_t)node->index);
}

static void crash(struct sim_world *world, struct sim_node *node)
{
    if (node->core != NULL && node->role != &sim_role_operator) {
        sim_crash(node);
        sim_revive_later(world, node);
    }
}

static void stop(struct sim_node *node)
{
    if (node->role == &sim_role_worker || node->role == &sim_role_ventilator ||
        node->role == &sim_role_sink) {
        sim_event(node, &(struct leat_event){.kind = LEAT_EVENT_STOP});
    }
}

/* ---- disks ---- */

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
    sim_at(world, world->now_us + (int64_t)below(world, 2 * S), node, full_disk_ends, 0);
}

/* ---- the network ---- */

static void break_connection(struct sim_world *world)
{
    struct sim_node *node = some_node(world);
    if (node->role == &sim_role_producer || node->role == &sim_role_operator) {
        sim_cut(node, LEAT_LINK_VENTILATOR);
    } else if (node->role == &sim_role_ventilator) {
        sim_cut(node, LEAT_LINK_SINK);
    } else if (node->role == &sim_role_worker) {
        sim_cut(node, leat_rng_chance(&world->rng, 500000) ? LEAT_LINK_VENTILATOR : LEAT_LINK_SINK);
    }
}

/* Most ways lead to one of the brokers, so one end is a broker. */
static void choose_way(struct sim_world *world, int *ret_from, int *ret_to)
{
    struct sim_cluster *cluster = cluster_of(world);
    int broker =
        leat_rng_chance(&world->rng, 700000) ? cluster->ventilator->index : cluster->sink->index;
    int other = some_node(world)->index;
    bool swap = leat_rng_chance(&world->rng, 500000);
    *ret_from = swap ? broker : other;
    *ret_to = swap ? other : broker;
}

static void part(struct sim_world *world)
{
    int from, to;
    choose_way(world, &from, &to);
    bool holds = leat_rng_chance(&world->rng, 500000);
    int64_t until_us = world->now_us + 100 * MS + (int64_t)below(world, 12 * S);
    sim_part(world, from, to, until_us, holds);
    if (leat_rng_chance(&world->rng, 500000)) {
        sim_part(world, to, from, until_us, holds);
    }
}

static void slow(struct sim_world *world)
{
    int from, to;
    choose_way(world, &from, &to);
    sim_slow(world, from, to, world->now_us + (int64_t)below(world, 10 * S),
             (int64_t)below(world, 2 * S));
}

static void weather(struct sim_world *world)
{
    static const uint32_t loss[] = {0, 0, 1000, 20000, 200000};
    world->faults.loss_ppm = loss[below(world, 5)];
    world->faults.repeat_ppm = loss[below(world, 5)];
    world->faults.reorder_ppm = loss[below(world, 5)];
    world->faults.delay_max_us = 500 + (int64_t)below(world, 200 * MS);
    world->faults.commit_max_us = 500 + (int64_t)below(world, 100 * MS);
}

static void late(struct sim_world *world)
{
    static const uint32_t often[] = {0, 1000, 10000, 100000};
    world->faults.late_ppm = often[below(world, 4)];
    world->faults.late_max_us = 100 * MS + (int64_t)below(world, 10 * S);
}

static void commits_fail(struct sim_world *world)
{
    static const uint32_t often[] = {0, 1000, 10000, 50000};
    world->faults.commit_fails_ppm = often[below(world, 4)];
}

static void die_midway(struct sim_world *world)
{
    static const uint32_t often[] = {0, 300, 2000, 10000};
    world->faults.midway_ppm = often[below(world, 4)];
}

static void stall(struct sim_world *world)
{
    bool stalls = leat_rng_chance(&world->rng, 500000);
    world->faults.commit_max_us = stalls ? (int64_t)(1 + below(world, 7)) * S : 2 * MS;
}

static void calm(struct sim_world *world)
{
    world->faults = (struct sim_faults){
        .delay_min_us = 50, .delay_max_us = 500, .commit_min_us = 100, .commit_max_us = 2000};
    for (int from = 0; from < world->node_count; from++) {
        for (int to = 0; to < world->node_count; to++) {
            world->paths[from][to] = (struct sim_path){0};
        }
        world->nodes[from].wall_offset_us = 0;
    }
    world->wall_offset_us = SIM_WALL_US;
}

/* ---- people ---- */

/* A restart knows no other clock than the wall, so what is kept for a time (results, settled ids)
 * is kept shorter when somebody sets it forward in between. While nothing restarts it must not
 * matter how far. */
static bool nothing_restarts(const struct sim_cluster *cluster)
{
    const unsigned *weights = cluster->weights;
    return weights[SIM_FAULT_CRASH] + weights[SIM_FAULT_COMMIT] + weights[SIM_FAULT_MIDWAY] +
                   weights[SIM_FAULT_STOP] + weights[SIM_FAULT_SHUTDOWN] ==
               0 &&
           cluster->config->loses == SIM_LOSES_NOTHING;
}

static void set_clock(struct sim_world *world)
{
    bool far = nothing_restarts(cluster_of(world)) && leat_rng_chance(&world->rng, 500000);
    int64_t most_us = far ? 40 * 24 * 3600 * S : 10 * S;
    int64_t by_us = (int64_t)below(world, 2 * most_us) - most_us;
    if (leat_rng_chance(&world->rng, 500000)) {
        world->wall_offset_us += by_us;
    } else {
        some_node(world)->wall_offset_us += by_us;
    }
}

static void pause_or_resume(struct sim_world *world)
{
    static const char *const queues[SIM_QUEUES] = {"default", "mail", "images"};
    sim_operator_say(cluster_of(world)->operator,
                     leat_rng_chance(&world->rng, 600000) ? "pause" : "resume",
                     queues[below(world, SIM_QUEUES)]);
}

/* In the end somebody resumes everything; again and again, since one word may be lost, and an old
 * "pause" may arrive late. */
static void resume_all(struct sim_world *world, struct sim_node *none, uint64_t turn)
{
    static const char *const queues[SIM_QUEUES] = {"default", "mail", "images"};
    sim_operator_say(cluster_of(world)->operator, "resume", queues[turn % SIM_QUEUES]);
    sim_at(world, world->now_us + 500 * MS, none, resume_all, turn + 1);
}

/* ---- one after the other ---- */

static enum sim_fault choose(struct sim_world *world)
{
    const unsigned *weights = cluster_of(world)->weights;
    unsigned sum = 0;
    for (int i = 0; i < SIM_FAULTS; i++) {
        sum += weights[i];
    }
    if (sum == 0) {
        return SIM_FAULT_CRASH;
    }
    uint64_t dice = leat_rng_below(&world->rng, sum);
    int fault = 0;
    while (dice >= weights[fault]) {
        dice -= weights[fault++];
    }
    return (enum sim_fault)fault;
}

static void inflict(struct sim_world *world, enum sim_fault fault)
{
    struct sim_node *some = some_node(world);
    switch (fault) {
    case SIM_FAULT_CRASH:
        crash(world, some);
        return;
    case SIM_FAULT_BREAK:
        break_connection(world);
        return;
    case SIM_FAULT_PART:
        part(world);
        return;
    case SIM_FAULT_SLOW:
        slow(world);
        return;
    case SIM_FAULT_FREEZE:
        sim_freeze(some, world->now_us + (int64_t)below(world, 9 * S));
        return;
    case SIM_FAULT_WEATHER:
        weather(world);
        return;
    case SIM_FAULT_LATE:
        late(world);
        return;
    case SIM_FAULT_WALL:
        set_clock(world);
        return;
    case SIM_FAULT_FULL:
        fill_disk(world, some->store != NULL ? some : cluster_of(world)->ventilator);
        return;
    case SIM_FAULT_COMMIT:
        commits_fail(world);
        return;
    case SIM_FAULT_MIDWAY:
        die_midway(world);
        return;
    case SIM_FAULT_STALL:
        stall(world);
        return;
    case SIM_FAULT_PAUSE:
        pause_or_resume(world);
        return;
    case SIM_FAULT_STOP:
        stop(some);
        return;
    case SIM_FAULT_SHUTDOWN:
        if (leat_rng_chance(&world->rng, 200000)) {
            sim_operator_say(cluster_of(world)->operator, "shutdown", "");
        }
        return;
    case SIM_FAULTS:
        break;
    }
}

/* ---- disks that are lost as a whole ---- */

static bool is_of_sink(enum sim_loss loss)
{
    return loss == SIM_LOSES_SINK_DISK || loss == SIM_RESTORES_SINK_DISK;
}

static void back_up(struct sim_world *world, struct sim_node *none, uint64_t argument)
{
    (void)none;
    (void)argument;
    struct sim_cluster *cluster = cluster_of(world);
    bool is_sink = is_of_sink(cluster->config->loses);
    sim_back_up_disk(is_sink ? cluster->sink : cluster->ventilator);
    for (size_t i = 0; i < cluster->ledger.count; i++) {
        cluster->ledger.jobs[i].was_announced = cluster->ledger.jobs[i].announced > 0;
    }
}

/* Jobs or results that the disk had may be missing from now on, everything else must go on. */
static void excuse(struct sim_ledger *ledger, enum sim_loss loss)
{
    for (size_t i = 0; i < ledger->count; i++) {
        struct sim_job *job = &ledger->jobs[i];
        if (is_of_sink(loss)) {
            job->excused = job->excused || job->announced > 0 || job->settled > 0;
            job->announced = loss == SIM_RESTORES_SINK_DISK && job->was_announced ? 1 : 0;
            job->stored = false;
            job->settled = 0; /* its number may go to another job */
        } else {
            job->excused = job->excused || (job->acknowledged && job->announced == 0);
            job->forgotten = true;
            job->gone = false;
            job->settled = 0;
        }
    }
}

/* What was restored meets what is older or newer once more. */
static void restart_again(struct sim_world *world, struct sim_node *none, uint64_t index)
{
    (void)none;
    crash(world, &world->nodes[index]);
}

/* A broker comes back with an empty disk, or with an older copy of its own. */
static void lose_disk(struct sim_world *world, struct sim_node *none, uint64_t argument)
{
    (void)none;
    (void)argument;
    struct sim_cluster *cluster = cluster_of(world);
    enum sim_loss loss = cluster->config->loses;
    struct sim_node *node = is_of_sink(loss) ? cluster->sink : cluster->ventilator;
    if (node->core != NULL) {
        sim_crash(node);
        sim_revive_later(world, node);
    }
    if (loss == SIM_LOSES_SINK_DISK || loss == SIM_LOSES_VENTILATOR_DISK) {
        sim_lose_disk(node);
    } else {
        sim_restore_disk(node);
        cluster->ledger.numbers_repeat = is_of_sink(loss);
    }
    if (leat_rng_chance(&world->rng, 500000)) {
        sim_at(world, world->now_us + 3 * S + (int64_t)below(world, 6 * S), NULL, restart_again,
               (uint64_t)node->index);
    }
    cluster->ledger.disk_replaced = !is_of_sink(loss);
    excuse(&cluster->ledger, loss);
}

static void plan_loss(struct sim_world *world)
{
    const struct sim_cluster_config *config = cluster_of(world)->config;
    int64_t at_us = 1 * S + (int64_t)below(world, config->faults_for_us);
    if (config->loses != SIM_LOSES_NOTHING) {
        sim_at(world, (int64_t)below(world, at_us), NULL, back_up, 0);
        sim_at(world, at_us, NULL, lose_disk, 0);
    }
}

static void fault(struct sim_world *world, struct sim_node *none, uint64_t until_us)
{
    if (world->now_us >= (int64_t)until_us) {
        calm(world);
        resume_all(world, none, 0);
        return;
    }
    inflict(world, choose(world));
    sim_at(world, world->now_us + 20 * MS + (int64_t)below(world, cluster_of(world)->pause_us),
           NULL, fault, until_us);
}

void sim_faults_begin(struct sim_cluster *cluster)
{
    struct sim_world *world = cluster->world;
    if (cluster->weights[SIM_FAULT_WEATHER] > 0) {
        weather(world);
    }
    sim_at(world, 100 * MS, NULL, fault, (uint64_t)cluster->config->faults_for_us);
    plan_loss(world);
}
