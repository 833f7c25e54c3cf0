#include "worker/spawner/plan.h"

#include <stdlib.h>

#include "core/instant.h"
#include "worker/spawner/bodies.h"

/* More than this is not sent ahead to one child, whatever its depth. */
#define AHEAD_BYTES (256u << 10)
/* Nor more than end in this time at the pace of the last ones; what has gone is taken back when it
 * would take twice as long, so that one that wavers takes next to nothing back. */
#define AHEAD_US ((uint64_t)LEAT_US_PER_S / 2)
/* The pace is a running mean of so many. */
#define PACES 8

enum leat_err leat_plan_init(struct leat_plan *plan, size_t slots, size_t depth_max)
{
    *plan = (struct leat_plan){.slots_count = slots, .depth_max = depth_max};
    plan->slots = calloc(slots, sizeof *plan->slots);
    if (plan->slots == NULL) {
        return LEAT_ERR_MEMORY;
    }
    leat_list_init(&plan->waiting);
    for (size_t i = 0; i < slots; i++) {
        leat_list_init(&plan->slots[i].flight);
        plan->slots[i].depth = 1;
    }
    return LEAT_OK;
}

void leat_plan_fini(struct leat_plan *plan)
{
    free(plan->slots);
    plan->slots = NULL;
    plan->slots_count = 0;
}

struct leat_attempt *leat_plan_add(struct leat_plan *plan, const struct leat_item_attempt *run,
                                   size_t order_bytes, enum leat_spawner_kind kind, int64_t now_us)
{
    struct leat_attempt *attempt = malloc(sizeof *attempt + order_bytes);
    if (attempt == NULL) {
        return NULL;
    }
    *attempt = (struct leat_attempt){
        .number = ++plan->last_number,
        .id = run->id,
        .delivery = run->delivery,
        .kind = kind,
        .timeout_ms = run->timeout_ms,
        .received_us = now_us,
        .order_bytes = order_bytes,
    };
    plan->held_bytes += order_bytes;
    leat_list_push_back(&plan->waiting, &attempt->node);
    return attempt;
}

static bool may_follow(const struct leat_plan_slot *slot, const struct leat_attempt *attempt)
{
    return !slot->closed && slot->flight.count < slot->depth &&
           slot->bytes + attempt->order_bytes <= AHEAD_BYTES && slot->kind == attempt->kind;
}

/* An empty slot, a warm one if it is for a plug-in; else the shortest flight that it may join. */
static struct leat_plan_slot *choose(const struct leat_plan *plan,
                                     const struct leat_attempt *attempt)
{
    const bool plugin = attempt->kind == LEAT_SPAWNER_PLUGIN;
    struct leat_plan_slot *empty = NULL;
    struct leat_plan_slot *shortest = NULL;
    for (size_t i = 0; i < plan->slots_count; i++) {
        struct leat_plan_slot *slot = &plan->slots[i];
        if (leat_list_is_empty(&slot->flight)) {
            if (!slot->closed &&
                (empty == NULL || (slot->warm == plugin && empty->warm != plugin))) {
                empty = slot;
            }
        } else if (may_follow(slot, attempt) &&
                   (shortest == NULL || slot->flight.count < shortest->flight.count)) {
            shortest = slot;
        }
    }
    return empty != NULL ? empty : shortest;
}

struct leat_attempt *leat_plan_next(struct leat_plan *plan, size_t *ret_slot)
{
    struct leat_list_node *first = leat_list_first(&plan->waiting);
    if (first == NULL) {
        return NULL;
    }
    struct leat_attempt *attempt = leat_attempt_of(first);
    struct leat_plan_slot *slot = choose(plan, attempt);
    if (slot == NULL) {
        return NULL;
    }
    if (slot->kind != attempt->kind) {
        slot->kind = attempt->kind;
        slot->depth = 1;
        slot->paces_us = 0;
    }
    leat_list_remove(&plan->waiting, first);
    leat_list_push_back(&slot->flight, first);
    slot->bytes += attempt->order_bytes;
    *ret_slot = (size_t)(slot - plan->slots);
    return attempt;
}

size_t leat_plan_crowded(const struct leat_plan *plan)
{
    size_t longest = LEAT_PLAN_NONE;
    size_t most = 1;
    bool idle = false;
    for (size_t i = 0; i < plan->slots_count; i++) {
        const struct leat_plan_slot *slot = &plan->slots[i];
        idle |= slot->flight.count == 0 && !slot->closed;
        if (slot->flight.count > most && slot->kind == LEAT_SPAWNER_EXEC) {
            longest = i;
            most = slot->flight.count;
        }
    }
    return idle && plan->waiting.count == 0 ? longest : LEAT_PLAN_NONE;
}

struct leat_attempt *leat_plan_head(const struct leat_plan *plan, size_t slot)
{
    struct leat_list_node *first = leat_list_first(&plan->slots[slot].flight);
    return first == NULL ? NULL : leat_attempt_of(first);
}

static uint64_t pace_us(const struct leat_plan_slot *slot)
{
    return slot->paces_us / PACES;
}

void leat_plan_note_quick(struct leat_plan *plan, size_t slot, uint64_t run_us)
{
    struct leat_plan_slot *it = &plan->slots[slot];
    size_t most = plan->depth_max;
    if (it->kind == LEAT_SPAWNER_EXEC && most > LEAT_PIPELINE_COMMANDS) {
        most = LEAT_PIPELINE_COMMANDS;
    }
    it->paces_us = it->paces_us - pace_us(it) + run_us;
    if (most * pace_us(it) > AHEAD_US) {
        most = (size_t)(AHEAD_US / pace_us(it));
    }
    it->depth = it->depth > most / 2 ? most : it->depth * 2;
}

void leat_plan_note_slow(struct leat_plan *plan, size_t slot)
{
    plan->slots[slot].depth = 1;
}

bool leat_plan_is_too_long(const struct leat_plan *plan, size_t slot)
{
    const struct leat_plan_slot *it = &plan->slots[slot];
    return it->flight.count * pace_us(it) > 2 * AHEAD_US;
}

void leat_plan_give_back(struct leat_plan *plan, size_t slot, size_t keep)
{
    struct leat_plan_slot *from = &plan->slots[slot];
    struct leat_list_node *const end = &plan->waiting.ring;
    struct leat_list_node *place = end->next;
    uint64_t last_number = 0;
    struct leat_list_node *node;
    struct leat_list_node *after;
    LEAT_LIST_FOR_EACH(&from->flight, node, after)
    {
        if (keep > 0) {
            keep--;
            continue;
        }
        struct leat_attempt *attempt = leat_attempt_of(node);
        leat_list_remove(&from->flight, node);
        from->bytes -= attempt->order_bytes;
        attempt->seq = 0;
        if (attempt->number < last_number) { /* it had come back before, from another slot */
            place = end->next;
        }
        last_number = attempt->number;
        while (place != end && leat_attempt_of(place)->number < attempt->number) {
            place = place->next;
        }
        leat_list_insert_before(&plan->waiting, place, node);
    }
}

void leat_plan_drop(struct leat_plan *plan, size_t slot, struct leat_attempt *attempt)
{
    if (slot == LEAT_PLAN_WAITING) {
        leat_list_remove(&plan->waiting, &attempt->node);
    } else {
        leat_list_remove(&plan->slots[slot].flight, &attempt->node);
        plan->slots[slot].bytes -= attempt->order_bytes;
    }
    plan->held_bytes -= attempt->order_bytes;
    if (attempt->body != NULL) {
        leat_bodies_done(attempt->body);
    }
    free(attempt);
}
