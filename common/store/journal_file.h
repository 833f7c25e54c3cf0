/* One of the two files of a journal. The first block says whose it is and how long it must be:
 *
 *   leat-journal version=1 store=<id> bytes=<size> check=<CRC-32C of what is before it>
 *
 * Behind it are records (journal_record.h). The file has its blocks before a record needs them, so
 * that a flush has only the record to write; it grows by LEAT_JOURNAL_GROW_BYTES and shrinks only
 * on a full disk. One thread at a time. */
#ifndef LEAT_STORE_JOURNAL_FILE_H
#define LEAT_STORE_JOURNAL_FILE_H

#include "core/err.h"
#include "core/id.h"
#include "core/view.h"
#include "store/journal_record.h"

#define LEAT_JOURNAL_FILES       2
#define LEAT_JOURNAL_FIRST_BYTES (2U << 20) /* of a new file: room for settling on a full disk */
#define LEAT_JOURNAL_GROW_BYTES  (1U << 20)

struct leat_journal_file {
    char *path; /* owned */
    int fd;     /* -1: not open */
    struct leat_id store;
    uint64_t size_bytes;
};

/* Makes an empty file, whatever was there. LEAT_ERR_NO_SPACE, LEAT_ERR_IO. Closed by fini also
 * after a failure. */
LEAT_MUST_USE enum leat_err leat_journal_file_make(struct leat_journal_file *file,
                                                   const char *directory, unsigned number,
                                                   const struct leat_id *store,
                                                   struct leat_why *why);
/* Opens one that was made. LEAT_ERR_CORRUPT: it is missing, cut short, damaged or another store's;
 * LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_journal_file_open(struct leat_journal_file *file,
                                                   const char *directory, unsigned number,
                                                   const struct leat_id *store,
                                                   struct leat_why *why);
void leat_journal_file_fini(struct leat_journal_file *file);

/* Writes a record, its parts one behind the other, and flushes it. LEAT_ERR_NO_SPACE: the file is
 * too short for it and the disk is full; nothing has changed. LEAT_ERR_IO: nobody knows what is on
 * the disk. */
LEAT_MUST_USE enum leat_err leat_journal_file_append(struct leat_journal_file *file,
                                                     uint64_t offset,
                                                     struct leat_journal_parts record,
                                                     struct leat_why *why);

/* Gives back what it has grown by; nothing in it is needed any more. LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_journal_file_shrink(struct leat_journal_file *file,
                                                     struct leat_why *why);

bool leat_journal_file_is_there(const char *directory, unsigned number);
/* A descriptor for reading only, for who does not own the file: the caller's; -1: errno says why.
 */
int leat_journal_file_look(const char *directory, unsigned number);
/* Whether a record was ever begun in it. */
bool leat_journal_file_is_used(const char *directory, unsigned number);

/* The whole file, to be read; until unmap. LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_journal_file_map(const struct leat_journal_file *file,
                                                  struct leat_bytes *ret_bytes,
                                                  struct leat_why *why);
void leat_journal_file_unmap(struct leat_bytes bytes);

#endif
