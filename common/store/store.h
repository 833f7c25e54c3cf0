/* The store: what a broker must still know after a crash. A few ordered tables of byte keys and
 * byte values, changed in batches; the batch is the unit of durability.
 *
 * Writes go into the batch that is being filled. Reads see every write that was made before them,
 * committed or not. leat_store_seal() closes the batch and starts its way to the disk; meanwhile
 * the next batch fills (group commit: at most one batch is on its way). leat_store_durable() tells
 * up to which batch everything is on disk.
 *
 *      put put del   seal -> 1        put put      durable = 1   seal -> 2      durable = 2
 *      |-- batch 1 --|--- on its way to the disk ---|
 *                    |-------- batch 2 fills ---------------------|---- ...
 *
 * Three implementations: leat_store_open_lmdb (one commit thread of its own),
 * leat_store_open_journaled (a journal before that) and leat_store_open_memory (for tests and the
 * simulated cluster: completes when told to, and can crash). All are used from one thread only, but
 * for the readers of reader.h.
 *
 * Invariant: a batch is durable as a whole or not at all, and batches become durable in order.
 */
#ifndef LEAT_STORE_STORE_H
#define LEAT_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/view.h"

#define LEAT_STORE_TABLES_MAX    16
#define LEAT_STORE_KEY_BYTES_MAX 64
#define LEAT_STORE_LARGE_BYTES   (16 << 10) /* from here on values are moved as little as can be */

struct leat_store;

/* Table numbers are the caller's, 0 to LEAT_STORE_TABLES_MAX - 1. */
typedef unsigned leat_table;

/* Writes cannot fail: they only change memory (and abort when there is none). Key 1 to
 * LEAT_STORE_KEY_BYTES_MAX bytes, ordered as by memcmp, shorter first; value up to
 * LEAT_MESSAGE_BYTES_MAX, may be empty. Key and value are copied, so both may be borrowed from the
 * store itself. A put replaces; a del of nothing does nothing. */
void leat_store_put(struct leat_store *store, leat_table table, struct leat_bytes key,
                    struct leat_bytes value);
void leat_store_del(struct leat_store *store, leat_table table, struct leat_bytes key);
/* As put, when the caller knows that the key is not there: with a journal, a key that is added and
 * deleted soon costs nothing more than the journal. The memory store asserts it. */
void leat_store_add(struct leat_store *store, leat_table table, struct leat_bytes key,
                    struct leat_bytes value);

/* As add, but gives the place of the value, of at least LEAT_STORE_LARGE_BYTES, to be filled before
 * the next call on the store: a large value need not be in one piece before. */
uint8_t *leat_store_add_large(struct leat_store *store, leat_table table, struct leat_bytes key,
                              size_t size);
/* Optional, as the next call: the CRC-32C (core/crc32c.h) of that value, from who has it anyway; a
 * journal then needs not read the value. A wrong one makes the batch pass for damaged after a
 * crash. */
void leat_store_tell_checksum(struct leat_store *store, uint32_t crc);

/* LEAT_OK and the value, LEAT_ERR_NOT_FOUND, or LEAT_ERR_IO (the store is then broken: see
 * leat_store_error). The value is borrowed until the next call on the store; one of at least
 * LEAT_STORE_LARGE_BYTES until its key is written or the store is sealed, advances or is synced. */
LEAT_MUST_USE enum leat_err leat_store_get(struct leat_store *store, leat_table table,
                                           struct leat_bytes key, struct leat_bytes *ret_value);

/* As get. *ret_is_kept: the value lies in memory as it was put, or was read back from the journal
 * under its checksum, so there is no damage to be looked for in it. */
LEAT_MUST_USE enum leat_err leat_store_get_kept(struct leat_store *store, leat_table table,
                                                struct leat_bytes key, struct leat_bytes *ret_value,
                                                bool *ret_is_kept);

/* Visits entries with key >= from (an empty `from` is the beginning) in ascending order until
 * `visit` returns false or the table ends. Key and value are borrowed for the visit. `visit` must
 * not call the store. LEAT_OK or LEAT_ERR_IO. */
typedef bool leat_store_visit_fn(struct leat_bytes key, struct leat_bytes value, void *context);
LEAT_MUST_USE enum leat_err leat_store_scan(struct leat_store *store, leat_table table,
                                            struct leat_bytes from, leat_store_visit_fn *visit,
                                            void *context);

/* As scan, and `visit` is told of each value what leat_store_get_kept says of one. */
typedef bool leat_store_visit_kept_fn(struct leat_bytes key, struct leat_bytes value, bool is_kept,
                                      void *context);
LEAT_MUST_USE enum leat_err leat_store_scan_kept(struct leat_store *store, leat_table table,
                                                 struct leat_bytes from,
                                                 leat_store_visit_kept_fn *visit, void *context);

/* Entries in a table, uncommitted writes included. May cost a scan; for start-up and tests. */
uint64_t leat_store_count(struct leat_store *store, leat_table table);

/* Told of one thing that is wrong with a store, with its place in words. False: that is enough. */
typedef bool leat_store_found_fn(void *context, const char *what);

/* ---- group commit ---- */

/* Whether the batch being filled holds any write. */
bool leat_store_is_dirty(const struct leat_store *store);
/* Whether a batch is on its way to the disk. */
bool leat_store_is_committing(const struct leat_store *store);
/* Number of the batch being filled, from 1. */
uint64_t leat_store_filling(const struct leat_store *store);
/* Every batch up to this number is on disk; 0 at first. */
uint64_t leat_store_durable(const struct leat_store *store);
/* The batch that must be durable before anything may leave that was decided on what has been read
 * and written so far (core/step.h, rule 3): the one that fills, if it holds a write, else the one
 * on its way; 0: nothing is awaited. */
uint64_t leat_store_awaited(const struct leat_store *store);
/* Bytes that the filling batch writes, about. While a commit is stuck (a full disk) the filling
 * batch grows with every write: who accepts new work must stop at a bound of its own. */
uint64_t leat_store_filling_bytes(const struct leat_store *store);
/* Writes that the filling batch holds. */
size_t leat_store_filling_rows(const struct leat_store *store);
/* Starts the commit of the filling batch. Only when it is dirty and none is on its way. */
void leat_store_seal(struct leat_store *store);
/* As leat_store_seal, for a caller who would only wait: a store with a journal may bring a small
 * batch to the disk within this call, while the disk has been quick (LEAT_JOURNAL_QUICK_US). Then
 * leat_store_advance() has something to take note of at once, and leat_store_fd() says nothing. */
void leat_store_seal_here(struct leat_store *store);
/* Readable (poll for POLLIN) when leat_store_advance() has something to take note of: a commit that
 * has ended, or room that came or went; -1 for the memory store. */
int leat_store_fd(const struct leat_store *store);
/* Takes note of a commit that has ended; never blocks. LEAT_OK: leat_store_durable() may have
 * moved. LEAT_ERR_IO: the commit failed; nothing of it or after it will ever be durable: end the
 * process. */
LEAT_MUST_USE enum leat_err leat_store_advance(struct leat_store *store, struct leat_why *why);
/* Blocks until everything written so far is durable: for start-up and shutdown. LEAT_ERR_NO_SPACE:
 * a full disk keeps a batch on its way; it is tried again as long as the store is open. LEAT_ERR_IO
 * as leat_store_advance. */
LEAT_MUST_USE enum leat_err leat_store_sync(struct leat_store *store, struct leat_why *why);
/* Why the store is broken, in words; "" when it is not. Valid until the store is closed. */
const char *leat_store_error(const struct leat_store *store);

/* ---- room ---- */

/* False when new work must be refused: what is left is the reserve for settling
 * (LEAT_STORE_RESERVE_BYTES). Changes only within leat_store_advance() and leat_store_sync();
 * cheap. */
bool leat_store_has_room(const struct leat_store *store);
/* Bytes in use, about, as of the last commit; with a journal also what is to be applied. */
uint64_t leat_store_used_bytes(const struct leat_store *store);

/* Waits for the batch on its way (not when a full disk keeps it), drops the one being filled, frees
 * everything. Accepts the address of NULL. */
void leat_store_close(struct leat_store **store);

#endif
