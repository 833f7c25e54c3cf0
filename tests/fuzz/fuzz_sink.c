/* A history of the sink: workers' results, a ventilator that follows, right or wrong, questions,
 * time, a disk that fails, restarts. After each step its invariants hold against the whole store;
 * what it tells the metrics actor is taken by the registry. */
#include "broker/sink/metrics.h"
#include "broker/sink/sink.h"
#include "tests/fuzz/core_harness.h"

struct rig {
    struct fuzz_world *world;
    struct leat_sink_store *typed;
    struct leat_sink *sink;
    struct leat_metrics *metrics;
    struct leat_sink_config config;
};

static enum leat_err boot(void *context, struct leat_why *why)
{
    struct rig *rig = context;
    struct fuzz_world *world = rig->world;
    rig->typed = leat_sink_store_new(world->store);
    rig->sink = leat_sink_new(&rig->config, rig->typed);
    return leat_sink_recover(rig->sink, world->now, &world->out, why);
}

static void shut(void *context)
{
    struct rig *rig = context;
    leat_sink_destroy(&rig->sink);
    leat_sink_store_destroy(&rig->typed);
}

static void step(void *rig, const struct leat_event *event, struct leat_out *out)
{
    leat_sink_step(((struct rig *)rig)->sink, event, out);
}

static int64_t deadline_us(const void *rig)
{
    return leat_sink_deadline_us(((const struct rig *)rig)->sink);
}

static bool is_ended(const void *rig)
{
    return leat_sink_info(((const struct rig *)rig)->sink).ended;
}

static void tell_metrics(struct rig *rig)
{
    const struct leat_out *out = &rig->world->out;
    for (size_t i = 0; i < out->count; i++) {
        const struct leat_action *action = &out->actions[i];
        if (action->kind != LEAT_ACTION_SEND || action->link != LEAT_LINK_METRICS) {
            continue;
        }
        if (action->msg.type == LEAT_MSG_FINISHED) {
            leat_metrics_finished(rig->metrics, &action->msg.finished);
        } else if (action->msg.type == LEAT_MSG_GAUGES) {
            leat_metrics_gauges(rig->metrics, &action->msg.gauges, rig->world->now.mono_us);
        }
    }
}

static void check(void *context)
{
    struct rig *rig = context;
    struct fuzz_words *words = &rig->world->words;
    struct leat_why why = {""};
    tell_metrics(rig);
    if (leat_sink_check(rig->sink, &why) != LEAT_OK) {
        fuzz_fail("invariant: %s", why.text);
    }
    struct leat_sink_info info = leat_sink_info(rig->sink);
    words->ids[0] = info.stream;
    words->numbers[0] = info.confirmed - info.base;
    words->numbers[1] = info.sent - info.base;
    words->numbers[2] = info.last - info.base;
}

static const struct fuzz_core core = {
    .links = {LEAT_LINK_PEERS, LEAT_LINK_PEERS},
    .step = step,
    .deadline_us = deadline_us,
    .is_ended = is_ended,
    .check = check,
    .boot = boot,
    .shut = shut,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig rig = {.world = fuzz_world_open(data, size)};
    struct leat_sink_config *config = &rig.config;
    leat_sink_config_init(config);
    config->seed = 7;
    uint8_t options = fuzz_byte(&rig.world->in);
    config->keep_results_max = options & 1 ? 2 : config->keep_results_max;
    config->keep_results_ms = options & 2 ? 5000 : config->keep_results_ms;
    config->keep_failures_ms = options & 4 ? 5000 : config->keep_failures_ms;
    config->settled_window = options & 8 ? 2 : config->settled_window;
    config->events = (options & 16) == 0;
    rig.world->keys_in_use = (options & 64) != 0;
    rig.metrics = leat_metrics_new();
    fuzz_world_run(rig.world, &core, &rig);
    leat_metrics_destroy(&rig.metrics);
    return 0;
}
