/* A history of the ventilator: peers, time, a disk that fails, restarts. After each step its
 * invariants hold against the whole store, and what it sends can be encoded. */
#include "tests/fuzz/fuzz.h"

#include "broker/ventilator/ventilator.h"
#include "core/check.h"
#include "store/memory.h"

struct rig {
    struct fuzz_world world;
    struct leat_store *store;
    struct leat_ventilator_store *typed;
    struct leat_ventilator *ventilator;
    struct leat_ventilator_config config;
};

static const enum leat_link links[2] = {LEAT_LINK_PEERS, LEAT_LINK_SINK};

static void boot(struct rig *rig)
{
    rig->typed = leat_ventilator_store_new(rig->store);
    rig->ventilator = leat_ventilator_new(&rig->config, rig->typed);
    leat_out_clear(&rig->world.out);
    struct leat_why why = {""};
    if (leat_ventilator_recover(rig->ventilator, rig->world.now, &rig->world.out, &why) !=
        LEAT_OK) {
        fuzz_fail("recover: %s", why.text);
    }
}

static void shut(struct rig *rig)
{
    leat_ventilator_destroy(&rig->ventilator);
    leat_ventilator_store_destroy(&rig->typed);
}

static void restart(struct rig *rig, enum leat_store_fate fate)
{
    shut(rig);
    leat_store_memory_crash(rig->store, fate);
    boot(rig);
}

static void feed(struct rig *rig, struct leat_event event)
{
    struct leat_why why = {""};
    event.now = rig->world.now;
    leat_out_clear(&rig->world.out);
    leat_ventilator_step(rig->ventilator, &event, &rig->world.out);
    fuzz_check_out(&rig->world);
    if (leat_ventilator_check(rig->ventilator, &why) != LEAT_OK) {
        fuzz_fail("invariant: %s", why.text);
    }
    struct leat_ventilator_counts counts = leat_ventilator_counts(rig->ventilator);
    rig->world.words.numbers[0] = counts.settled + 1;
    rig->world.words.numbers[2] = (uint64_t)(rig->world.now.wall.us / LEAT_US_PER_MS) + 1000;
}

/* TICKs until the ventilator is content; it must become so. */
static void settle(struct rig *rig)
{
    for (int steps = 0; leat_ventilator_deadline_us(rig->ventilator) <= rig->world.now.mono_us &&
                        !leat_ventilator_is_ended(rig->ventilator);
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
        int64_t deadline_us = leat_ventilator_deadline_us(rig->ventilator);
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
    case FUZZ_OP_SPACE:
        leat_store_memory_set_full(rig->store, world->in.at < world->in.end && *world->in.at & 1);
        /* fall through */
    default:
        if (fuzz_event(world, op, links, &event)) {
            feed(rig, event);
        }
        break;
    }
    if (leat_ventilator_is_ended(rig->ventilator)) {
        restart(rig, LEAT_STORE_LOST);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig rig;
    fuzz_world_open(&rig.world, data, size);
    leat_ventilator_config_init(&rig.config);
    rig.config.sender = fuzz_id(0xEE);
    rig.config.seed = 7;
    rig.config.recovery_grace_ms = 2000;
    uint8_t options = fuzz_byte(&rig.world.in);
    rig.config.deliveries_max = 1 + options % 4;
    rig.config.batch_items_max = options & 4 ? 2 : LEAT_BATCH_ITEMS_MAX;
    rig.config.dedupe_max = options & 8 ? 4 : rig.config.dedupe_max;
    rig.config.bytes_max = options & 16 ? 2 * rig.config.payload_bytes_max : rig.config.bytes_max;
    rig.config.filling_bytes_max = options & 32 ? 4096 : rig.config.filling_bytes_max;
    rig.world.keys_in_use = (options & 64) != 0;
    rig.store = leat_store_open_memory();
    boot(&rig);
    while (!fuzz_is_done(&rig.world.in)) {
        one(&rig);
    }
    shut(&rig);
    leat_store_close(&rig.store);
    fuzz_world_close(&rig.world);
    return 0;
}
