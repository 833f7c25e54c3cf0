/* The sink against a naive model: random results, repeats, ventilators that follow, lose messages
 * and come back, commits and crashes. LEAT_SEED=N repeats one run. */
#include "tests/unit/sink_rig.h"

#include <time.h>

#define JOBS  400
#define STEPS 1500
#define RUNS  40

/* What is true of a job in one version of the world. */
struct fact {
    uint8_t status; /* of the first result; 0: none yet */
};

struct model {
    struct fact now[JOBS];     /* as the sink should see it */
    struct fact durable[JOBS]; /* as it must be after a crash that loses what is not on disk */
    bool stored[JOBS];         /* STORED was said, and may be relied upon for ever */
    /* The ventilator: applies SETTLED in order, knows what it has on disk. */
    struct leat_id stream;
    uint64_t settled;
    bool done[JOBS];
    uint8_t peer;
};

static unsigned number_of(const struct leat_id *id)
{
    return (unsigned)id->bytes[14] << 8 | id->bytes[15];
}

static struct leat_item_result random_result(struct leat_rng *rng, unsigned job)
{
    return leat_rng_chance(rng, 300000) ? rig_failure(job) : rig_success(job);
}

/* The ventilator takes what follows on what it has; anything else it ignores. */
static void ventilator_takes(struct model *model, const struct leat_msg_settled *settled)
{
    if (!leat_id_equal(&model->stream, &settled->stream)) {
        if (settled->first != 1) {
            return; /* not the beginning: that one was lost */
        }
        model->stream = settled->stream;
        model->settled = 0;
    }
    for (size_t i = 0; i < settled->jobs.count; i++) {
        if (settled->first + i == model->settled + 1) {
            unsigned job = number_of(&settled->jobs.items[i].id);
            assert_true(job < JOBS);
            /* Never told of a job that has no result. */
            assert_int_not_equal(model->now[job].status, 0);
            model->done[job] = true;
            model->settled++;
        }
    }
}

/* Nothing is lost on the way when `loss` is 0; SETTLED waits for the disk as the runner would. */
static void deliver(struct rig *rig, struct model *model, struct leat_rng *rng, uint32_t loss)
{
    bool synced = false;
    for (size_t i = 0; i < rig->out.count; i++) {
        const struct leat_action *action = &rig->out.actions[i];
        if (action->kind != LEAT_ACTION_SEND || action->msg.type != LEAT_MSG_SETTLED ||
            !leat_peer_equal(action->peer, rig_peer(model->peer)) || leat_rng_chance(rng, loss)) {
            continue;
        }
        if (!synced) {
            assert_int_equal(leat_store_sync(rig->store, NULL), LEAT_OK);
            memcpy(model->durable, model->now, sizeof model->now);
            synced = true;
        }
        ventilator_takes(model, &action->msg.settled);
    }
}

static void send_results(struct rig *rig, struct model *model, struct leat_rng *rng)
{
    struct leat_item_result items[16];
    size_t count = 1 + leat_rng_below(rng, 16);
    for (size_t i = 0; i < count; i++) {
        unsigned job = (unsigned)leat_rng_below(rng, JOBS);
        items[i] = random_result(rng, job);
        if (model->now[job].status == 0) {
            model->now[job].status = (uint8_t)items[i].status;
        }
    }
    rig_results(rig, 1, items, count);
    assert_non_null(rig_reply(rig, LEAT_MSG_STORED));
    if (leat_rng_chance(rng, 300000)) {
        /* The commit ends, and STORED leaves. */
        assert_int_equal(leat_store_sync(rig->store, NULL), LEAT_OK);
        memcpy(model->durable, model->now, sizeof model->now);
        for (size_t i = 0; i < count; i++) {
            model->stored[number_of(&items[i].id)] = true;
        }
    }
}

static void crash(struct rig *rig, struct model *model, struct leat_rng *rng)
{
    enum leat_store_fate fate = LEAT_STORE_LOST;
    if (leat_rng_chance(rng, 500000) && leat_store_is_dirty(rig->store) &&
        !leat_store_is_committing(rig->store)) {
        leat_store_seal(rig->store);
        fate = LEAT_STORE_KEPT;
        memcpy(model->durable, model->now, sizeof model->now);
    }
    rig_shut(rig);
    leat_store_memory_crash(rig->store, fate);
    memcpy(model->now, model->durable, sizeof model->now);
    rig->config.seed = leat_rng_next(rng);
    rig_boot(rig);
}

struct comparison {
    const struct model *model;
    unsigned seen;
};

static bool compare(const struct leat_item_result *result, const struct leat_sink_kept *kept,
                    void *context)
{
    struct comparison *comparison = context;
    unsigned job = number_of(&result->id);
    (void)kept;
    assert_true(job < JOBS);
    assert_int_equal(result->status, comparison->model->now[job].status);
    comparison->seen++;
    return true;
}

static void check(struct rig *rig, const struct model *model)
{
    struct comparison comparison = {.model = model};
    unsigned expected = 0;
    rig_check(rig);
    assert_int_equal(leat_sink_store_each(rig->typed, compare, &comparison), LEAT_OK);
    for (unsigned job = 0; job < JOBS; job++) {
        expected += model->now[job].status != 0;
        assert_true(!model->stored[job] || model->now[job].status != 0);
    }
    assert_int_equal(comparison.seen, expected);
}

static void one_step(struct rig *rig, struct model *model, struct leat_rng *rng)
{
    rig_pass(rig, (int64_t)leat_rng_below(rng, 300000));
    uint64_t choice = leat_rng_below(rng, 100);
    if (choice < 55) {
        send_results(rig, model, rng);
        deliver(rig, model, rng, 200000);
    } else if (choice < 80) {
        rig_follow(rig, model->peer, model->stream, model->settled);
        deliver(rig, model, rng, 200000);
    } else if (choice < 90) {
        rig_tick(rig);
        deliver(rig, model, rng, 200000);
    } else if (choice < 94) {
        model->peer++; /* the ventilator connects anew */
    } else if (choice < 96) {
        struct leat_event gone = {.kind = LEAT_EVENT_UNREACHABLE, .link = LEAT_LINK_PEERS};
        gone.peer = rig_peer(model->peer);
        rig_feed(rig, gone);
    } else if (choice < 97) {
        crash(rig, model, rng);
    } else if (choice < 98 && leat_rng_chance(rng, 200000)) {
        /* The ventilator loses its store. What it had settled is over for it, and stays so. */
        memset(&model->stream, 0, sizeof model->stream);
        model->settled = 0;
        model->peer++;
    } else {
        check(rig, model);
    }
}

/* With nothing lost any more, the ventilator hears of every job that has a result. */
static void settle_everything(struct rig *rig, struct model *model, struct leat_rng *rng)
{
    /* A window may be of one id, so one round may be needed for each; and some to find its feet. */
    uint64_t rounds = leat_sink_info(rig->sink).last + 10;
    for (uint64_t i = 0; i < rounds; i++) {
        rig_pass(rig, 2 * LEAT_US_PER_S); /* far from the age at which results go */
        rig_follow(rig, model->peer, model->stream, model->settled);
        deliver(rig, model, rng, 0);
    }
    struct leat_sink_info info = leat_sink_info(rig->sink);
    assert_true(leat_id_equal(&model->stream, &info.stream));
    assert_int_equal(model->settled, info.last - info.base);
    for (unsigned job = 0; job < JOBS; job++) {
        assert_true(!model->stored[job] || model->done[job]);
    }
}

static uint64_t first_seed(void)
{
    const char *text = getenv("LEAT_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    printf("LEAT_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void the_sink_agrees_with_a_naive_model_through_losses_and_crashes(void **state)
{
    uint64_t seed = first_seed();
    (void)state;
    for (uint64_t run = 0; run < RUNS; run++) {
        struct rig rig;
        struct leat_rng rng;
        struct model *model = calloc(1, sizeof *model);
        leat_rng_init(&rng, seed + run);
        rig_open(&rig);
        rig.config.settled_window = 1 + leat_rng_below(&rng, 100);
        rig_shut(&rig);
        rig_boot(&rig);
        assert_int_equal(leat_store_sync(rig.store, NULL), LEAT_OK);
        for (unsigned i = 0; i < STEPS; i++) {
            one_step(&rig, model, &rng);
        }
        check(&rig, model);
        settle_everything(&rig, model, &rng);
        check(&rig, model);
        rig_close(&rig);
        free(model);
    }
}

/* With short retention: bounds hold, and what is kept is what is young enough. */
static void retention_keeps_its_bounds_whatever_comes(void **state)
{
    uint64_t seed = first_seed();
    (void)state;
    for (uint64_t run = 0; run < RUNS; run++) {
        struct rig rig;
        struct leat_rng rng;
        leat_rng_init(&rng, seed + run);
        rig_open(&rig);
        rig.config.keep_results_ms = 10000;
        rig.config.keep_results_max = 50;
        rig.config.keep_failures_ms = 30000;
        rig_shut(&rig);
        rig_boot(&rig);
        unsigned job = 0;
        for (unsigned i = 0; i < 300; i++) {
            struct leat_item_result items[8];
            size_t count = 1 + leat_rng_below(&rng, 8);
            for (size_t k = 0; k < count; k++) {
                items[k] = random_result(&rng, job++);
            }
            rig_pass(&rig, (int64_t)leat_rng_below(&rng, 2 * LEAT_US_PER_S));
            rig_results(&rig, 1, items, count);
            rig_confirm(&rig, 9, leat_sink_info(rig.sink).last - leat_sink_info(rig.sink).base);
            assert_true(leat_sink_info(rig.sink).successes <= 50);
            if (leat_rng_chance(&rng, 50000)) {
                assert_int_equal(leat_store_sync(rig.store, NULL), LEAT_OK);
                crash(&rig, &(struct model){.peer = 1}, &rng);
            }
            rig_check(&rig);
        }
        for (unsigned i = 0; i < 1000 && leat_sink_deadline_us(rig.sink) != LEAT_NEVER_US; i++) {
            int64_t wait_us = leat_sink_deadline_us(rig.sink) - rig.now.mono_us;
            assert_true(wait_us <= 60 * LEAT_US_PER_S);
            rig_pass(&rig, wait_us > 0 ? wait_us : 0);
            rig_tick(&rig);
        }
        assert_int_equal(leat_sink_info(rig.sink).successes, 0);
        assert_int_equal(leat_sink_info(rig.sink).failures, 0);
        assert_int_equal(leat_store_count(rig.store, LEAT_SINK_TABLE_RESULTS), 0);
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sink_agrees_with_a_naive_model_through_losses_and_crashes),
        cmocka_unit_test(retention_keeps_its_bounds_whatever_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
