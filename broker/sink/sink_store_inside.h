/* What the files of the typed store share; nobody else includes this. */
#ifndef LEAT_SINK_SINK_STORE_INSIDE_H
#define LEAT_SINK_SINK_STORE_INSIDE_H

#include "broker/sink/sink_record.h"
#include "broker/sink/sink_store.h"
#include "wire/buffer.h"

struct leat_sink_store {
    struct leat_store *store; /* borrowed */
    struct leat_wire_buffer buffer;
    struct leat_arena scratch;
    /* Where the first row of FAILURES can be at the earliest. The rows before it were deleted
     * lately, and the store would have to step over each of them again to find the first. */
    struct leat_sink_age_key floor;
    /* The block that is being filled; its last entry has `block_last`. */
    struct leat_item_kept_entry block[LEAT_SINK_BLOCK_MAX];
    size_t block_count;
    uint64_t block_last;
    struct leat_wall block_stored;
};

/* Records of a few numbers cannot fail but for memory, and then the process cannot go on. */
void leat_sink_store_must(enum leat_err err);
/* Gives the number after the last one of the block to the job; a full block is closed first. */
void leat_sink_store_log(struct leat_sink_store *store, const struct leat_id *id,
                         enum leat_sink_entry kind, struct leat_wall stored, uint64_t number);
/* Writes the block whose last number is `last`. */
void leat_sink_store_put_block(struct leat_sink_store *store, uint64_t last,
                               struct leat_wall stored, struct leat_item_kept_entry *entries,
                               size_t count);
/* LEAT_ERR_CORRUPT: it cannot be read, or says that it holds numbers that cannot be. The entries
 * borrow until the next call on the typed store. */
LEAT_MUST_USE enum leat_err leat_sink_store_read_block(struct leat_sink_store *store,
                                                       struct leat_bytes key,
                                                       struct leat_bytes value,
                                                       struct leat_item_kept_block *ret_kept,
                                                       struct leat_sink_block *ret_block);

#endif
