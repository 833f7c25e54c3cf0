/* A history of the sink: workers' results, a ventilator that follows, right or wrong, questions,
 * time, a disk that fails, restarts. After each step its invariants hold against the whole store;
 * what it tells the metrics actor is taken by the registry. */
#include "tests/fuzz/fuzz.h"

#include "broker/sink/metrics.h"
#include "broker/sink/sink.h"
#include "store/memory.h"

struct rig {
    struct fuzz_world world;
    struct leat_store *store;
    struct leat_sink_store *typed;
    struct leat_sink *sink;
    struct leat_metrics *metrics;
    struct leat_sink_config config;
};

static const enum leat_link links[2] = {LEAT_LINK_PEERS, LEAT_LINK_PEERS};

static void boot(struct rig *rig)
{
    struct leat_why why = {""};
    rig->typed = leat_sink_store_new(rig->store);
    rig->sink = leat_sink_new(&rig->config, rig->typed);
    leat_out_clear(&rig->world.out);
    if (leat_sink_recover(rig->sink, rig->world.now, &rig->world.out, &why) != LEAT_OK) {
        fuzz_fail("recover: %s", why.text);
    }
}

static void shut(struct rig *rig)
{
    leat_sink_destroy(&rig->sink);
    leat_sink_store_destroy(&rig->typed);
}

static void restart(struct rig *rig, enum leat_store_fate fate)
{
    shut(rig);
    leat_store_memory_crash(rig->store, fate);
    boot(rig);
}

static void tell_metrics(struct rig *rig)
{
    for (size_t i = 0; i < rig->world.out.count; i++) {
        const struct leat_action *action = &rig->world.out.actions[i];
        if (action->kind != LEAT_ACTION_SEND || action->link != LEAT_LINK_METRICS) {
            continue;
        }
        if (action->msg.type == LEAT_MSG_FINISHED) {
            leat_metrics_finished(rig->metrics, &action->msg.finished);
        } else if (action->msg.type == LEAT_MSG_GAUGES) {
            leat_metrics_gauges(rig->metrics, &action->msg.gauges, rig->world.now.mono_us);
        }
    }
}

static void feed(struct rig *rig, struct leat_event event)
{
    struct leat_why why = {""};
    event.now = rig->world.now;
    leat_out_clear(&rig->world.out);
    leat_sink_step(rig->sink, &event, &rig->world.out);
    fuzz_check_out(&rig->world);
    tell_metrics(rig);
    if (leat_sink_check(rig->sink, &why) != LEAT_OK) {
        fuzz_fail("invariant: %s", why.text);
    }
    struct leat_sink_info info = leat_sink_info(rig->sink);
    struct fuzz_words *words = &rig->world.words;
    words->ids[0] = info.stream;
    words->numbers[0] = info.confirmed - info.base;
    words->numbers[1] = info.sent - info.base;
    words->numbers[2] = info.last - info.base;
}

static void settle(struct rig *rig)
{
    for (int steps = 0; leat_sink_deadline_us(rig->sink) <= rig->world.now.mono_us &&
                        !leat_sink_info(rig->sink).ended;
         steps++) {
        feed(rig, (struct leat_event){.kind = LEAT_EVENT_TICK});
        if (steps > 10000) {
            fuzz_fail("the deadline does not move");
        }
    }
}

static void pass(struct rig *rig, int64_t us)
{
    struct leat_now *now = &rig->world.now;
    if (us < 0) {
        int64_t deadline_us = leat_sink_deadline_us(rig->sink);
        us = deadline_us == LEAT_NEVER_US || deadline_us <= now->mono_us
                 ? 0
                 : deadline_us - now->mono_us;
    }
    now->mono_us += us;
    now->wall.us += us;
    settle(rig);
}

static void commit(struct rig *rig, uint8_t how)
{
    struct leat_why why;
    if (how % 4 == 3) {
        leat_store_memory_fail(rig->store);
    }
    if (leat_store_is_dirty(rig->store) && !leat_store_is_committing(rig->store)) {
        leat_store_seal(rig->store);
    }
    if (how % 4 != 0) {
        leat_store_memory_complete(rig->store);
    }
    if (leat_store_advance(rig->store, &why) != LEAT_OK) {
        restart(rig, how & 4 ? LEAT_STORE_KEPT : LEAT_STORE_LOST);
    }
}

static void one(struct rig *rig)
{
    struct fuzz_world *world = &rig->world;
    struct leat_event event;
    uint8_t op = fuzz_byte(&world->in) % FUZZ_OPS;
    switch (op) {
    case FUZZ_OP_PASS:
        pass(rig, fuzz_duration_us(world));
        break;
    case FUZZ_OP_WALL:
        fuzz_jump_wall(world);
        break;
    case FUZZ_OP_COMMIT:
        commit(rig, fuzz_byte(&world->in));
        break;
    case FUZZ_OP_RESTART:
        restart(rig, fuzz_byte(&world->in) & 1 ? LEAT_STORE_KEPT : LEAT_STORE_LOST);
        break;
    default:
        if (fuzz_event(world, op, links, &event)) {
            feed(rig, event);
        }
        break;
    }
    if (leat_sink_info(rig->sink).ended) {
        restart(rig, LEAT_STORE_LOST);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig rig;
    fuzz_world_open(&rig.world, data, size);
    leat_sink_config_init(&rig.config);
    rig.config.seed = 7;
    uint8_t options = fuzz_byte(&rig.world.in);
    rig.config.keep_results_max = options & 1 ? 2 : rig.config.keep_results_max;
    rig.config.keep_results_ms = options & 2 ? 5000 : rig.config.keep_results_ms;
    rig.config.keep_failures_ms = options & 4 ? 5000 : rig.config.keep_failures_ms;
    rig.config.settled_window = options & 8 ? 2 : rig.config.settled_window;
    rig.config.events = (options & 16) == 0;
    rig.world.keys_in_use = (options & 64) != 0;
    rig.store = leat_store_open_memory();
    rig.metrics = leat_metrics_new();
    boot(&rig);
    while (!fuzz_is_done(&rig.world.in)) {
        one(&rig);
    }
    shut(&rig);
    leat_metrics_destroy(&rig.metrics);
    leat_store_close(&rig.store);
    fuzz_world_close(&rig.world);
    return 0;
}
