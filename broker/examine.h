/* Looking at the whole of a broker's store for --check-store: what both typed stores need for it.
 * Nothing is changed; whoever examines may go on after what is wrong, and says all of it. */
#ifndef LEAT_BROKER_EXAMINE_H
#define LEAT_BROKER_EXAMINE_H

#include "core/err.h"
#include "core/view.h"
#include "store/store.h"

struct leat_examination {
    leat_store_found_fn *found;
    void *context;
    const char *const *tables; /* their names */
    uint64_t rows;             /* looked at */
    uint64_t wrong;            /* things that were told */
    bool is_stopped;           /* enough was told */
};

/* Tells one thing. Whether more is wanted. */
bool leat_examine_say(struct leat_examination *examination, const char *format, ...)
    LEAT_PRINTF(2, 3);
/* Counts a row, and tells when it is not as it was sealed for its place. Keys of `id_at` + 16 bytes
 * end with the id of a job; 0: begin with it; -1: no id. Whether it is intact. */
bool leat_examine_row(struct leat_examination *examination, leat_table table, struct leat_bytes key,
                      struct leat_bytes value, int id_at);

#endif
