/* The journal: batches on the disk, one flush each, before the store underneath has them.
 *
 * Two files take turns. Records are numbered without a gap; each lies in one of the files, flushed
 * before the next is written. A file is written over from its beginning when the store underneath
 * holds all that is in it (leat_journal_applied).
 *
 *      journal-0   | head | 41 | 42 | 43 | (37 38 ...)        being filled
 *      journal-1   | head | 39 | 40 | (33 34 ...)             free as soon as 40 is applied
 *
 * After a crash the whole records above what is applied must be there without a gap. A record that
 * is only there in part is the one that was being written when the power went, and was never
 * reported, if it comes right behind the last whole one; anything else is damage.
 *
 * A thread of its own writes, or the owner (leat_journal_write_here). A full disk: what the file
 * has blocks for goes on; then the record is tried in the other file, if it is free, and again
 * every LEAT_STORE_ROOM_CHECK_MS, until it is taken back. Every other call comes from one thread,
 * the owner's. */
#ifndef LEAT_STORE_JOURNAL_H
#define LEAT_STORE_JOURNAL_H

#include "core/err.h"
#include "core/id.h"
#include "store/journal_record.h"

/* A record that takes longer is for the thread, and so are the next few. */
#define LEAT_JOURNAL_QUICK_US      1000
#define LEAT_JOURNAL_QUICK_RECORDS 16
#define LEAT_JOURNAL_HERE_BYTES    (64 << 10)

struct leat_journal;

/* With `make` both files begin empty. Errors as leat_journal_file_make and _open. */
LEAT_MUST_USE enum leat_err leat_journal_open(const char *directory, const struct leat_id *store,
                                              bool make, struct leat_journal **ret_journal,
                                              struct leat_why *why);
/* Whether both files were made in this directory: the first is made last, but one that was used is
 * a trace of it, too. */
bool leat_journal_is_there(const char *directory);
/* Whether anything was ever written to it. */
bool leat_journal_is_used(const char *directory);
/* Waits for the record that is being written, unless a full disk keeps it. Accepts NULL. */
void leat_journal_close(struct leat_journal **journal);

/* While nothing is being written: visits every write of every whole record above `applied`, in
 * order, and gives the number of the last, `applied` if there is none. LEAT_ERR_CORRUPT: a record
 * is damaged or missing, a later one is there. */
typedef void leat_journal_visit_fn(const struct leat_journal_write *write, void *context);
LEAT_MUST_USE enum leat_err leat_journal_read(const struct leat_journal *journal, uint64_t applied,
                                              leat_journal_visit_fn *visit, void *context,
                                              uint64_t *ret_last, struct leat_why *why);
/* Before the first submit: goes on after this number, all of which is applied. */
void leat_journal_begin(struct leat_journal *journal, uint64_t number);

/* Starts to write the record of this number, one above the last. The buffer is the journal's until
 * poll says DONE. */
void leat_journal_submit(struct leat_journal *journal, uint64_t number,
                         struct leat_journal_buffer *buffer);
/* As submit, but writes it in this call, if that is quick: the record is small, its place is there,
 * and the last records were all written within LEAT_JOURNAL_QUICK_US. False: nothing was done.
 * Whatever becomes of it, poll says it at once. */
bool leat_journal_write_here(struct leat_journal *journal, uint64_t number,
                             struct leat_journal_buffer *buffer);
/* The store underneath holds every record up to this number, durably. */
void leat_journal_applied(struct leat_journal *journal, uint64_t number);
/* The next record begins the other file, as soon as that is free. */
void leat_journal_turn(struct leat_journal *journal);
/* Gives back what the files have grown by. Only while nothing is being written and all is applied.
 * LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_journal_shrink(struct leat_journal *journal, struct leat_why *why);
bool leat_journal_is_turning(const struct leat_journal *journal);
/* Where the last record ends in the file that is being filled. */
uint64_t leat_journal_filled_bytes(const struct leat_journal *journal);

enum leat_journal_state {
    LEAT_JOURNAL_IDLE = 0,
    LEAT_JOURNAL_WRITING = 1,
    LEAT_JOURNAL_SHORT = 2, /* as WRITING, but the disk is full */
    LEAT_JOURNAL_DONE = 3,  /* told once */
    LEAT_JOURNAL_BROKEN = 4,
};

/* Never blocks. `why` is written when BROKEN. */
enum leat_journal_state leat_journal_poll(struct leat_journal *journal, struct leat_why *why);
/* A full disk keeps the record, and no other place is being tried just now. */
bool leat_journal_is_held(struct leat_journal *journal);
/* Gives a held record up: its number is used, and it must become durable in another way. False: it
 * is not held. */
bool leat_journal_take_back(struct leat_journal *journal);
/* Readable when poll has something new to say, and when the time of remind_at has come. */
int leat_journal_fd(const struct leat_journal *journal);
/* CLOCK_MONOTONIC; 0: never. */
void leat_journal_remind_at(struct leat_journal *journal, int64_t mono_us);

#endif
