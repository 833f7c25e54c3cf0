#include <assert.h>
#include <stdlib.h>

#include "producer/submitter.h"
#include "tests/simulation/roles.h"
#include "wire/codec.h"

struct producer {
    struct sim_ledger *ledger;
    int left;          /* to be submitted */
    size_t unanswered; /* of this life */
};

struct leat_id sim_job_id(size_t index)
{
    struct leat_id id = {{0x5e, 0xed}};
    for (int i = 0; i < 8; i++) {
        id.bytes[15 - i] = (uint8_t)(index >> (8 * i));
    }
    return id;
}

size_t sim_job_index(const struct leat_id *id)
{
    size_t index = 0;
    for (int i = 8; i < 16; i++) {
        index = index << 8 | id->bytes[i];
    }
    return index;
}

void *sim_producer_new(struct sim_ledger *ledger, int jobs)
{
    struct producer *producer = calloc(1, sizeof(*producer));
    assert(producer != NULL);
    *producer = (struct producer){.ledger = ledger, .left = jobs};
    return producer;
}

void sim_producer_free(void *context)
{
    free(context);
}

bool sim_producer_is_done(const struct sim_node *node)
{
    const struct producer *producer = node->context;
    return node->core != NULL && producer->left == 0 && producer->unanswered == 0;
}

const char *sim_kind_name(enum sim_job_kind kind)
{
    static const char *const names[SIM_KINDS] = {"ok",     "flaky",   "bad",      "hanging",
                                                 "poison", "delayed", "expiring", "limited"};
    return names[kind];
}

struct leat_str sim_queue_name(int queue)
{
    static const char *const names[SIM_QUEUES] = {"default", "mail", "images"};
    return leat_str_of(names[queue]);
}

struct sim_job *sim_job_of(struct sim_ledger *ledger, const struct leat_id *id)
{
    size_t index = sim_job_index(id);
    assert(index < ledger->count);
    return &ledger->jobs[index];
}

static size_t add_job(struct sim_node *node, enum sim_job_kind kind)
{
    struct producer *producer = node->context;
    struct sim_ledger *ledger = producer->ledger;
    if (ledger->count == ledger->capacity) {
        ledger->capacity = ledger->capacity == 0 ? 128 : ledger->capacity * 2;
        ledger->jobs = realloc(ledger->jobs, ledger->capacity * sizeof(*ledger->jobs));
        assert(ledger->jobs != NULL);
    }
    /* What people mean, whatever the clocks say. */
    int64_t wall_ms = (SIM_WALL_US + node->world->now_us) / 1000;
    uint64_t chance = leat_rng_next(&node->world->rng);
    ledger->jobs[ledger->count] = (struct sim_job){
        .kind = kind,
        .producer = node->index,
        .queue = (int)(chance % (uint64_t)ledger->settings.queues),
        .not_before_ms = kind == SIM_DELAYED ? wall_ms + 2000 : 0,
        .expires_at_ms = kind == SIM_EXPIRING ? wall_ms + 100 + (int64_t)(chance / 64 % 4000) : 0,
    };
    return ledger->count++;
}

static enum sim_job_kind choose_kind(struct leat_rng *rng, uint64_t kinds)
{
    for (;;) {
        uint64_t dice = leat_rng_below(rng, 100);
        enum sim_job_kind kind = dice < 55   ? SIM_OK
                                 : dice < 67 ? SIM_FLAKY
                                 : dice < 72 ? SIM_BAD
                                 : dice < 78 ? SIM_HANGING
                                 : dice < 80 ? SIM_POISON
                                 : dice < 87 ? SIM_DELAYED
                                 : dice < 94 ? SIM_EXPIRING
                                             : SIM_LIMITED;
        if (kinds == 0 || (kinds >> kind & 1) != 0) {
            return kind;
        }
    }
}

static void offer(struct sim_node *node, size_t index)
{
    struct producer *producer = node->context;
    const struct sim_job *what = &producer->ledger->jobs[index];
    struct leat_item_body body = {
        .payload = leat_bytes_of("x", 1),
        .timeout_ms = 1000,
        .attempts_max = what->kind == SIM_HANGING ? 2 : 50,
        .backoff_base_ms = 50,
        .backoff_factor_milli = 2000,
        .backoff_cap_ms = 500,
        .backoff_jitter = producer->ledger->settings.run_us == 0,
    };
    struct leat_wire_buffer buffer = {0};
    enum leat_err err = leat_wire_encode_item_body(&body, &buffer);
    assert(err == LEAT_OK);
    struct leat_item_submission job = {
        .id = sim_job_id(index),
        .queue = sim_queue_name(what->queue),
        .type = leat_str_of(sim_kind_name(what->kind)),
        .not_before_ms = what->not_before_ms,
        .expires_at_ms = what->expires_at_ms,
        .body = leat_wire_buffer_view(&buffer),
    };
    struct leat_id id;
    err = leat_submitter_offer(node->core, &job, sim_node_now(node), &id);
    assert(err == LEAT_OK);
    leat_wire_buffer_fini(&buffer);
    producer->unanswered++;
}

size_t sim_producer_submit(struct sim_node *node, enum sim_job_kind kind)
{
    size_t index = add_job(node, kind);
    offer(node, index);
    struct leat_event tick = {.kind = LEAT_EVENT_TICK};
    sim_event(node, &tick);
    return index;
}

/* As a producer does that does not know how far its earlier life came: the same jobs, the same
 * ids. */
static void offer_again(struct sim_node *node)
{
    struct producer *producer = node->context;
    for (size_t i = 0; i < producer->ledger->count; i++) {
        if (producer->ledger->jobs[i].producer == node->index) {
            offer(node, i);
        }
    }
}

static void produce(struct sim_world *world, struct sim_node *node, uint64_t argument)
{
    struct producer *producer = node->context;
    if (argument == 0 && producer->ledger->settings.resubmits) {
        offer_again(node);
    }
    uint64_t burst = 1 + leat_rng_below(&world->rng, 12);
    while (burst-- > 0 && producer->left > 0) {
        offer(node, add_job(node, choose_kind(&world->rng, producer->ledger->settings.kinds)));
        producer->left--;
    }
    struct leat_event tick = {.kind = LEAT_EVENT_TICK};
    sim_event(node, &tick);
    if (producer->left > 0) {
        sim_at(world, world->now_us + (int64_t)leat_rng_below(&world->rng, 600000), node, produce,
               argument + 1);
    }
}

static void on_answer(const struct leat_id *id, bool accepted, void *context)
{
    struct sim_node *node = context;
    struct producer *producer = node->context;
    producer->unanswered--;
    if (accepted) {
        sim_job_of(producer->ledger, id)->acknowledged = true;
    } else {
        sim_break(producer->ledger, "a valid job was rejected", "job %zu", sim_job_index(id));
    }
}

static void *producer_boot(struct sim_node *node, struct leat_out *out)
{
    (void)out;
    struct producer *producer = node->context;
    producer->unanswered = 0;
    struct leat_submitter_config config = leat_submitter_defaults(leat_rng_next(&node->world->rng));
    size_t most = producer->ledger->settings.batch_jobs_max;
    config.batch_jobs = 1 + (size_t)leat_rng_below(&node->world->rng, most);
    struct leat_submitter *submitter = leat_submitter_new(&config);
    assert(submitter != NULL);
    leat_submitter_observe(submitter, on_answer, node);
    node->core = submitter; /* produce needs it in this very life */
    sim_at(node->world, node->world->now_us, node, produce, 0);
    return submitter;
}

static void producer_step(void *core, const struct leat_event *event, struct leat_out *out)
{
    leat_submitter_step(core, event, out);
}

static int64_t producer_deadline_us(const void *core)
{
    return leat_submitter_deadline_us(core);
}

static void producer_check(const void *core)
{
    leat_submitter_check(core);
}

static void producer_destroy(void *core)
{
    struct leat_submitter *submitter = core;
    leat_submitter_destroy(&submitter);
}

const struct sim_role sim_role_producer = {
    .name = "producer",
    .step = producer_step,
    .deadline_us = producer_deadline_us,
    .check = producer_check,
    .boot = producer_boot,
    .destroy = producer_destroy,
};
