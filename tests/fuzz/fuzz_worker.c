/* A history of a worker: anything from ventilator and sink; a spawner that keeps its promise (each
 * RUN gets one RAN, or is named in one RECALLED) but reports whatever it likes. leat_worker_check
 * asserts after each step. */
#include <string.h>

#include "tests/fuzz/core_harness.h"
#include "worker/worker.h"

#define RUNS_MAX 4096

struct run {
    struct leat_id id;
    uint64_t delivery;
};

struct rig {
    struct fuzz_world *world;
    struct leat_worker *worker;
    struct run runs[RUNS_MAX]; /* with the spawner */
    size_t run_count;
    size_t recalls; /* not yet answered */
};

static void take_runs(struct rig *rig, const struct leat_msg_run *run)
{
    for (size_t i = 0; i < run->attempts.count; i++) {
        const struct leat_item_attempt *attempt = &run->attempts.items[i];
        if (rig->run_count == RUNS_MAX) {
            fuzz_fail("more runs than slots and pipeline allow");
        }
        rig->runs[rig->run_count++] = (struct run){attempt->id, attempt->delivery};
    }
}

static void take_orders(struct rig *rig)
{
    const struct leat_out *out = &rig->world->out;
    for (size_t i = 0; i < out->count; i++) {
        const struct leat_action *action = &out->actions[i];
        if (action->kind != LEAT_ACTION_SEND || action->link != LEAT_LINK_SPAWNER) {
            continue;
        }
        if (action->msg.type == LEAT_MSG_RECALL) {
            rig->recalls++;
        } else if (action->msg.type == LEAT_MSG_RUN) {
            take_runs(rig, &action->msg.run);
        }
    }
}

static void step(void *rig, const struct leat_event *event, struct leat_out *out)
{
    leat_worker_step(((struct rig *)rig)->worker, event, out);
}

static int64_t deadline_us(const void *rig)
{
    return leat_worker_deadline_us(((const struct rig *)rig)->worker);
}

static bool is_ended(const void *rig)
{
    return leat_worker_is_ended(((const struct rig *)rig)->worker);
}

static void check(void *rig)
{
    take_orders(rig);
    leat_worker_check(((struct rig *)rig)->worker);
}

static void from_spawner(struct rig *rig, struct leat_msg *msg)
{
    fuzz_world_feed(
        rig->world,
        (struct leat_event){.kind = LEAT_EVENT_MESSAGE, .link = LEAT_LINK_SPAWNER, .msg = msg});
}

/* One of the runs ends, with whatever the fuzzer likes. False: there is none. */
static bool end_run(struct rig *rig, struct leat_item_outcome *ret_outcome)
{
    struct fuzz_world *world = rig->world;
    size_t index = fuzz_byte(&world->in);
    if (rig->run_count == 0) {
        return false;
    }
    index %= rig->run_count;
    uint8_t how = fuzz_byte(&world->in);
    *ret_outcome = (struct leat_item_outcome){
        .id = rig->runs[index].id,
        .delivery = rig->runs[index].delivery,
        .failure = how & 0x80 ? how & 0x1f : 0,
        .permanent = (how & 0x40) != 0,
        .truncated = (how & 0x20) != 0,
        .error = leat_str_of(how & 0x10 ? "it failed" : ""),
    };
    ret_outcome->code = (int64_t)fuzz_number(&world->in, &world->words, 0);
    ret_outcome->queued_us = fuzz_number(&world->in, &world->words, 0);
    ret_outcome->run_us = fuzz_number(&world->in, &world->words, 0);
    ret_outcome->output = fuzz_bytes(&world->in, fuzz_byte(&world->in) & 0x1f);
    rig->run_count--;
    memmove(&rig->runs[index], &rig->runs[index + 1],
            (rig->run_count - index) * sizeof rig->runs[0]);
    return true;
}

static void end_runs(struct rig *rig, size_t count)
{
    struct leat_item_outcome outcomes[4];
    struct leat_msg ran = {.type = LEAT_MSG_RAN};
    ran.ran.outcomes.items = outcomes;
    while (ran.ran.outcomes.count < count && end_run(rig, &outcomes[ran.ran.outcomes.count])) {
        ran.ran.outcomes.count++;
    }
    from_spawner(rig, &ran);
}

/* The answer to a RECALL: the last few of what runs has not started. */
static void recalled(struct rig *rig)
{
    struct leat_item_lease leases[256];
    struct leat_msg msg = {.type = LEAT_MSG_RECALLED};
    size_t count = fuzz_byte(&rig->world->in);
    if (rig->recalls == 0) {
        return;
    }
    rig->recalls--;
    msg.recalled.jobs.items = leases;
    while (msg.recalled.jobs.count < count && rig->run_count > 0) {
        struct run last = rig->runs[--rig->run_count];
        leases[msg.recalled.jobs.count++] = (struct leat_item_lease){last.id, last.delivery};
    }
    from_spawner(rig, &msg);
}

static void act(void *rig, enum fuzz_op op)
{
    if (op == FUZZ_OP_RESTART) {
        recalled(rig);
    } else {
        end_runs(rig, op == FUZZ_OP_COMMIT ? 1 : 4);
    }
}

static const struct fuzz_core core = {
    .links = {LEAT_LINK_VENTILATOR, LEAT_LINK_SINK},
    .step = step,
    .deadline_us = deadline_us,
    .is_ended = is_ended,
    .check = check,
    .act = act,
};

static void open_worker(struct rig *rig)
{
    static const struct leat_str queues[] = {{"default", 7}, {"mail", 4}};
    const struct leat_worker_handler handlers[] = {{leat_str_of("echo"), LEAT_WORKER_EXEC},
                                                   {leat_str_of("send"), LEAT_WORKER_PLUGIN}};
    const struct leat_worker_rate rates[] = {{leat_str_of("send"), {1, 1000000}, 1},
                                             {leat_str_of(""), {5, 1000000}, 5}};
    uint8_t options = fuzz_byte(&rig->world->in);
    struct leat_worker_config config = {
        .session = fuzz_id(0xEE),
        .name = leat_str_of("host:1"),
        .queues = queues,
        .queue_count = 2,
        .handlers = handlers,
        .handler_count = 2,
        .rates = rates,
        .rate_count = options & 0x80 ? 2 : 0,
        .slots = 1 + options % 4,
        .prefetch = options >> 2 & 7,
        .drain_ms = 30000,
        .grace_ms = 5000,
        .seed = 7,
    };
    config.outbox_results_max = options & 0x20 ? config.slots + config.prefetch : 0;
    config.outbox_bytes_max = options & 0x40 ? 64 : 0;
    struct leat_why why;
    if (leat_worker_new(&config, &rig->worker, &why) != LEAT_OK) {
        fuzz_fail("%s", why.text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig rig; /* too large for the stack, and to be cleared each time */
    rig.world = fuzz_world_open(data, size);
    rig.run_count = 0;
    rig.recalls = 0;
    open_worker(&rig);
    fuzz_world_run(rig.world, &core, &rig);
    leat_worker_destroy(&rig.worker);
    return 0;
}
