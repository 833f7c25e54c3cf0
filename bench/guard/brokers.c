/* The stages of the ventilator and of the sink: cores and typed stores over the store in memory. */
#include <stdlib.h>

#include "bench/guard/guard.h"
#include "broker/sink/sink.h"
#include "broker/ventilator/ventilator.h"
#include "store/memory.h"

/* ---- ventilator: SUBMIT, pushed to one worker, SETTLED ---- */

struct ventilator {
    struct guard_core core;
    struct leat_ventilator_store *typed;
    uint64_t pushed;
    uint64_t credits; /* CREDIT messages sent */
};

static void step_ventilator(void *core, const struct leat_event *event, struct leat_out *out)
{
    leat_ventilator_step(core, event, out);
}

static void see_ventilator(void *context, const struct leat_action *action)
{
    struct ventilator *stage = context;
    if (action->msg.type == LEAT_MSG_JOBS) {
        stage->pushed += action->msg.jobs.jobs.count;
    } else if (action->msg.type == LEAT_MSG_ERROR || action->msg.type == LEAT_MSG_BUSY ||
               action->msg.type == LEAT_MSG_REJECTED || action->msg.type == LEAT_MSG_RESEND) {
        guard_stop("ventilator", "refused a message");
    }
}

static void greet_ventilator(struct ventilator *stage)
{
    struct leat_item_name queue = {leat_str_of("default")};
    struct leat_msg hello = {.type = LEAT_MSG_HELLO};
    hello.hello.session = guard_id('s', 1);
    hello.hello.round = 1;
    hello.hello.name = leat_str_of("host:12345");
    hello.hello.queues.items = &queue;
    hello.hello.queues.count = 1;
    hello.hello.slots = 2;
    guard_tell(&stage->core, LEAT_LINK_PEERS, guard_peer(1), &hello);
}

static void *begin_ventilator(void)
{
    struct ventilator *stage = calloc(1, sizeof *stage);
    struct leat_ventilator_config config;
    struct leat_why why;
    leat_ventilator_config_init(&config);
    config.sender = guard_id('v', 1);
    config.seed = 7;
    guard_core_init(&stage->core);
    stage->core.store = leat_store_open_memory();
    leat_store_memory_trust_adds(stage->core.store);
    stage->typed = leat_ventilator_store_new(stage->core.store);
    stage->core.core = leat_ventilator_new(&config, stage->typed);
    stage->core.step = step_ventilator;
    stage->core.on_send = see_ventilator;
    stage->core.context = stage;
    guard_check(leat_ventilator_recover(stage->core.core, stage->core.now, &stage->core.out, &why),
                "recover");
    guard_tick(&stage->core);
    stage->core.now.mono_us += config.recovery_grace_ms * LEAT_US_PER_MS;
    guard_tick(&stage->core);
    greet_ventilator(stage);
    return stage;
}

/* Lets everything that is ready be pushed, and the worker seem alive. */
static void grant(struct ventilator *stage, uint64_t total)
{
    struct leat_msg credit = {.type = LEAT_MSG_CREDIT};
    credit.credit.round = 1;
    credit.credit.number = ++stage->credits;
    credit.credit.total = total;
    guard_tell(&stage->core, LEAT_LINK_PEERS, guard_peer(1), &credit);
    for (int turns = 0; stage->pushed < total && turns < 1000 &&
                        leat_ventilator_deadline_us(stage->core.core) <= stage->core.now.mono_us;
         turns++) {
        guard_tick(&stage->core);
    }
    if (stage->pushed != total) {
        guard_stop("ventilator", "did not push what there is credit for");
    }
}

static void run_ventilator(void *context, uint64_t first, uint64_t batches)
{
    struct ventilator *stage = context;
    for (uint64_t batch = first; batch < first + batches; batch++) {
        struct leat_msg submit = {.type = LEAT_MSG_SUBMIT};
        submit.submit.producer = guard_id('p', 1);
        submit.submit.batch = batch + 1;
        submit.submit.jobs.items = guard_submissions(batch);
        submit.submit.jobs.count = GUARD_BATCH;
        guard_tell(&stage->core, LEAT_LINK_PEERS, guard_peer(2), &submit);
        grant(stage, (batch + 1) * GUARD_BATCH);
        struct leat_msg settled = {.type = LEAT_MSG_SETTLED};
        settled.settled.stream = guard_id('t', 1);
        settled.settled.first = batch * GUARD_BATCH + 1;
        settled.settled.jobs.items = guard_job_ids(batch);
        settled.settled.jobs.count = GUARD_BATCH;
        guard_tell(&stage->core, LEAT_LINK_SINK, (struct leat_peer){0}, &settled);
    }
    if (leat_ventilator_counts(stage->core.core).jobs != 0) {
        guard_stop("ventilator", "still holds jobs that were settled");
    }
}

static void end_ventilator(void *context)
{
    struct ventilator *stage = context;
    struct leat_ventilator *core = stage->core.core;
    leat_out_clear(&stage->core.out);
    leat_ventilator_destroy(&core);
    leat_ventilator_store_destroy(&stage->typed);
    leat_store_close(&stage->core.store);
    guard_core_fini(&stage->core);
    free(stage);
}

const struct guard_stage guard_ventilator = {
    "ventilator", "submitted, accepted, pushed, settled; store in memory", begin_ventilator,
    run_ventilator, end_ventilator};

/* ---- sink: RESULTS, stored, told to a ventilator ---- */

struct sink {
    struct guard_core core;
    struct leat_sink_store *typed;
    struct leat_id stream;
    uint64_t settled; /* last number that the ventilator was sent */
};

static void step_sink(void *core, const struct leat_event *event, struct leat_out *out)
{
    leat_sink_step(core, event, out);
}

static void see_sink(void *context, const struct leat_action *action)
{
    struct sink *stage = context;
    if (action->msg.type == LEAT_MSG_SETTLED) {
        stage->stream = action->msg.settled.stream;
        if (action->msg.settled.jobs.count > 0) {
            stage->settled = action->msg.settled.first + action->msg.settled.jobs.count - 1;
        }
    } else if (action->msg.type == LEAT_MSG_ERROR || action->msg.type == LEAT_MSG_BUSY) {
        guard_stop("sink", "refused a message");
    }
}

static void follow(struct sink *stage)
{
    struct leat_msg msg = {.type = LEAT_MSG_FOLLOW};
    msg.follow.stream = stage->stream;
    msg.follow.settled = stage->settled;
    guard_tell(&stage->core, LEAT_LINK_PEERS, guard_peer(2), &msg);
}

static void *begin_sink(void)
{
    struct sink *stage = calloc(1, sizeof *stage);
    struct leat_sink_config config;
    struct leat_why why;
    leat_sink_config_init(&config);
    config.seed = 7;
    guard_core_init(&stage->core);
    stage->core.store = leat_store_open_memory();
    leat_store_memory_trust_adds(stage->core.store);
    stage->typed = leat_sink_store_new(stage->core.store);
    stage->core.core = leat_sink_new(&config, stage->typed);
    stage->core.step = step_sink;
    stage->core.on_send = see_sink;
    stage->core.context = stage;
    guard_check(leat_sink_recover(stage->core.core, stage->core.now, &stage->core.out, &why),
                "recover");
    guard_tick(&stage->core);
    follow(stage);
    return stage;
}

static void run_sink(void *context, uint64_t first, uint64_t batches)
{
    struct sink *stage = context;
    for (uint64_t batch = first; batch < first + batches; batch++) {
        struct leat_msg results = {.type = LEAT_MSG_RESULTS};
        results.results.sender = guard_id('s', 1);
        results.results.batch = batch + 1;
        results.results.results.items = guard_results(batch, stage->core.now);
        results.results.results.count = GUARD_BATCH;
        guard_tell(&stage->core, LEAT_LINK_PEERS, guard_peer(1), &results);
        for (int turns = 0; stage->settled < (batch + 1) * GUARD_BATCH && turns < 1000; turns++) {
            guard_tick(&stage->core);
        }
        follow(stage);
    }
    struct leat_sink_info info = leat_sink_info(stage->core.core);
    if (info.successes != (first + batches) * GUARD_BATCH || info.confirmed != info.last) {
        guard_stop("sink", "did not store and settle everything");
    }
}

static void end_sink(void *context)
{
    struct sink *stage = context;
    struct leat_sink *core = stage->core.core;
    leat_out_clear(&stage->core.out);
    leat_sink_destroy(&core);
    leat_sink_store_destroy(&stage->typed);
    leat_store_close(&stage->core.store);
    guard_core_fini(&stage->core);
    free(stage);
}

const struct guard_stage guard_sink = {
    "sink", "results stored, acknowledged, told to metrics, events and ventilator; store in memory",
    begin_sink, run_sink, end_sink};
