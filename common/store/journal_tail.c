#include "store/journal_tail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/journal_file.h"

/* Read at once: many records of a journal that has little load, or a part of a large one. */
#define CHUNK_BYTES ((size_t)64 << 10)

struct leat_journal_tail {
    int fds[LEAT_JOURNAL_FILES];
    struct leat_hash_key key;
    uint64_t last; /* number of the record that was visited last */
    unsigned file; /* and where the next one is expected */
    uint64_t at;
    /* what was read last: bytes of `chunk_file` from `chunk_at` */
    uint8_t *chunk; /* owned */
    size_t chunk_bytes, chunk_capacity;
    unsigned chunk_file;
    uint64_t chunk_at;
};

enum leat_err leat_journal_tail_open(const char *directory, const struct leat_id *store,
                                     struct leat_journal_tail **ret_tail, struct leat_why *why)
{
    struct leat_journal_tail *tail = calloc(1, sizeof *tail);
    if (tail == NULL) {
        return leat_fail(why, LEAT_ERR_MEMORY, "out of memory");
    }
    tail->key = leat_journal_key(store);
    tail->at = LEAT_JOURNAL_BLOCK_BYTES;
    enum leat_err err = LEAT_OK;
    for (unsigned i = 0; i < LEAT_JOURNAL_FILES; i++) {
        tail->fds[i] = leat_journal_file_look(directory, i);
        if (tail->fds[i] < 0 && err == LEAT_OK) {
            err = leat_fail(why, errno == ENOENT ? LEAT_ERR_NOT_FOUND : LEAT_ERR_IO,
                            "cannot open %s/journal-%u: %s", directory, i, strerror(errno));
        }
    }
    if (err != LEAT_OK) {
        leat_journal_tail_close(&tail);
        return err;
    }
    *ret_tail = tail;
    return LEAT_OK;
}

void leat_journal_tail_close(struct leat_journal_tail **tail)
{
    if (*tail == NULL) {
        return;
    }
    for (unsigned i = 0; i < LEAT_JOURNAL_FILES; i++) {
        if ((*tail)->fds[i] >= 0) {
            close((*tail)->fds[i]);
        }
    }
    free((*tail)->chunk);
    free(*tail);
    *tail = NULL;
}

void leat_journal_tail_from(struct leat_journal_tail *tail, uint64_t number)
{
    tail->last = number;
}

/* ---- one record ---- */

static void make_chunk(struct leat_journal_tail *tail, size_t capacity)
{
    uint8_t *chunk = realloc(tail->chunk, capacity);
    if (chunk == NULL) {
        abort();
    }
    tail->chunk = chunk;
    tail->chunk_capacity = capacity;
}

/* Forgets what was read, and gives back what a large record needed. */
static void shrink_chunk(struct leat_journal_tail *tail)
{
    tail->chunk_bytes = 0;
    if (tail->chunk_capacity > CHUNK_BYTES) {
        make_chunk(tail, CHUNK_BYTES);
    }
}

/* Reads `bytes` from a place, less at the end of the file. */
static enum leat_err read_chunk(struct leat_journal_tail *tail, unsigned file, uint64_t at,
                                size_t bytes)
{
    if (bytes != tail->chunk_capacity) {
        make_chunk(tail, bytes);
    }
    tail->chunk_file = file;
    tail->chunk_at = at;
    tail->chunk_bytes = 0;
    while (tail->chunk_bytes < bytes) {
        ssize_t size = pread(tail->fds[file], tail->chunk + tail->chunk_bytes,
                             bytes - tail->chunk_bytes, (off_t)(at + tail->chunk_bytes));
        if (size == 0) {
            break;
        }
        if (size < 0 && errno != EINTR) {
            return LEAT_ERR_IO;
        }
        tail->chunk_bytes += size < 0 ? 0 : (size_t)size;
    }
    return LEAT_OK;
}

static enum leat_journal_found look(const struct leat_journal_tail *tail, unsigned file,
                                    uint64_t at, struct leat_journal_record *ret_record)
{
    if (file != tail->chunk_file || at < tail->chunk_at ||
        at - tail->chunk_at >= tail->chunk_bytes) {
        return LEAT_JOURNAL_NOTHING;
    }
    size_t skip = (size_t)(at - tail->chunk_at);
    return leat_journal_record_read(leat_bytes_of(tail->chunk + skip, tail->chunk_bytes - skip),
                                    tail->key, ret_record);
}

/* The whole record at a place, however large. LEAT_ERR_NOT_FOUND: there is none just now. What was
 * read last is believed only when a record of a number above `above` is in it: it may be old. */
static enum leat_err read_record(struct leat_journal_tail *tail, unsigned file, uint64_t at,
                                 uint64_t above, struct leat_journal_record *ret_record)
{
    if (look(tail, file, at, ret_record) == LEAT_JOURNAL_WHOLE && ret_record->number > above) {
        return LEAT_OK;
    }
    struct stat status;
    if (fstat(tail->fds[file], &status) != 0) {
        return LEAT_ERR_IO;
    }
    for (size_t bytes = CHUNK_BYTES;; bytes *= 4) {
        enum leat_err err = read_chunk(tail, file, at, bytes);
        if (err != LEAT_OK) {
            return err;
        }
        switch (look(tail, file, at, ret_record)) {
        case LEAT_JOURNAL_WHOLE:
            return ret_record->number > above ? LEAT_OK : LEAT_ERR_NOT_FOUND;
        case LEAT_JOURNAL_NOTHING:
            return LEAT_ERR_NOT_FOUND;
        case LEAT_JOURNAL_PART:
            if (at + bytes >= (uint64_t)status.st_size) {
                return LEAT_ERR_NOT_FOUND;
            }
            break; /* it is larger than what was read, or being written over */
        }
    }
}

/* ---- the way through the files ---- */

/* Records lie one behind the other from the beginning of each file, with rising numbers. */
static enum leat_err find_in(struct leat_journal_tail *tail, unsigned file, uint64_t number,
                             struct leat_journal_record *ret_record)
{
    uint64_t above = 0;
    uint64_t at = LEAT_JOURNAL_BLOCK_BYTES;
    for (;;) {
        enum leat_err err = read_record(tail, file, at, above, ret_record);
        if (err != LEAT_OK) {
            return err;
        }
        if (ret_record->number >= number) {
            tail->file = file;
            tail->at = at;
            return ret_record->number == number ? LEAT_OK : LEAT_ERR_NOT_FOUND;
        }
        above = ret_record->number;
        at += ret_record->blocks * LEAT_JOURNAL_BLOCK_BYTES;
    }
}

static enum leat_err find(struct leat_journal_tail *tail, uint64_t number,
                          struct leat_journal_record *ret_record)
{
    enum leat_err err = read_record(tail, tail->file, tail->at, number - 1, ret_record);
    if (err == LEAT_OK && ret_record->number == number) {
        return LEAT_OK;
    }
    for (unsigned i = 0; i < LEAT_JOURNAL_FILES && (err == LEAT_OK || err == LEAT_ERR_NOT_FOUND);
         i++) {
        err = find_in(tail, i, number, ret_record);
        if (err == LEAT_OK) {
            return LEAT_OK;
        }
    }
    return err;
}

static void visit_record(const struct leat_journal_record *record, leat_journal_tail_fn *visit,
                         void *context)
{
    struct leat_bytes body = record->body;
    struct leat_journal_write write;
    while (leat_journal_next(&body, &write) == LEAT_OK) {
        visit(&write, context);
    }
}

enum leat_err leat_journal_tail_read(struct leat_journal_tail *tail, uint64_t up_to,
                                     leat_journal_tail_fn *visit, void *context, uint64_t *ret_last)
{
    enum leat_err err = LEAT_OK;
    tail->chunk_bytes = 0; /* another visit, and the owner has gone on meanwhile */
    while (err == LEAT_OK && tail->last < up_to) {
        struct leat_journal_record record;
        err = find(tail, tail->last + 1, &record);
        if (err == LEAT_OK) {
            visit_record(&record, visit, context);
            tail->last = record.number;
            tail->at += record.blocks * LEAT_JOURNAL_BLOCK_BYTES;
        }
    }
    shrink_chunk(tail);
    *ret_last = tail->last;
    return err == LEAT_ERR_NOT_FOUND ? LEAT_OK : err;
}

/* ---- all of it ---- */

static uint64_t highest_in_chunk(const struct leat_journal_tail *tail)
{
    uint64_t highest = 0;
    size_t blocks = 1;
    for (uint64_t at = LEAT_JOURNAL_BLOCK_BYTES; at < tail->chunk_bytes;
         at += blocks * LEAT_JOURNAL_BLOCK_BYTES) {
        struct leat_journal_record record;
        blocks = 1;
        if (look(tail, tail->chunk_file, at, &record) == LEAT_JOURNAL_WHOLE) {
            blocks = record.blocks;
            highest = record.number > highest ? record.number : highest;
        }
    }
    return highest;
}

enum leat_err leat_journal_tail_highest(struct leat_journal_tail *tail, uint64_t *ret_number)
{
    uint64_t highest = 0;
    for (unsigned i = 0; i < LEAT_JOURNAL_FILES; i++) {
        struct stat status;
        if (fstat(tail->fds[i], &status) != 0) {
            return LEAT_ERR_IO;
        }
        enum leat_err err = read_chunk(tail, i, 0, (size_t)status.st_size + 1);
        if (err != LEAT_OK) {
            return err;
        }
        uint64_t found = highest_in_chunk(tail);
        highest = found > highest ? found : highest;
    }
    shrink_chunk(tail);
    *ret_number = highest;
    return LEAT_OK;
}
