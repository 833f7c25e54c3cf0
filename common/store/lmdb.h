/* The store of store.h in a directory, over LMDB.
 *
 * One thread of its own commits; every other call comes from one thread, the owner's. The directory
 * holds `data.mdb` and `lock.mdb` (LMDB's) and `leat.lock` (ours: one process at a time).
 *
 * Durability: LMDB's default. A batch is written beside what it replaces and flushed, then one page
 * that makes it valid is written and flushed. After a crash at any instant the directory opens with
 * a whole number of batches, among them every one that leat_store_durable() ever reported. Opening
 * commits once before anything is read: what a killed process or a failed flush left in the page
 * cache alone is on the disk, or the open fails.
 *
 * Room: three things can run out, and none of them stops settling.
 *   max_bytes      pages in use plus LEAT_STORE_RESERVE_BYTES would exceed it
 *   the disk       blocks for the next batch and the reserve are allocated before each commit; this
 *                  could not be done
 *   address space  the map is enlarged when it gets short; the system refuses
 * In each case leat_store_has_room() turns false and commits go on within the reserve. While there
 * is no room the commit thread looks again every LEAT_STORE_ROOM_CHECK_MS, and makes
 * leat_store_fd() readable when it has come back: leat_store_advance() takes note. A commit that
 * meets a full disk all the same is kept and tried again, whole, from its first page; that is no
 * retry of a failed fsync, and nothing of the batch was valid before.
 *
 * Failure: anything else that a commit meets (EIO from a write or a flush, a damaged file) is
 * final: leat_store_advance() says LEAT_ERR_IO for ever, with the reason.
 *
 * Do not fork while a store is open and use it in the child. Not for NFS.
 */
#ifndef LEAT_STORE_LMDB_H
#define LEAT_STORE_LMDB_H

#include "core/id.h"
#include "store/store.h"

#define LEAT_STORE_NAME_BYTES_MAX 31 /* of a role and of a table's name: [a-z0-9_-] */
#define LEAT_STORE_ROOM_CHECK_MS  500

struct leat_store_options {
    const char *role; /* "ventilator", "sink": written into a new directory, checked later */
    /* Names; a table's number is its place here. Names last for ever: a table that is new to a
     * directory is added, others stay as they are. */
    const char *const *tables;
    unsigned table_count; /* 1 to LEAT_STORE_TABLES_MAX */
    uint64_t max_bytes;   /* 0: LEAT_STORE_BYTES_DEFAULT; at least 2 * LEAT_STORE_RESERVE_BYTES */
    uint64_t map_bytes;   /* address space at first, it grows; 0: follows max_bytes. For tests. */
    /* Of store/journaled.h: leat_store_lmdb_sign is called when all else is there, and from the
     * open on the directory is of LEAT_STORE_JOURNAL_VERSION. */
    bool has_journal;
    /* Of store/journaled.h: it is applied when so much waits; 0: a share of what is free, at most
     * journal_bytes_max. */
    uint64_t journal_bytes;
    uint64_t journal_bytes_max; /* 0: LEAT_JOURNAL_BYTES_DEFAULT */
    int64_t journal_age_ms;     /* or when something waits as long; 0: LEAT_JOURNAL_AGE_MS */
};

/* Opens the directory, makes it (mode 0700; its parent must exist) and the store in it if missing.
 * Options are not kept. Blocks: reads and flushes files. On failure nothing stays open, and `why`
 * names the path:
 *   LEAT_ERR_LOCKED    another process, or this one, has it open
 *   LEAT_ERR_REFUSED   it is another role's store, or nobody's of leat, or its records are newer
 *   LEAT_ERR_CORRUPT   data.mdb is no LMDB file, is cut short, or its pages or identity are damaged
 *   LEAT_ERR_NO_SPACE  the disk has no room for the store's first pages
 *   LEAT_ERR_INVALID   options out of range
 *   LEAT_ERR_IO        anything that the system refuses: permissions, a missing parent, ... */
LEAT_MUST_USE enum leat_err leat_store_open_lmdb(const char *path,
                                                 const struct leat_store_options *options,
                                                 struct leat_store **ret_store,
                                                 struct leat_why *why);

struct leat_store_pages {
    uint64_t used, free; /* pages */
};

/* Looks at every page of a store that nobody has open (it takes the lock meanwhile), however large
 * it is, and writes nothing. LEAT_OK; LEAT_ERR_CORRUPT: `found` was told what is wrong, or `why`
 * says it; LEAT_ERR_LOCKED, LEAT_ERR_IO, LEAT_ERR_MEMORY. What rows hold is not looked at; a file
 * that LMDB will not open passes. */
LEAT_MUST_USE enum leat_err leat_store_check_lmdb(const char *path,
                                                  const struct leat_store_options *options,
                                                  leat_store_found_fn *found, void *context,
                                                  struct leat_store_pages *ret_pages,
                                                  struct leat_why *why);

/* Says in the lock file which store lives here, and that the directory's names are on the disk.
 * LEAT_ERR_NO_SPACE, LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_store_lmdb_sign(const struct leat_store *store,
                                                 struct leat_why *why);
/* Says that nothing is in a journal alone: the directory is of LEAT_STORE_VERSION again. The last
 * thing before the close, with nothing filling or on its way. LEAT_ERR_NO_SPACE, LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_store_lmdb_end_journal(struct leat_store *store,
                                                        struct leat_why *why);
/* Whether this very directory was opened as a store before: its lock file says so. Not so in a copy
 * of data.mdb alone. Only for stores from leat_store_open_lmdb. */
bool leat_store_lmdb_has_lived_here(const struct leat_store *store);
/* The id that the store got when it was made (UUIDv7): the same for as long as the directory lives.
 * Only for stores from leat_store_open_lmdb. */
struct leat_id leat_store_lmdb_id(const struct leat_store *store);

#endif
