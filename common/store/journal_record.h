/* A batch as a record of the journal: bytes, and nothing else. Pure.
 *
 *   head    40 bytes: "leatjrn1", number, bytes of the body, CRC-32C of the body, writes, check
 *   body    the writes in their order. Each: table (128 more for a del), bytes of the key, bytes of
 *           the value (four bytes), key, value
 *   zeros   up to a multiple of LEAT_JOURNAL_BLOCK_BYTES
 *
 * Numbers are big-endian, of eight bytes but for CRC and writes (four). The check is SipHash of
 * what is before it, with the store's id as the key: neither another store's record nor bytes that
 * a peer has chosen for a job's body pass for a head. */
#ifndef LEAT_STORE_JOURNAL_RECORD_H
#define LEAT_STORE_JOURNAL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/hash.h"
#include "core/id.h"
#include "core/view.h"

/* Records begin at multiples of it, so that what is durable is never written again. */
#define LEAT_JOURNAL_BLOCK_BYTES 4096
#define LEAT_JOURNAL_HEAD_BYTES  40

/* A value that lies elsewhere, and the place in the record that it belongs to. */
struct leat_journal_held {
    size_t at; /* of the buffer's own bytes */
    struct leat_bytes value;
    void *piece;  /* of a slab (slab.h), held */
    uint32_t crc; /* of the value, if it was told */
    bool has_crc;
};

/* A record being made. All zero is a valid start. */
struct leat_journal_buffer {
    uint8_t *bytes; /* owned */
    size_t size, capacity;
    struct leat_journal_held *held; /* owned */
    size_t held_count, held_capacity;
    size_t held_bytes;
    struct leat_bytes *parts; /* owned; made by finish */
    uint32_t writes;
};

/* A whole record: these bytes, one part behind the other. Borrowed from the buffer. */
struct leat_journal_parts {
    const struct leat_bytes *items;
    size_t count;
    size_t size; /* of all */
};

void leat_journal_buffer_fini(struct leat_journal_buffer *buffer);
/* Empties it; memory over `keep_bytes` is given back. */
void leat_journal_buffer_clear(struct leat_journal_buffer *buffer, size_t keep_bytes);
/* `value` NULL: a del. Copies. Ends the process when memory is out. */
void leat_journal_buffer_add(struct leat_journal_buffer *buffer, unsigned table,
                             struct leat_bytes key, const struct leat_bytes *value);
/* A put of a value that lies in a large piece of a slab, which is held until the buffer is emptied.
 */
void leat_journal_buffer_add_held(struct leat_journal_buffer *buffer, unsigned table,
                                  struct leat_bytes key, struct leat_bytes value, void *piece);
/* The CRC-32C of the value that was added last, which is held. */
void leat_journal_buffer_tell_checksum(struct leat_journal_buffer *buffer, uint32_t crc);
/* Writes the head and the zeros: the record is complete. Repeatable; touches no piece's holders, so
 * that another thread may call it than the one that adds and clears. */
struct leat_journal_parts leat_journal_buffer_finish(struct leat_journal_buffer *buffer,
                                                     struct leat_hash_key key, uint64_t number);

/* Of the record that finish makes, the zeros included. */
size_t leat_journal_buffer_bytes(const struct leat_journal_buffer *buffer);

/* The writes of a record being made, for leat_journal_next; borrowed. Copies what was held. */
struct leat_bytes leat_journal_buffer_body(struct leat_journal_buffer *buffer);

struct leat_hash_key leat_journal_key(const struct leat_id *store);

enum leat_journal_found {
    LEAT_JOURNAL_NOTHING = 0, /* no head of this store */
    LEAT_JOURNAL_PART = 1,    /* a head, but not the body that belongs to it */
    LEAT_JOURNAL_WHOLE = 2,
};

struct leat_journal_record {
    uint64_t number;
    struct leat_bytes body; /* borrowed; of a whole one */
    size_t blocks;          /* it takes, of a whole one */
};

/* Looks at what begins with `bytes`, which goes to the end of the file. */
enum leat_journal_found leat_journal_record_read(struct leat_bytes bytes, struct leat_hash_key key,
                                                 struct leat_journal_record *ret_record);

struct leat_journal_write {
    unsigned table;
    struct leat_bytes key, value; /* borrowed */
    bool is_del;
};

/* Takes the next write off a body. LEAT_ERR_NOT_FOUND: it was the last. LEAT_ERR_CORRUPT: the bytes
 * are none, which a right CRC makes our own fault. */
LEAT_MUST_USE enum leat_err leat_journal_next(struct leat_bytes *body,
                                              struct leat_journal_write *ret_write);

#endif
