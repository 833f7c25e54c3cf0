/* The stages of the producer's and of the worker's core. */
#include <stdlib.h>
#include <string.h>

#include "bench/guard/guard.h"
#include "producer/submitter.h"
#include "worker/worker.h"

/* ---- submitter: offered, sent, acknowledged ---- */

struct submitter {
    struct guard_core core;
    uint64_t sent_jobs;
    uint64_t last_batch;
    struct leat_id producer;
    struct leat_item_submission *jobs; /* to be offered next */
};

static void step_submitter(void *core, const struct leat_event *event, struct leat_out *out)
{
    leat_submitter_step(core, event, out);
}

static void see_submitter(void *context, const struct leat_action *action)
{
    struct submitter *stage = context;
    if (action->msg.type == LEAT_MSG_SUBMIT) {
        stage->sent_jobs += action->msg.submit.jobs.count;
        stage->last_batch = action->msg.submit.batch;
        stage->producer = action->msg.submit.producer;
    }
}

static void *begin_submitter(void)
{
    struct submitter *stage = calloc(1, sizeof *stage);
    struct leat_submitter_config config = leat_submitter_defaults(7);
    guard_core_init(&stage->core);
    stage->core.core = leat_submitter_new(&config);
    stage->core.step = step_submitter;
    stage->core.on_send = see_submitter;
    stage->core.context = stage;
    return stage;
}

static void offer(void *context)
{
    struct submitter *stage = context;
    struct leat_id id;
    for (size_t i = 0; i < GUARD_BATCH; i++) {
        guard_check(leat_submitter_offer(stage->core.core, &stage->jobs[i], stage->core.now, &id),
                    "offer");
    }
}

static void run_submitter(void *context, uint64_t first, uint64_t batches)
{
    struct submitter *stage = context;
    for (uint64_t batch = first; batch < first + batches; batch++) {
        stage->jobs = guard_submissions(batch);
        guard_work(offer, stage);
        guard_tick(&stage->core);
        while (leat_submitter_pending(stage->core.core) > 0) {
            struct leat_msg accepted = {.type = LEAT_MSG_ACCEPTED};
            accepted.accepted.producer = stage->producer;
            accepted.accepted.batch = stage->last_batch;
            guard_tell(&stage->core, LEAT_LINK_VENTILATOR, (struct leat_peer){0}, &accepted);
        }
    }
    if (stage->sent_jobs != (first + batches) * GUARD_BATCH) {
        guard_stop("submitter", "sent more or less than was offered");
    }
}

static void end_submitter(void *context)
{
    struct submitter *stage = context;
    struct leat_submitter *core = stage->core.core;
    leat_out_clear(&stage->core.out);
    leat_submitter_destroy(&core);
    guard_core_fini(&stage->core);
    free(stage);
}

const struct guard_stage guard_submitter = {"submitter", "offered, sent, acknowledged",
                                            begin_submitter, run_submitter, end_submitter};

/* ---- worker: JOBS, to the spawner and back, RESULTS, STORED ---- */

#define STARTED_MAX (2 * GUARD_BATCH)

struct worker {
    struct guard_core core;
    uint64_t round;
    uint64_t number;
    struct leat_item_outcome started[STARTED_MAX];
    size_t started_count;
    uint64_t batches[STARTED_MAX]; /* RESULTS not yet stored */
    size_t batch_count;
};

static void step_worker(void *core, const struct leat_event *event, struct leat_out *out)
{
    leat_worker_step(core, event, out);
}

static void see_run(struct worker *stage, const struct leat_msg_run *run)
{
    for (size_t i = 0; i < run->attempts.count && stage->started_count < STARTED_MAX; i++) {
        stage->started[stage->started_count++] =
            (struct leat_item_outcome){.id = run->attempts.items[i].id,
                                       .delivery = run->attempts.items[i].delivery,
                                       .output = leat_bytes_of("0123456789abcdef", 16),
                                       .queued_us = 5,
                                       .run_us = 3};
    }
}

static void see_worker(void *context, const struct leat_action *action)
{
    struct worker *stage = context;
    if (action->msg.type == LEAT_MSG_HELLO) {
        stage->round = action->msg.hello.round;
        stage->number = 0;
    } else if (action->msg.type == LEAT_MSG_RUN) {
        see_run(stage, &action->msg.run);
    } else if (action->msg.type == LEAT_MSG_RESULTS && stage->batch_count < STARTED_MAX) {
        stage->batches[stage->batch_count++] = action->msg.results.batch;
    }
}

static void welcome(struct worker *stage)
{
    struct leat_msg msg = {.type = LEAT_MSG_WELCOME};
    msg.welcome.session = guard_id('s', 1);
    msg.welcome.round = stage->round;
    msg.welcome.ping_ms = 1000000; /* virtual time does not come so far */
    msg.welcome.lost_after_ms = 5000000;
    guard_tell(&stage->core, LEAT_LINK_VENTILATOR, (struct leat_peer){0}, &msg);
}

static void *begin_worker(void)
{
    static const struct leat_str queue = {"default", 7};
    static const struct leat_worker_handler handler = {{"stamp", 5}, LEAT_WORKER_PLUGIN};
    struct worker *stage = calloc(1, sizeof *stage);
    struct leat_why why;
    struct leat_worker_config config = {.session = guard_id('s', 1),
                                        .name = leat_str_of("host:12345"),
                                        .queues = &queue,
                                        .queue_count = 1,
                                        .handlers = &handler,
                                        .handler_count = 1,
                                        .slots = 2,
                                        .prefetch = GUARD_BATCH,
                                        .drain_ms = 30000,
                                        .grace_ms = 5000,
                                        .seed = 7};
    struct leat_worker *core = NULL;
    guard_core_init(&stage->core);
    if (leat_worker_new(&config, &core, &why) != LEAT_OK) {
        guard_stop("worker", why.text);
    }
    stage->core.core = core;
    stage->core.step = step_worker;
    stage->core.on_send = see_worker;
    stage->core.context = stage;
    guard_tick(&stage->core);
    welcome(stage);
    return stage;
}

/* Ends what runs and stores what comes of it, until nothing is left. */
static void work_off(struct worker *stage)
{
    static struct leat_item_outcome outcomes[STARTED_MAX];
    struct leat_peer nobody = {0};
    while (stage->started_count > 0 || stage->batch_count > 0) {
        if (stage->started_count > 0) {
            struct leat_msg ran = {.type = LEAT_MSG_RAN};
            memcpy(outcomes, stage->started, stage->started_count * sizeof outcomes[0]);
            ran.ran.outcomes.items = outcomes;
            ran.ran.outcomes.count = stage->started_count;
            stage->started_count = 0;
            guard_tell(&stage->core, LEAT_LINK_SPAWNER, nobody, &ran);
        }
        while (stage->batch_count > 0) {
            struct leat_msg stored = {.type = LEAT_MSG_STORED};
            stored.stored.sender = guard_id('s', 1);
            stored.stored.batch = stage->batches[--stage->batch_count];
            guard_tell(&stage->core, LEAT_LINK_SINK, nobody, &stored);
        }
        guard_tick(&stage->core);
    }
}

static void run_worker(void *context, uint64_t first, uint64_t batches)
{
    struct worker *stage = context;
    for (uint64_t batch = first; batch < first + batches; batch++) {
        struct leat_msg jobs = {.type = LEAT_MSG_JOBS};
        jobs.jobs.round = stage->round;
        jobs.jobs.number = ++stage->number;
        jobs.jobs.jobs.items = guard_deliveries(batch, stage->core.now);
        jobs.jobs.jobs.count = GUARD_BATCH;
        guard_tell(&stage->core, LEAT_LINK_VENTILATOR, (struct leat_peer){0}, &jobs);
        work_off(stage);
    }
    struct leat_worker_counts counts = leat_worker_counts(stage->core.core);
    if (counts.succeeded != (first + batches) * GUARD_BATCH || counts.finished != 0) {
        guard_stop("worker", "did not end every job");
    }
}

static void end_worker(void *context)
{
    struct worker *stage = context;
    struct leat_worker *core = stage->core.core;
    leat_out_clear(&stage->core.out);
    leat_worker_destroy(&core);
    guard_core_fini(&stage->core);
    free(stage);
}

const struct guard_stage guard_worker = {
    "worker", "received, given to the spawner and back, result sent, stored", begin_worker,
    run_worker, end_worker};
