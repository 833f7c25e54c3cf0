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

static size_t add_job(struct sim_ledger *ledger, enum sim_job_kind kind)
{
    if (ledger->count == ledger->capacity) {
        ledger->capacity = ledger->capacity == 0 ? 128 : ledger->capacity * 2;
        ledger->jobs = realloc(ledger->jobs, ledger->capacity * sizeof(*ledger->jobs));
        assert(ledger->jobs != NULL);
    }
    ledger->jobs[ledger->count] = (struct sim_job){.kind = kind};
    return ledger->count++;
}

static enum sim_job_kind choose_kind(struct leat_rng *rng)
{
    uint64_t dice = leat_rng_below(rng, 100);
    return dice < 70   ? SIM_OK
           : dice < 80 ? SIM_FLAKY
           : dice < 85 ? SIM_BAD
           : dice < 90 ? SIM_HANGING
           : dice < 92 ? SIM_POISON
                       : SIM_DELAYED;
}

static void offer_one(struct sim_node *node)
{
    static const char *const types[] = {"ok", "flaky", "bad", "hanging", "poison", "delayed"};
    struct producer *producer = node->context;
    struct sim_world *world = node->world;
    enum sim_job_kind kind = choose_kind(&world->rng);
    size_t index = add_job(producer->ledger, kind);
    struct leat_item_body body = {
        .payload = leat_bytes_of("x", 1),
        .timeout_ms = 1000,
        .attempts_max = kind == SIM_HANGING ? 2 : 50,
        .backoff_base_ms = 50,
        .backoff_factor_milli = 2000,
        .backoff_cap_ms = 500,
        .backoff_jitter = true,
    };
    struct leat_wire_buffer buffer = {0};
    enum leat_err err = leat_wire_encode_item_body(&body, &buffer);
    assert(err == LEAT_OK);
    struct leat_now now = sim_node_now(node);
    struct leat_item_submission job = {
        .id = sim_job_id(index),
        .queue = leat_str_of("default"),
        .type = leat_str_of(types[kind]),
        .not_before_ms = kind == SIM_DELAYED ? now.wall.us / 1000 + 2000 : 0,
        .body = leat_wire_buffer_view(&buffer),
    };
    struct leat_id id;
    err = leat_submitter_offer(node->core, &job, now, &id);
    assert(err == LEAT_OK);
    leat_wire_buffer_fini(&buffer);
    producer->left--;
    producer->unanswered++;
}

static void produce(struct sim_world *world, struct sim_node *node, uint64_t argument)
{
    struct producer *producer = node->context;
    uint64_t burst = 1 + leat_rng_below(&world->rng, 12);
    while (burst-- > 0 && producer->left > 0) {
        offer_one(node);
    }
    struct leat_event tick = {.kind = LEAT_EVENT_TICK};
    sim_event(node, &tick);
    if (producer->left > 0) {
        sim_at(world, world->now_us + (int64_t)leat_rng_below(&world->rng, 600000), node, produce,
               argument);
    }
}

static void on_answer(const struct leat_id *id, bool accepted, void *context)
{
    struct sim_node *node = context;
    struct producer *producer = node->context;
    struct sim_ledger *ledger = producer->ledger;
    producer->unanswered--;
    if (accepted) {
        ledger->jobs[sim_job_index(id)].acknowledged = true;
    } else if (ledger->broken == NULL) {
        ledger->broken = "a valid job was rejected";
    }
}

static void *producer_boot(struct sim_node *node, struct leat_out *out)
{
    (void)out;
    struct producer *producer = node->context;
    producer->unanswered = 0;
    struct leat_submitter_config config = leat_submitter_defaults(leat_rng_next(&node->world->rng));
    config.batch_jobs = 1 + (size_t)leat_rng_below(&node->world->rng, 8);
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
