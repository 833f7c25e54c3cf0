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
    /* Where the first row can be at the earliest; [1] AGE, [0] FAILURES. The rows before it were
     * deleted lately, and the store would have to step over each of them again to find the first.
     */
    struct leat_sink_age_key floor[2];
};

void leat_sink_store_put_settle(struct leat_sink_store *store, const struct leat_id *id,
                                uint64_t number);

#endif
