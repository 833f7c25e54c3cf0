/* The store of store/lmdb.h with a journal before it: a batch is durable when it is in the journal,
 * after one flush of one run of bytes, and reaches LMDB later, together with many others.
 *
 *   put, del ──▶ upper overlay, and the journal's buffer
 *   seal     ──▶ the buffer is written and flushed                          batch durable
 *   now and then the upper overlay becomes the lower one and is committed to LMDB as one batch;
 *   then the journal's file is free again                                   batch applied
 *
 * What was added and deleted (leat_store_add) between two such commits never reaches LMDB. Reads
 * see upper over lower over LMDB, so that nobody can tell. LMDB is behind by LEAT_JOURNAL_AGE_MS at
 * most while nothing is wrong: that is what a copy of data.mdb is behind. After a crash the journal
 * is read, and LMDB has everything before the open returns.
 *
 * Room, failure and threads are as in store/lmdb.h; one more thread writes the journal. */
#ifndef LEAT_STORE_JOURNALED_H
#define LEAT_STORE_JOURNALED_H

#include "store/lmdb.h"

#define LEAT_JOURNAL_AGE_MS 1000 /* unless an option says otherwise */
/* Applied when so much waits: a share of what is free on the disk and in the store, within bounds,
 * of which the upper one is an option (struct leat_store_options). */
#define LEAT_JOURNAL_BYTES_DEFAULT (32U << 20)
#define LEAT_JOURNAL_BYTES_MIN     (1U << 20)
#define LEAT_JOURNAL_FREE_SHARE    32

/* As leat_store_open_lmdb, in the same directory. A store that was made without a journal gets one.
 * Errors as there, and:
 *   LEAT_ERR_CORRUPT   a file of the journal is missing, damaged or another store's */
LEAT_MUST_USE enum leat_err leat_store_open_journaled(const char *path,
                                                      const struct leat_store_options *options,
                                                      struct leat_store **ret_store,
                                                      struct leat_why *why);

#endif
