/* Messages and items as bytes. Everything here is expanded from core/messages.def.
 *
 * Whatever leat_wire_encode accepts, leat_wire_decode accepts, and gives back equal.
 *
 * Nothing blocks; nothing is global, so any number of threads may encode and decode at once.
 */
#ifndef LEAT_WIRE_CODEC_H
#define LEAT_WIRE_CODEC_H

#include "core/arena.h"
#include "core/messages.h"
#include "wire/buffer.h"

/* Appends the message [protocol version, type, fields...] to `out`. On failure `out` is as before:
 *   LEAT_ERR_LIMIT         a text, byte string or list is over its limit, or out's limit is met, or
 *                          would be if all numbers took nine bytes
 *   LEAT_ERR_INVALID       a text is not UTF-8
 *   LEAT_ERR_UNKNOWN_TYPE  msg->type is none of the table
 *   LEAT_ERR_MEMORY */
LEAT_MUST_USE enum leat_err leat_wire_encode(const struct leat_msg *msg,
                                             struct leat_wire_buffer *out);

/* Reads one frame from outside. Texts and byte strings of *ret_msg borrow from `frame`, lists from
 * `arena`; a list is taken from the arena only after its count was found to fit the bytes that are
 * there and the table's maximum. Extra trailing elements of the message and of items are skipped.
 * Integers may have any width that msgpack allows; bool, str, bin and array must be just that.
 *
 * On failure *ret_msg is untouched, the arena may have been used, and `why` names field and value:
 *   LEAT_ERR_VERSION       not our protocol version
 *   LEAT_ERR_UNKNOWN_TYPE  a message type that is not in the table
 *   LEAT_ERR_LIMIT         over the field's maximum, or nested too deeply
 *   LEAT_ERR_MALFORMED     anything else, bytes after the message included
 *   LEAT_ERR_MEMORY        the arena is at its limit */
LEAT_MUST_USE enum leat_err leat_wire_decode(struct leat_bytes frame, struct leat_arena *arena,
                                             struct leat_msg *ret_msg, struct leat_why *why);

/* The type number of a frame that could not be decoded, for the `type` of the ERROR that answers
 * it; 0 when not even that can be read. */
uint64_t leat_wire_peek_type(struct leat_bytes frame);

/* Stand-alone items, [record version, fields...], for the job's body and for store records:
 *
 *   enum leat_err leat_wire_encode_item_NAME(const struct leat_item_NAME *item,
 *                                            struct leat_wire_buffer *out);
 *   enum leat_err leat_wire_decode_item_NAME(struct leat_bytes bytes, struct leat_arena *arena,
 *                                            struct leat_item_NAME *ret_item,
 *                                            struct leat_why *why);
 *
 * and the same sealed with a checksum (wire/record.h):
 *
 *   enum leat_err leat_wire_seal_item_NAME(const struct leat_item_NAME *item,
 *                                          struct leat_record_place place,
 *                                          struct leat_wire_buffer *out);
 *   enum leat_err leat_wire_unseal_item_NAME(struct leat_bytes sealed,
 *                                            struct leat_record_place place,
 *                                            struct leat_arena *arena,
 *                                            struct leat_item_NAME *ret_item,
 *                                            struct leat_why *why);
 *
 * for each NAME of LEAT_ITEMS: leat_wire_encode_item_body and so on. They append to `out`, borrow
 * and fail like the calls above; unseal also with LEAT_ERR_CORRUPT. */
#define LEAT_RECORD_TABLE LEAT_ITEMS
#define LEAT_RECORD_STRUCTS_EXIST
#include "wire/record_template.h"

#endif
