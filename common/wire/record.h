/* Sealed records: bytes for the store that notice when they were damaged.
 *
 *   byte 0      record version (LEAT_RECORD_VERSION)
 *   bytes 1-4   CRC-32C of byte 0 and the payload, least significant byte first
 *   bytes 5-    payload, usually [record version, fields...] (wire/codec.h)
 *
 * Pure; nothing blocks.
 */
#ifndef LEAT_WIRE_RECORD_H
#define LEAT_WIRE_RECORD_H

#include "core/err.h"
#include "core/view.h"
#include "wire/buffer.h"

#define LEAT_RECORD_SEAL_BYTES 5

/* Appends the sealed payload to `out`. LEAT_ERR_LIMIT, LEAT_ERR_MEMORY: out is as before. */
LEAT_MUST_USE enum leat_err leat_record_seal(struct leat_bytes payload,
                                             struct leat_wire_buffer *out);

/* The same without copying the payload: begin appends an empty seal and gives its place; the caller
 * appends the payload; end fills the seal in. */
LEAT_MUST_USE enum leat_err leat_record_begin(struct leat_wire_buffer *out, size_t *ret_start);
void leat_record_end(struct leat_wire_buffer *out, size_t start);

/* *ret_payload borrows from `sealed`.
 *   LEAT_ERR_CORRUPT  cut short, or any bit differs from what was sealed
 *   LEAT_ERR_VERSION  undamaged, but of a version that this program does not read */
LEAT_MUST_USE enum leat_err
leat_record_unseal(struct leat_bytes sealed, struct leat_bytes *ret_payload, struct leat_why *why);

#endif
