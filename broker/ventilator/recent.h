/* Which ids were stored lately: enough to say of nearly every new job, without a look into the
 * store, that its id was never seen.
 *
 * Ids of jobs begin with the time at which they were made (UUIDv7), in ms. Every stored id of time
 * `from_ms` or later is in one of two filters, so one that is that late and in neither is not
 * stored. What is earlier, or seems to be in a filter, must be looked up: a filter may take an id
 * for another, never the other way round. When a filter is full the older one is emptied, and
 * from_ms moves behind the latest id that was in it.
 *
 * So the answer is right whatever times the ids have. A producer whose clock is ahead makes others
 * be looked up until from_ms is behind them; one whose clock is behind is looked up itself.
 *
 * A filter is a Bloom filter in pieces of one cache line each: Putze, Sanders, Singler, "Cache-,
 * hash- and space-efficient Bloom filters" (2007). Caller's storage. */
#ifndef LEAT_VENTILATOR_RECENT_H
#define LEAT_VENTILATOR_RECENT_H

#include "core/id.h"

#define LEAT_RECENT_LINE_WORDS 8 /* of 64 bits: a cache line */

struct leat_recent_filter {
    uint64_t (*lines)[LEAT_RECENT_LINE_WORDS]; /* owned, each a cache line; NULL: empty */
    size_t count;
    uint64_t last_ms; /* the latest time among its ids */
};

struct leat_recent {
    uint64_t from_ms;
    size_t ids_max; /* in one filter */
    struct leat_recent_filter filters[2];
    unsigned filling;
};

/* No stored id is of time from_ms or later. ids_max: a power of two, at least 32. */
void leat_recent_init(struct leat_recent *recent, size_t ids_max, uint64_t from_ms);
void leat_recent_fini(struct leat_recent *recent);
/* The id is stored from now on. */
void leat_recent_add(struct leat_recent *recent, const struct leat_id *id);
/* The id will be asked for soon. */
void leat_recent_prefetch(const struct leat_recent *recent, const struct leat_id *id);
/* False: the id is not stored. */
bool leat_recent_may_have(const struct leat_recent *recent, const struct leat_id *id);

#endif
