/* A history of the producer's submitter: jobs offered, any answer of a ventilator, time. No job is
 * told of twice, and pending plus what was told of is what was taken. */
#include "tests/fuzz/fuzz.h"

#include "producer/submitter.h"

struct rig {
    struct fuzz_world world;
    struct leat_submitter *submitter;
    uint64_t taken;
    uint64_t told;
};

static const enum leat_link links[2] = {LEAT_LINK_VENTILATOR, LEAT_LINK_VENTILATOR};

static void visit(const struct leat_id *id, bool accepted, void *context)
{
    (void)id;
    (void)accepted;
    struct rig *rig = context;
    rig->told++;
}

static void check(struct rig *rig)
{
    leat_submitter_check(rig->submitter);
    struct leat_submitter_counts counts = leat_submitter_counts(rig->submitter);
    if (rig->told != counts.accepted + counts.rejected ||
        rig->taken != rig->told + leat_submitter_pending(rig->submitter)) {
        fuzz_fail("of %llu jobs taken %llu were told of and %zu are pending",
                  (unsigned long long)rig->taken, (unsigned long long)rig->told,
                  leat_submitter_pending(rig->submitter));
    }
    (void)leat_submitter_last_error(rig->submitter);
}

static void feed(struct rig *rig, struct leat_event event)
{
    event.now = rig->world.now;
    leat_out_clear(&rig->world.out);
    leat_submitter_step(rig->submitter, &event, &rig->world.out);
    fuzz_check_out(&rig->world);
    check(rig);
}

static void offer(struct rig *rig)
{
    struct fuzz_world *world = &rig->world;
    uint8_t bytes = fuzz_byte(&world->in);
    static const uint8_t filler[256];
    struct leat_item_submission job = {.id = fuzz_id(fuzz_byte(&world->in)),
                                       .queue = leat_str_of("default"),
                                       .type = leat_str_of("echo"),
                                       .body = leat_bytes_of(filler, bytes)};
    struct leat_id id;
    enum leat_err err = leat_submitter_offer(rig->submitter, &job, world->now, &id);
    if (err == LEAT_OK) {
        rig->taken++;
    } else if (err != LEAT_ERR_BUSY) {
        fuzz_fail("an offer ends with %s", leat_err_name(err));
    }
    check(rig);
}

static void pass(struct rig *rig, int64_t us)
{
    struct leat_now *now = &rig->world.now;
    int64_t deadline_us = leat_submitter_deadline_us(rig->submitter);
    if (us < 0) {
        us = deadline_us == LEAT_NEVER_US || deadline_us <= now->mono_us
                 ? 0
                 : deadline_us - now->mono_us;
    }
    now->mono_us += us;
    now->wall.us += us;
    for (int steps = 0; leat_submitter_deadline_us(rig->submitter) <= now->mono_us; steps++) {
        feed(rig, (struct leat_event){.kind = LEAT_EVENT_TICK});
        if (steps > 10000) {
            fuzz_fail("the deadline does not move");
        }
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
    case FUZZ_OP_RESTART:
    case FUZZ_OP_SPACE:
        offer(rig);
        break;
    default:
        if (fuzz_event(world, op, links, &event)) {
            feed(rig, event);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig rig = {.taken = 0};
    fuzz_world_open(&rig.world, data, size);
    struct leat_submitter_config config = leat_submitter_defaults(7);
    uint8_t options = fuzz_byte(&rig.world.in);
    config.batch_jobs = options & 1 ? 1 : options & 2 ? 3 : config.batch_jobs;
    config.window_jobs = options & 4 ? 5 : config.window_jobs;
    config.window_bytes = options & 8 ? 300 : config.window_bytes;
    rig.submitter = leat_submitter_new(&config);
    leat_submitter_observe(rig.submitter, visit, &rig);
    while (!fuzz_is_done(&rig.world.in)) {
        one(&rig);
    }
    leat_submitter_destroy(&rig.submitter);
    fuzz_world_close(&rig.world);
    return 0;
}
