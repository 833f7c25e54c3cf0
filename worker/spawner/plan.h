/* Which attempt goes to which slot. Pure: no processes, no clock.
 *
 * Attempts wait in one list, first come, first served. Attempts of one kind may follow each other
 * into one slot, up to the slot's depth, so that its process never waits for the spawner; but an
 * empty slot comes first. The depth doubles with each attempt that was quick, as long as all would
 * end in half a second at the pace of the last ones, and falls to 1 with one that is slow, or of
 * the other kind: what would stand behind a slow attempt waits here instead, for whichever slot is
 * free first; what comes back to the list goes to its old place, so that it is in the order in
 * which all have come. The first of the list is never passed by another, so commands cannot be
 * starved by plug-ins, nor the other way round. */
#ifndef LEAT_WORKER_SPAWNER_PLAN_H
#define LEAT_WORKER_SPAWNER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/list.h"
#include "core/messages.h"
#include "worker/spawner/spawner.h"

/* One RUN. In exactly one list: waiting, or the flight of one slot. */
struct leat_attempt {
    struct leat_list_node node;
    uint64_t number; /* 1, 2, 3... as they came */
    struct leat_id id;
    uint64_t delivery;
    enum leat_spawner_kind kind;
    uint64_t timeout_ms;
    int64_t received_us;
    uint64_t seq;            /* in its slot process; 0: in none */
    enum leat_failure cause; /* TIMEOUT or KILLED: it is being ended for this */
    _Atomic uint32_t *body; /* where its payload lies apart (bodies.h), set when it is gone; NULL */
    size_t order_bytes;
    uint8_t order[]; /* what the slot process gets (slot_bytes.h) */
};

struct leat_plan_slot {
    struct leat_list flight;     /* given to the slot, in order; the first is the one that runs */
    size_t bytes;                /* of the orders in flight */
    enum leat_spawner_kind kind; /* of the flight, or of the last one */
    size_t depth;                /* attempts that may be in flight, 1 to the most for the kind */
    uint64_t paces_us;           /* of PACES attempts, by the last quick ones */
    bool closed;                 /* takes nothing for now */
    bool warm;                   /* has a plug-in child, so is the better one for plug-ins */
};

struct leat_plan {
    struct leat_plan_slot *slots; /* owned */
    size_t slots_count;
    size_t depth_max; /* for plug-ins; for commands LEAT_PIPELINE_COMMANDS, if that is less */
    struct leat_list waiting; /* in the order of their numbers */
    uint64_t last_number;
    size_t held_bytes; /* orders of all attempts */
};

/* Caller's storage. LEAT_ERR_MEMORY. */
LEAT_MUST_USE enum leat_err leat_plan_init(struct leat_plan *plan, size_t slots, size_t depth_max);
/* Attempts that are still in it are the caller's to free, before. */
void leat_plan_fini(struct leat_plan *plan);

/* Puts an attempt for the RUN at the end of the waiting ones; the caller fills its order in. NULL:
 * out of memory. */
struct leat_attempt *leat_plan_add(struct leat_plan *plan, const struct leat_item_attempt *run,
                                   size_t order_bytes, enum leat_spawner_kind kind, int64_t now_us);

/* Moves the first waiting attempt to a slot that can take it. NULL: none can. */
struct leat_attempt *leat_plan_next(struct leat_plan *plan, size_t *ret_slot);

/* When a slot is empty and nothing waits for it: the slot with most commands, of which some stand
 * behind others and are better given back. LEAT_PLAN_NONE: there is no such slot. What plug-ins
 * have ahead stays where it is: there is more of it, and it is sooner done. */
#define LEAT_PLAN_NONE SIZE_MAX
size_t leat_plan_crowded(const struct leat_plan *plan);

/* Which runs in the slot; NULL: none. */
struct leat_attempt *leat_plan_head(const struct leat_plan *plan, size_t slot);
/* The slot's depth after an attempt that was quick (run_us is far less than a second), or is slow.
 */
void leat_plan_note_quick(struct leat_plan *plan, size_t slot, uint64_t run_us);
void leat_plan_note_slow(struct leat_plan *plan, size_t slot);
/* Whether the flight has grown too long for the pace of the last quick attempts, so that some of it
 * is better given back. One that took longer among many that did not makes none. */
bool leat_plan_is_too_long(const struct leat_plan *plan, size_t slot);

/* All in flight but the first `keep` go back to their places among the waiting ones. */
void leat_plan_give_back(struct leat_plan *plan, size_t slot, size_t keep);

/* Takes an attempt out, from waiting (slot == LEAT_PLAN_WAITING) or a slot's flight, and frees it.
 */
#define LEAT_PLAN_WAITING SIZE_MAX
void leat_plan_drop(struct leat_plan *plan, size_t slot, struct leat_attempt *attempt);

static inline struct leat_attempt *leat_attempt_of(struct leat_list_node *node)
{
    return LEAT_CONTAINER_OF(node, struct leat_attempt, node);
}

#endif
