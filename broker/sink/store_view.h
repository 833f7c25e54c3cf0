/* The metrics actor's view of the sink's tables: over store/reader.h in the real process, over a
 * memory store in tests. Both calls have the meaning of leat_store_reader_get and _scan. */
#ifndef LEAT_SINK_STORE_VIEW_H
#define LEAT_SINK_STORE_VIEW_H

#include "store/store.h"

struct leat_sink_view {
    void *context;
    enum leat_err (*get)(void *context, leat_table table, struct leat_bytes key,
                         struct leat_bytes *ret_value);
    enum leat_err (*scan)(void *context, leat_table table, struct leat_bytes from,
                          leat_store_visit_fn *visit, void *visit_context);
};

#endif
