/* A history of the ventilator: peers, time, a disk that fails, restarts. After each step its
 * invariants hold against the whole store, and what it sends can be encoded. */
#include "broker/ventilator/ventilator.h"
#include "tests/fuzz/core_harness.h"

struct rig {
    struct fuzz_world *world;
    struct leat_ventilator_store *typed;
    struct leat_ventilator *ventilator;
    struct leat_ventilator_config config;
};

static enum leat_err boot(void *context, struct leat_why *why)
{
    struct rig *rig = context;
    struct fuzz_world *world = rig->world;
    rig->typed = leat_ventilator_store_new(world->store);
    rig->ventilator = leat_ventilator_new(&rig->config, rig->typed);
    return leat_ventilator_recover(rig->ventilator, world->now, &world->out, why);
}

static void shut(void *context)
{
    struct rig *rig = context;
    leat_ventilator_destroy(&rig->ventilator);
    leat_ventilator_store_destroy(&rig->typed);
}

static void step(void *rig, const struct leat_event *event, struct leat_out *out)
{
    leat_ventilator_step(((struct rig *)rig)->ventilator, event, out);
}

static int64_t deadline_us(const void *rig)
{
    return leat_ventilator_deadline_us(((const struct rig *)rig)->ventilator);
}

static bool is_ended(const void *rig)
{
    return leat_ventilator_is_ended(((const struct rig *)rig)->ventilator);
}

static void check(void *context)
{
    struct rig *rig = context;
    struct fuzz_words *words = &rig->world->words;
    struct leat_why why = {""};
    if (leat_ventilator_check(rig->ventilator, &why) != LEAT_OK) {
        fuzz_fail("invariant: %s", why.text);
    }
    struct leat_ventilator_counts counts = leat_ventilator_counts(rig->ventilator);
    words->numbers[0] = counts.settled + 1;
    words->numbers[2] = (uint64_t)(rig->world->now.wall.us / LEAT_US_PER_MS) + 1000;
}

static const struct fuzz_core core = {
    .links = {LEAT_LINK_PEERS, LEAT_LINK_SINK},
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
    struct leat_ventilator_config *config = &rig.config;
    leat_ventilator_config_init(config);
    config->sender = fuzz_id(0xEE);
    config->seed = 7;
    config->recovery_grace_ms = 2000;
    uint8_t options = fuzz_byte(&rig.world->in);
    config->deliveries_max = 1 + options % 4;
    config->batch_items_max = options & 4 ? 2 : LEAT_BATCH_ITEMS_MAX;
    config->dedupe_max = options & 8 ? 4 : config->dedupe_max;
    config->bytes_max = options & 16 ? 2 * config->payload_bytes_max : config->bytes_max;
    config->filling_bytes_max = options & 32 ? 4096 : config->filling_bytes_max;
    rig.world->keys_in_use = (options & 64) != 0;
    fuzz_world_run(rig.world, &core, &rig);
    return 0;
}
