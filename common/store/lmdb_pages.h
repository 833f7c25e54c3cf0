/* Looks at the pages of an LMDB file: whether they are a tree, or what is wrong with it. LMDB
 * itself believes what its pages say, so a flipped bit in one of them makes it return nothing for
 * keys that are there, read beyond a page, or write over pages that are in use.
 *
 * Pure: reads the bytes that it is given and nothing else. The format is that of LMDB 0.9 (data
 * version 1) on the machine at hand, as far as a store of leat has it: no duplicates (DUPSORT), no
 * DUPFIXED. Read from lmdb's documentation of struct MDB_page, MDB_node, MDB_db and MDB_meta, and
 * tried against files that LMDB wrote.
 *
 * What is looked at, from the younger of the two first pages ("metas") that say where everything
 * is: metas      what LMDB needs to open the file; which of them is the younger trees      the list
 * of free pages, the tree of tables, every table: each page is where it says that it is, is of the
 * kind that its place in the tree demands, and is in one tree once; nodes fill a page without gap
 * or overlap; keys ascend within what the page above says; large values have the pages that they
 * need; pages and entries are as many as the table's record says free list  its pages are in no
 * tree and twice nowhere; the last commit is in it
 *
 * What is not: bytes of keys and values (records have a seal of their own, common/wire), pages that
 * nothing refers to, and the older meta beyond what LMDB reads of it. */
#ifndef LEAT_STORE_LMDB_PAGES_H
#define LEAT_STORE_LMDB_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/view.h"

#define LEAT_LMDB_TABLES_MAX     32 /* that are looked at */
#define LEAT_LMDB_NAME_BYTES_MAX 31

/* Told of each thing that is wrong, with its place in words. False: that is enough. */
typedef bool leat_lmdb_pages_found_fn(void *context, const char *what);

struct leat_lmdb_pages {
    uint64_t page_bytes; /* 0: no LMDB file, or shorter than its metas: LMDB says so itself */
    uint64_t last_page;  /* as the younger meta says */
    uint64_t used;       /* pages in trees and metas */
    uint64_t free;       /* pages in the free list */
    bool is_missing;     /* there is no file, or nothing in it (for those who map it) */
    bool is_cut_short;   /* the file ends before its last page; nothing else was looked at */
    bool is_whole;       /* everything was looked at, not only the metas and the tree of tables */
    unsigned found;      /* things that are wrong */
    unsigned table_count;
    char tables[LEAT_LMDB_TABLES_MAX][LEAT_LMDB_NAME_BYTES_MAX + 1];
};

/* `file`: the whole file. pages_max: when the trees have more pages than this, large values aside,
 * only metas and the tree of tables are looked at; UINT64_MAX: never. Time is linear in those
 * pages; memory a bit per page of the file, LEAT_ERR_MEMORY when there is none. Else LEAT_OK: what
 * is wrong was told to `found`. */
LEAT_MUST_USE enum leat_err leat_lmdb_pages_check(struct leat_bytes file, uint64_t pages_max,
                                                  leat_lmdb_pages_found_fn *found, void *context,
                                                  struct leat_lmdb_pages *ret_pages);

#endif
