#include <assert.h>
#include <stdlib.h>

#include "tests/simulation/roles.h"
#include "worker/worker.h"

#define ATTEMPTS_MAX 1024
#define SAID_MAX     512

/* An attempt at the simulated spawner: the first SIM_SLOTS in order run, the others wait. */
struct attempt {
    struct leat_id id;
    uint64_t delivery, number;
    bool is_running, is_doomed; /* KILL was said */
    int64_t expires_at_ms;      /* asked for once more when its turn comes */
    bool is_expired;
    uint64_t serial; /* tells a timer whether it is still this attempt */
};

struct worker {
    struct sim_ledger *ledger;
    unsigned queues; /* bits */
    struct leat_id session;
    struct leat_bucket bucket; /* the rule for SIM_LIMITED, kept apart from the core's */
    struct attempt attempts[ATTEMPTS_MAX];
    size_t count;
    uint64_t serial;
    /* What was said to the sink in this life and not yet confirmed: jobs and their batch. */
    struct leat_id said[SAID_MAX];
    uint64_t said_batch[SAID_MAX]; /* 0: a free place */
};

void *sim_worker_new(struct sim_ledger *ledger, unsigned queues)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    assert(worker != NULL);
    worker->ledger = ledger;
    worker->queues = queues;
    return worker;
}

struct leat_id sim_worker_session(const struct sim_node *node)
{
    return ((const struct worker *)node->context)->session;
}

void sim_worker_said_results(struct sim_node *node, const struct leat_msg_results *results)
{
    struct worker *worker = node->context;
    size_t place = 0;
    for (size_t i = 0; i < SAID_MAX; i++) {
        if (worker->said_batch[i] == results->batch) {
            return; /* said again */
        }
    }
    for (size_t i = 0; i < results->results.count; i++) {
        while (place < SAID_MAX && worker->said_batch[place] != 0) {
            place++;
        }
        if (place < SAID_MAX) {
            worker->said[place] = results->results.items[i].id;
            worker->said_batch[place] = results->batch;
        }
    }
}

void sim_worker_heard_stored(struct sim_node *node, uint64_t batch)
{
    struct worker *worker = node->context;
    for (size_t i = 0; i < SAID_MAX; i++) {
        if (worker->said_batch[i] == batch) {
            sim_job_of(worker->ledger, &worker->said[i])->stored = true;
            worker->said_batch[i] = 0;
        }
    }
}

bool sim_worker_runs(const struct sim_node *node, const struct leat_id *id, uint64_t *ret_delivery)
{
    const struct worker *worker = node->context;
    for (size_t i = 0; i < worker->count; i++) {
        const struct attempt *attempt = &worker->attempts[i];
        if (!attempt->is_doomed && leat_id_equal(&attempt->id, id)) {
            *ret_delivery = attempt->delivery;
            return true;
        }
    }
    return false;
}

void sim_worker_free(void *context)
{
    free(context);
}

static void start_waiting(struct sim_node *node);

static void answer(struct sim_node *node, size_t index, enum leat_failure failure, bool permanent)
{
    struct worker *worker = node->context;
    struct attempt attempt = worker->attempts[index];
    worker->count--;
    memmove(&worker->attempts[index], &worker->attempts[index + 1],
            (worker->count - index) * sizeof(attempt));
    struct leat_item_outcome outcome = {
        .id = attempt.id,
        .delivery = attempt.delivery,
        .failure = failure,
        .permanent = permanent,
        .code = failure == LEAT_FAILURE_EXIT ? 1 : 0,
        .error = leat_str_of(failure == LEAT_FAILURE_NONE ? "" : "it failed"),
        .run_us = leat_rng_next(&node->world->rng) % 1000000, /* tells results apart */
    };
    struct leat_msg ran = {.type = LEAT_MSG_RAN};
    ran.ran.outcomes.items = &outcome;
    ran.ran.outcomes.count = 1;
    sim_job_of(worker->ledger, &attempt.id)->succeeded += failure == LEAT_FAILURE_NONE;
    start_waiting(node);
    sim_deliver_local(node, LEAT_LINK_SPAWNER, &ran);
}

static void crash_of_poison(struct sim_world *world, struct sim_node *node, uint64_t argument);

static void finish(struct sim_world *world, struct sim_node *node, uint64_t serial)
{
    struct worker *worker = node->context;
    size_t i = 0;
    while (i < worker->count && worker->attempts[i].serial != serial) {
        i++;
    }
    if (i == worker->count) {
        return; /* killed meanwhile */
    }
    const struct attempt *attempt = &worker->attempts[i];
    if (attempt->is_expired) {
        answer(node, i, LEAT_FAILURE_EXPIRED, false);
        return;
    }
    switch (worker->ledger->jobs[sim_job_index(&attempt->id)].kind) {
    case SIM_FLAKY:
        answer(node, i, attempt->number >= 3 ? LEAT_FAILURE_NONE : LEAT_FAILURE_EXIT, false);
        return;
    case SIM_BAD:
        answer(node, i, LEAT_FAILURE_EXIT, true);
        return;
    case SIM_HANGING:
        answer(node, i, LEAT_FAILURE_TIMEOUT, false);
        return;
    case SIM_POISON:
        crash_of_poison(world, node, 0);
        return;
    case SIM_OK:
    case SIM_DELAYED:
    case SIM_EXPIRING:
    case SIM_LIMITED:
    case SIM_KINDS:
        answer(node, i, LEAT_FAILURE_NONE, false);
        return;
    }
}

static void come_back(struct sim_world *world, struct sim_node *none, uint64_t index)
{
    (void)none;
    if (world->nodes[index].core == NULL) {
        sim_boot(&world->nodes[index]);
    }
}

static void crash_of_poison(struct sim_world *world, struct sim_node *node, uint64_t argument)
{
    (void)argument;
    sim_crash(node);
    sim_at(world, world->now_us + (int64_t)leat_rng_below(&world->rng, 300000), NULL, come_back,
           (uint64_t)node->index);
}

static void start_waiting(struct sim_node *node)
{
    struct worker *worker = node->context;
    for (size_t i = 0; i < worker->count && i < SIM_SLOTS; i++) {
        struct attempt *attempt = &worker->attempts[i];
        if (!attempt->is_running) {
            attempt->is_running = true;
            attempt->is_expired = attempt->expires_at_ms != 0 &&
                                  sim_node_now(node).wall.us >= attempt->expires_at_ms * 1000;
            int64_t takes_us = worker->ledger->settings.run_us;
            if (takes_us == 0) {
                takes_us = 1000 + (int64_t)leat_rng_below(&node->world->rng, 300000);
            }
            sim_at(node->world, node->world->now_us + takes_us, node, finish, attempt->serial);
        }
    }
}

/* What must hold whenever an attempt is begun. */
static void judge_run(struct sim_node *node, const struct leat_item_attempt *msg)
{
    struct worker *worker = node->context;
    struct sim_ledger *ledger = worker->ledger;
    const struct sim_job *job = sim_job_of(ledger, &msg->id);
    struct leat_now now = sim_node_now(node);
    size_t index = sim_job_index(&msg->id);
    uint64_t most = job->kind == SIM_HANGING ? 2 : job->kind == SIM_FLAKY ? 3 : 1;
    if (msg->attempt < 1 || msg->attempt > most) {
        sim_break(ledger, "an attempt out of its limits", "job %zu attempt %llu", index,
                  (unsigned long long)msg->attempt);
    }
    if (ledger->times_hold && now.wall.us < job->not_before_ms * 1000) {
        sim_break(ledger, "an attempt before its time", "job %zu", index);
    }
    if (job->expires_at_ms != 0 && now.wall.us >= job->expires_at_ms * 1000) {
        sim_break(ledger, "an attempt after its expiry", "job %zu", index);
    }
    if (job->kind == SIM_LIMITED && ledger->settings.rate_limits &&
        !leat_bucket_take(&worker->bucket, 1, now.mono_us)) {
        sim_break(ledger, "more starts than the rate allows", "job %zu", index);
    }
}

static void run(struct sim_node *node, const struct leat_item_attempt *msg)
{
    struct worker *worker = node->context;
    assert(worker->count < ATTEMPTS_MAX);
    judge_run(node, msg);
    worker->attempts[worker->count++] = (struct attempt){.id = msg->id,
                                                         .delivery = msg->delivery,
                                                         .number = msg->attempt,
                                                         .expires_at_ms = msg->expires_at_ms,
                                                         .serial = ++worker->serial};
    start_waiting(node);
}

static void recall(struct sim_node *node)
{
    struct worker *worker = node->context;
    struct leat_item_lease leases[ATTEMPTS_MAX];
    struct leat_msg msg = {.type = LEAT_MSG_RECALLED};
    msg.recalled.jobs.items = leases;
    while (worker->count > SIM_SLOTS) {
        const struct attempt *last = &worker->attempts[--worker->count];
        leases[msg.recalled.jobs.count++] = (struct leat_item_lease){last->id, last->delivery};
    }
    sim_deliver_local(node, LEAT_LINK_SPAWNER, &msg);
}

static void killed(struct sim_world *world, struct sim_node *node, uint64_t serial)
{
    (void)world;
    struct worker *worker = node->context;
    for (size_t i = 0; i < worker->count; i++) {
        if (worker->attempts[i].serial == serial) {
            answer(node, i, LEAT_FAILURE_KILLED, false);
            return;
        }
    }
}

static void recalled_later(struct sim_world *world, struct sim_node *node, uint64_t argument)
{
    (void)world;
    (void)argument;
    recall(node);
}

static void worker_local(struct sim_node *node, enum leat_link link, const struct leat_msg *msg)
{
    struct worker *worker = node->context;
    struct sim_world *world = node->world;
    assert(link == LEAT_LINK_SPAWNER);
    if (msg->type == LEAT_MSG_RUN) {
        for (size_t i = 0; i < msg->run.attempts.count; i++) {
            run(node, &msg->run.attempts.items[i]);
        }
    } else if (msg->type == LEAT_MSG_RECALL) {
        sim_at(world, world->now_us + 10, node, recalled_later, 0);
    } else if (msg->type == LEAT_MSG_KILL) {
        for (size_t i = 0; i < worker->count; i++) {
            if (leat_id_is_zero(&msg->kill.id) ||
                leat_id_equal(&msg->kill.id, &worker->attempts[i].id)) {
                worker->attempts[i].is_doomed = true;
                sim_at(world, world->now_us + 1000, node, killed, worker->attempts[i].serial);
            }
        }
    }
}

static void worker_step(void *core, const struct leat_event *event, struct leat_out *out)
{
    leat_worker_step(core, event, out);
}

static int64_t worker_deadline_us(const void *core)
{
    return leat_worker_deadline_us(core);
}

static void worker_check(const void *core)
{
    leat_worker_check(core);
}

static void *worker_boot(struct sim_node *node, struct leat_out *out)
{
    (void)out;
    const struct leat_worker_rate limited = {
        .type = leat_str_of(sim_kind_name(SIM_LIMITED)), .rate = {2, 1000000}, .burst = 2};
    struct leat_worker_handler handlers[SIM_KINDS];
    for (int i = 0; i < SIM_KINDS; i++) {
        handlers[i] =
            (struct leat_worker_handler){leat_str_of(sim_kind_name((enum sim_job_kind)i)),
                                         i % 2 == 0 ? LEAT_WORKER_PLUGIN : LEAT_WORKER_EXEC};
    }
    struct worker *worker = node->context;
    const struct sim_settings *settings = &worker->ledger->settings;
    struct leat_str queues[SIM_QUEUES];
    size_t queue_count = 0;
    for (int i = 0; i < SIM_QUEUES; i++) {
        if ((worker->queues >> i & 1) != 0) {
            queues[queue_count++] = sim_queue_name(i);
        }
    }
    worker->count = 0;
    memset(worker->said_batch, 0, sizeof(worker->said_batch));
    leat_bucket_init(&worker->bucket, limited.rate, limited.burst, sim_node_now(node).mono_us);
    for (size_t i = 0; i < LEAT_ID_BYTES; i++) {
        worker->session.bytes[i] = (uint8_t)leat_rng_below(&node->world->rng, 256);
    }
    struct leat_worker_config config = {
        .name = leat_str_of("simulated"),
        .session = worker->session,
        .queues = queues,
        .queue_count = queue_count,
        .handlers = handlers,
        .handler_count = SIM_KINDS,
        .rates = &limited,
        .rate_count = settings->rate_limits ? 1 : 0,
        .slots = SIM_SLOTS,
        .prefetch = settings->prefetch,
        .prefetch_max = settings->prefetch_max,
        .outbox_results_max = settings->outbox_results_max,
        .drain_ms = settings->drain_ms,
        .grace_ms = 100,
        .seed = leat_rng_next(&node->world->rng),
    };
    struct leat_worker *core = NULL;
    struct leat_why why;
    enum leat_err err = leat_worker_new(&config, &core, &why);
    assert(err == LEAT_OK);
    return core;
}

static void worker_destroy(void *core)
{
    struct leat_worker *worker = core;
    leat_worker_destroy(&worker);
}

const struct sim_role sim_role_worker = {
    .name = "worker",
    .step = worker_step,
    .deadline_us = worker_deadline_us,
    .check = worker_check,
    .boot = worker_boot,
    .destroy = worker_destroy,
    .local = worker_local,
};
