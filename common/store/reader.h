/* A read-only view of what is durable in a store, for one thread beside the owner's (the sink's
 * metrics actor). It never waits for a commit nor for the disk's flushes, and never sees writes
 * that are not durable. With a journal (store/journaled.h) it reads what LMDB does not have yet
 * from the journal's files, and holds that in memory, as the owner does, until its next call after
 * LMDB has it.
 *
 * Each call reads one snapshot and lets go of it before it returns: a snapshot that is held keeps
 * LMDB from using freed pages again. Two calls may therefore see different states.
 *
 * Not for stores from leat_store_open_memory. Open and close it while the store is open; any thread
 * may do so. One reader is used by one thread at a time; several readers are independent of each
 * other.
 */
#ifndef LEAT_STORE_READER_H
#define LEAT_STORE_READER_H

#include "store/store.h"

struct leat_store_reader;

/* LEAT_OK or LEAT_ERR_IO (out of reader slots, of which LMDB has 126; no journal to be read). */
LEAT_MUST_USE enum leat_err leat_store_reader_open(struct leat_store *store,
                                                   struct leat_store_reader **ret_reader,
                                                   struct leat_why *why);
/* Before leat_store_close of its store. Accepts NULL. */
void leat_store_reader_close(struct leat_store_reader **reader);

/* LEAT_OK, LEAT_ERR_NOT_FOUND, LEAT_ERR_MEMORY or LEAT_ERR_IO. The value is a copy that the reader
 * owns, valid until its next call. */
LEAT_MUST_USE enum leat_err leat_store_reader_get(struct leat_store_reader *reader,
                                                  leat_table table, struct leat_bytes key,
                                                  struct leat_bytes *ret_value);

/* As leat_store_scan, within one snapshot; let `visit` return false after some thousand entries and
 * come back with the next key. Key and value are borrowed for the visit. LEAT_OK or LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_store_reader_scan(struct leat_store_reader *reader,
                                                   leat_table table, struct leat_bytes from,
                                                   leat_store_visit_fn *visit, void *context);

/* Durable entries in a table; cheap without a journal. LEAT_OK or LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_store_reader_count(struct leat_store_reader *reader,
                                                    leat_table table, uint64_t *ret_count);

#endif
