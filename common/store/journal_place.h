/* How far a journal is applied: a record that LMDB has in a table of its own, changed by the very
 * batch that brings it there. Pure. */
#ifndef LEAT_STORE_JOURNAL_PLACE_H
#define LEAT_STORE_JOURNAL_PLACE_H

#include "core/err.h"
#include "core/hash.h"
#include "core/view.h"

#define LEAT_JOURNAL_PLACE_TABLE "journal"
#define LEAT_JOURNAL_PLACE_BYTES 16 /* number | check of it, with the key of the store's id */

struct leat_bytes leat_journal_place_key(void);
void leat_journal_place_format(uint64_t number, struct leat_hash_key key,
                               uint8_t ret_place[LEAT_JOURNAL_PLACE_BYTES]);
/* LEAT_ERR_CORRUPT: it is damaged. */
LEAT_MUST_USE enum leat_err leat_journal_place_read(struct leat_bytes place,
                                                    struct leat_hash_key key, uint64_t *ret_number);

#endif
