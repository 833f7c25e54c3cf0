/* What the files of the typed store share; nobody else includes this.
 *
 *   record.c   keys and records       store.c       meta, lanes, queues, producers, settled ids
 *   store_jobs.c  jobs and bodies     store_due.c   what has a time, results to report
 *   store_examine.c  --check-store    store_mend.c  a damaged id in a key
 */
#ifndef LEAT_VENTILATOR_STORE_INSIDE_H
#define LEAT_VENTILATOR_STORE_INSIDE_H

#include "broker/ventilator/recent.h"
#include "broker/ventilator/record.h"

/* For the lists of one record while it is looked at. */
#define LEAT_VENTILATOR_SCRATCH_BYTES (1 << 20)

/* Ids in each of the two filters of recent.h, 2 bytes for each: what comes in within seconds when
 * much comes in. */
#define LEAT_VENTILATOR_RECENT_IDS (1 << 19)

struct leat_ventilator_store {
    struct leat_store *store; /* borrowed */
    struct leat_wire_buffer buffer;
    struct leat_arena scratch;
    struct leat_recent recent; /* ids in IDS */
    /* Where the first row of a table can be at the earliest. The rows before it were deleted
     * lately, and the store would have to step over each of them again to find the first. */
    struct leat_ventilator_key floors[LEAT_VENTILATOR_TABLES];
};

/* The greatest number that the first `bytes` of a key of the table are, among keys of key_bytes.
 * LEAT_ERR_NOT_FOUND: there is none. Looks at as many rows as the number has bits: the store is
 * read forwards only. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_last(struct leat_ventilator_store *store,
                                                       leat_table table, size_t key_bytes,
                                                       size_t bytes, uint64_t *ret_number);
/* Puts what the buffer holds; or adds it, where nothing can be. */
void leat_ventilator_store_put(struct leat_ventilator_store *store, leat_table table,
                               struct leat_bytes key);
void leat_ventilator_store_add_row(struct leat_ventilator_store *store, leat_table table,
                                   struct leat_bytes key);
void leat_ventilator_store_lower_floor(struct leat_ventilator_store *store, leat_table table,
                                       const struct leat_ventilator_key *key);
void leat_ventilator_store_put_place(struct leat_ventilator_store *store, const struct leat_id *id,
                                     const struct leat_ventilator_place *place, bool is_new);
void leat_ventilator_store_put_expiry(struct leat_ventilator_store *store, const struct leat_id *id,
                                      int64_t expires_at_ms);
/* Small records cannot fail but for memory, and then the process cannot go on. */
void leat_ventilator_store_must(enum leat_err err);
/* The sealed body from BODIES, borrowed until the next call on the store underneath. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_large_body(struct leat_ventilator_store *store,
                                                             const struct leat_id *id,
                                                             struct leat_bytes *ret_body);

static inline struct leat_record_place leat_ventilator_at(leat_table table, struct leat_bytes key)
{
    return (struct leat_record_place){table, key};
}

static inline struct leat_bytes leat_ventilator_id_key(const struct leat_id *id)
{
    return leat_bytes_of(id->bytes, LEAT_ID_BYTES);
}

static inline bool leat_ventilator_same_place(const struct leat_ventilator_place *a,
                                              const struct leat_ventilator_place *b)
{
    return a->where == b->where && a->lane == b->lane && a->seq == b->seq && a->due_ms == b->due_ms;
}

#endif
