/* The store of store.h in memory: for tests and the simulated cluster. It behaves as a disk that
 * the test holds in its hand: a commit ends when the test says so, well or badly; a crash loses
 * what was not on the disk.
 *
 *      leat_store_seal(s);              the batch is on its way
 *      leat_store_memory_complete(s);   it is on the disk, though the broker does not know yet
 *      leat_store_advance(s, &why);     the broker knows: leat_store_durable() moves
 *
 * leat_store_sync() completes by itself and never blocks. leat_store_fd() is -1. Pure: no clock, no
 * files, no threads. An empty store costs some kilobytes, so a simulation may hold thousands.
 */
#ifndef LEAT_STORE_MEMORY_H
#define LEAT_STORE_MEMORY_H

#include "store/store.h"

/* An empty store with room without bound. Close with leat_store_close, which drops everything. */
struct leat_store *leat_store_open_memory(void);

/* leat_store_add no longer looks whether the key is there, as with a real store: for measuring. */
void leat_store_memory_trust_adds(struct leat_store *store);

/* The batch on its way reaches the disk. Does nothing when none is on its way, so that a simulation
 * may call it for every store whose disk has had time. */
void leat_store_memory_complete(struct leat_store *store);

/* From now on what is sealed with leat_store_seal_here reaches the disk within that call, or not.
 */
void leat_store_memory_be_quick(struct leat_store *store, bool is_quick);

/* The commit on its way ends badly: the next leat_store_advance says LEAT_ERR_IO, and so does every
 * call after it, as after a failed fsync. Only leat_store_memory_crash makes the store usable
 * again. Without a batch on its way, the next one to be sealed fails. */
void leat_store_memory_fail(struct leat_store *store);

/* What a fault did to the batch that was on its way, failed ones included. */
enum leat_store_fate {
    LEAT_STORE_LOST = 0, /* it never reached the disk */
    LEAT_STORE_KEPT = 1, /* it did, but nobody was told */
};

/* The process dies and the store is opened again: the batch that was filling is lost, the one on
 * its way is lost or kept as a whole. Numbers start anew (filling 1, durable 0), as after a real
 * restart; room and failures are forgotten, the limit stays. */
void leat_store_memory_crash(struct leat_store *store, enum leat_store_fate fate);

/* Another store with what is on the disk of this one now, as a backup would have it. To be closed
 * like any other. */
struct leat_store *leat_store_memory_copy(struct leat_store *store);

/* From now on leat_store_has_room says false when fewer than LEAT_STORE_RESERVE_BYTES would be left
 * of `max_bytes`; learned at each commit that ends, as with the real store. 0: no bound. */
void leat_store_memory_limit(struct leat_store *store, uint64_t max_bytes);

/* Says at once that the disk is full, or that it no longer is, whatever the limit. Commits go on:
 * they have the reserve. */
void leat_store_memory_set_full(struct leat_store *store, bool full);

#endif
