/* A history of the producer's submitter: jobs offered, any answer of a ventilator, time. No job is
 * told of twice, and pending plus what was told of is what was taken. */
#include "producer/submitter.h"
#include "tests/fuzz/core_harness.h"

struct rig {
    struct fuzz_world *world;
    struct leat_submitter *submitter;
    uint64_t taken;
    uint64_t told;
};

static void visit(const struct leat_id *id, bool accepted, void *context)
{
    (void)id;
    (void)accepted;
    struct rig *rig = context;
    rig->told++;
}

static void step(void *rig, const struct leat_event *event, struct leat_out *out)
{
    leat_submitter_step(((struct rig *)rig)->submitter, event, out);
}

static int64_t deadline_us(const void *rig)
{
    return leat_submitter_deadline_us(((const struct rig *)rig)->submitter);
}

static void check(void *context)
{
    struct rig *rig = context;
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

static void offer(void *context, enum fuzz_op op)
{
    (void)op;
    struct rig *rig = context;
    struct fuzz_world *world = rig->world;
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

static const struct fuzz_core core = {
    .links = {LEAT_LINK_VENTILATOR, LEAT_LINK_VENTILATOR},
    .step = step,
    .deadline_us = deadline_us,
    .check = check,
    .act = offer,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig rig = {.world = fuzz_world_open(data, size)};
    struct leat_submitter_config config = leat_submitter_defaults(7);
    uint8_t options = fuzz_byte(&rig.world->in);
    config.batch_jobs = options & 1 ? 1 : options & 2 ? 3 : config.batch_jobs;
    config.window_jobs = options & 4 ? 5 : config.window_jobs;
    config.window_bytes = options & 8 ? 300 : config.window_bytes;
    rig.submitter = leat_submitter_new(&config);
    leat_submitter_observe(rig.submitter, visit, &rig);
    fuzz_world_run(rig.world, &core, &rig);
    leat_submitter_destroy(&rig.submitter);
    return 0;
}
