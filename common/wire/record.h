/* Sealed records: bytes for the store that notice when they were damaged, or lie where they were
 * not put.
 *
 *   byte 0      store version (LEAT_STORE_VERSION)
 *   bytes 1-4   CRC-32C of byte 0, the place and the payload, least significant byte first
 *   bytes 5-    payload, usually [record version, fields...] (wire/codec.h)
 *
 * The place is not stored: it is the row's table and key, as whoever reads has found it. So a
 * flipped bit in a key is noticed like one in a value: no row passes for another job's.
 *
 * Pure; nothing blocks.
 */
#ifndef LEAT_WIRE_RECORD_H
#define LEAT_WIRE_RECORD_H

#include <stdbool.h>

#include "core/check.h"
#include "core/err.h"
#include "core/view.h"
#include "wire/buffer.h"

#define LEAT_RECORD_SEAL_BYTES 5

/* Where a row lies. Numbers of tables are part of each seal: they never change. */
struct leat_record_place {
    unsigned table;        /* at most 255 */
    struct leat_bytes key; /* at most 65,535 bytes */
};

/* Appends the sealed payload to `out`. LEAT_ERR_LIMIT, LEAT_ERR_MEMORY: out is as before. */
LEAT_MUST_USE enum leat_err leat_record_seal(struct leat_record_place place,
                                             struct leat_bytes payload,
                                             struct leat_wire_buffer *out);

/* The same without copying the payload: begin appends an empty seal and gives its place; the caller
 * appends the payload; end fills the seal in. */
LEAT_MUST_USE enum leat_err leat_record_begin(struct leat_wire_buffer *out, size_t *ret_start);
void leat_record_end(struct leat_wire_buffer *out, size_t start, struct leat_record_place place);

/* The record of an item that has but one field, a BIN, as leat_wire_seal_item_NAME would make it,
 * written to where it is to lie: leat_record_bin_bytes at `ret_sealed`. Returns the CRC-32C of all
 * of them. */
size_t leat_record_bin_bytes(size_t size);
uint32_t leat_record_seal_bin(struct leat_record_place place, struct leat_bytes bytes,
                              uint8_t *ret_sealed);

/* *ret_payload borrows from `sealed`.
 *   LEAT_ERR_CORRUPT  cut short, not sealed for this place, or any bit differs from what was sealed
 *   LEAT_ERR_VERSION  undamaged, but of a version that this program does not read */
LEAT_MUST_USE enum leat_err leat_record_unseal(struct leat_bytes sealed,
                                               struct leat_record_place place,
                                               struct leat_bytes *ret_payload,
                                               struct leat_why *why);

/* The payload of a record that needs no look at its checksum: it has not left memory. */
static inline struct leat_bytes leat_record_payload(struct leat_bytes sealed)
{
    LEAT_ASSERT(sealed.size >= LEAT_RECORD_SEAL_BYTES);
    return leat_bytes_of(sealed.data + LEAT_RECORD_SEAL_BYTES,
                         sealed.size - LEAT_RECORD_SEAL_BYTES);
}

/* Whether a row is as it was sealed. Nothing of its fields is looked at. */
bool leat_record_intact(struct leat_bytes sealed, struct leat_record_place place);

#endif
