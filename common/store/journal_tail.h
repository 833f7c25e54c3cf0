/* The last records of a journal, read from its files while their owner writes them: by another
 * thread that must not wait for it, or by another process.
 *
 * A record that is asked for and is not there has been written over, so what is in it is applied
 * meanwhile; or it is not written yet. The caller knows which. Records are never seen in part.
 * One thread at a time. */
#ifndef LEAT_STORE_JOURNAL_TAIL_H
#define LEAT_STORE_JOURNAL_TAIL_H

#include "core/err.h"
#include "core/id.h"
#include "store/journal_record.h"

struct leat_journal_tail;

/* LEAT_ERR_NOT_FOUND: there is no journal in this directory. LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_journal_tail_open(const char *directory,
                                                   const struct leat_id *store,
                                                   struct leat_journal_tail **ret_tail,
                                                   struct leat_why *why);
/* Accepts the address of NULL. */
void leat_journal_tail_close(struct leat_journal_tail **tail);

/* Goes on behind this number, wherever it was. */
void leat_journal_tail_from(struct leat_journal_tail *tail, uint64_t number);

/* Visits every write of the records behind the last one that was visited, up to this number, in
 * order, as far as they are there; gives the number of the last. LEAT_ERR_IO. */
typedef void leat_journal_tail_fn(const struct leat_journal_write *write, void *context);
LEAT_MUST_USE enum leat_err leat_journal_tail_read(struct leat_journal_tail *tail, uint64_t up_to,
                                                   leat_journal_tail_fn *visit, void *context,
                                                   uint64_t *ret_last);

/* The highest number of a whole record, wherever in the files it is and whatever is before it; 0:
 * there is none. What was written over meanwhile is missed. Takes memory for a whole file.
 * LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_journal_tail_highest(struct leat_journal_tail *tail,
                                                      uint64_t *ret_number);

#endif
