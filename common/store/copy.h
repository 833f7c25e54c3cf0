/* A copy of the store of a broker that runs, for a backup: by another process, which
 * changes nothing in the store's directory. */
#ifndef LEAT_STORE_COPY_H
#define LEAT_STORE_COPY_H

#include <stdint.h>

#include "core/err.h"

/* Waits until LMDB has all that was in the journal when this was called, which takes a second or so
 * while the broker works; then copies LMDB's file, as it is at one moment, to `to`/data.mdb,
 * flushed and with that name only when it is whole. `to` is made if it is missing, with mode 0700;
 * its parent must exist. The copy is asked itself whether it has all that, and made again if not.
 *
 *   LEAT_ERR_INVALID   there is no store in `path`
 *   LEAT_ERR_REFUSED   it is another role's or version's, or none of leat's
 *   LEAT_ERR_EXISTS    there is a data.mdb in `to`
 *   LEAT_ERR_LOCKED    another copy is being made there
 *   LEAT_ERR_STATE     nobody runs who would bring to LMDB what is in the journal alone; or who
 *                      runs has the number of this process, in a name space of its own
 *   LEAT_ERR_TIMEOUT   the broker has brought nothing of its journal to LMDB for `patience_ms`
 *   LEAT_ERR_CORRUPT   what it looks at is damaged, or a file of the journal is missing
 *   LEAT_ERR_NO_SPACE, LEAT_ERR_IO */
LEAT_MUST_USE enum leat_err leat_store_copy(const char *path, const char *role, const char *to,
                                            int64_t patience_ms, struct leat_why *why);

#endif
