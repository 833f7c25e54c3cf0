#include <assert.h>
#include <stdlib.h>

#include "broker/examine.h"
#include "broker/ventilator/ventilator.h"
#include "tests/simulation/roles.h"

struct ventilator {
    struct sim_ledger *ledger;
    struct leat_ventilator *ventilator;
    struct leat_ventilator_store *store;
    unsigned steps;
};

uint64_t sim_ventilator_jobs(const struct sim_node *node)
{
    const struct ventilator *v = node->core;
    return leat_ventilator_counts(v->ventilator).jobs;
}

struct leat_ventilator_counts sim_ventilator_counts(const struct sim_node *node)
{
    const struct ventilator *v = node->core;
    return leat_ventilator_counts(v->ventilator);
}

bool sim_ventilator_holds(const struct sim_node *node, const struct leat_id *id, uint64_t delivery,
                          const struct leat_id *session)
{
    const struct ventilator *v = node->core;
    return leat_ventilator_holds_lease(v->ventilator, id, delivery, session);
}

static void ventilator_step(void *core, const struct leat_event *event, struct leat_out *out)
{
    struct ventilator *v = core;
    leat_ventilator_step(v->ventilator, event, out);
    if (++v->steps % v->ledger->settings.check_every == 0) {
        struct leat_why why;
        if (leat_ventilator_check(v->ventilator, &why) != LEAT_OK) {
            sim_break(v->ledger, "an invariant of the ventilator", "%s", why.text);
        }
    }
}

static int64_t ventilator_deadline_us(const void *core)
{
    return leat_ventilator_deadline_us(((const struct ventilator *)core)->ventilator);
}

static void ventilator_check(const void *core)
{
    (void)core; /* in ventilator_step, every now and then */
}

static void *ventilator_boot(struct sim_node *node, struct leat_out *out)
{
    struct ventilator *v = calloc(1, sizeof(*v));
    assert(v != NULL);
    struct leat_ventilator_config config;
    leat_ventilator_config_init(&config);
    v->ledger = node->context;
    config.batch_items_max = v->ledger->settings.push_items_max;
    config.audit_ms = v->ledger->settings.audit_ms;
    config.filling_bytes_max = v->ledger->settings.filling_bytes_max;
    if (v->ledger->settings.bytes_max > 0) {
        config.payload_bytes_max = 16;
        config.bytes_max = v->ledger->settings.bytes_max;
    }
    if (v->ledger->settings.dedupe_max > 0) {
        config.dedupe_max = v->ledger->settings.dedupe_max;
    }
    config.seed = leat_rng_next(&node->world->rng);
    for (size_t i = 0; i < LEAT_ID_BYTES; i++) {
        config.sender.bytes[i] = (uint8_t)leat_rng_below(&node->world->rng, 256);
    }
    v->store = leat_ventilator_store_new(node->store);
    v->ventilator = leat_ventilator_new(&config, v->store);
    struct leat_examination examination = {.found = sim_found_in_store, .context = v->ledger};
    enum leat_err err = leat_ventilator_store_examine(v->store, &examination);
    assert(err == LEAT_OK);
    struct leat_why why;
    err = leat_ventilator_recover(v->ventilator, sim_node_now(node), out, &why);
    assert(err == LEAT_OK);
    return v;
}

static void ventilator_destroy(void *core)
{
    struct ventilator *v = core;
    leat_ventilator_destroy(&v->ventilator);
    leat_ventilator_store_destroy(&v->store);
    free(v);
}

const struct sim_role sim_role_ventilator = {
    .name = "ventilator",
    .step = ventilator_step,
    .deadline_us = ventilator_deadline_us,
    .check = ventilator_check,
    .boot = ventilator_boot,
    .destroy = ventilator_destroy,
};
