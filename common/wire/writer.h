/* Writes msgpack (https://github.com/msgpack/msgpack/blob/master/spec.md) into a buffer, each value
 * in its shortest form. The bytes are those that msgpack-c would write; the tests compare them.
 *
 * Failures stick: after the first, nothing more is written, and finish reports it. So the code that
 * writes a message needs no branch per field.
 *
 * Inline, because a job is written as some thirty small values on its way through a broker.
 */
#ifndef LEAT_WIRE_WRITER_H
#define LEAT_WIRE_WRITER_H

#include <stdbool.h>
#include <string.h>

#include "core/big_endian.h"
#include "core/id.h"
#include "core/utf8.h"
#include "wire/buffer.h"

struct leat_wire_writer {
    struct leat_wire_buffer *out;
    size_t start; /* out's size at the beginning, restored on failure */
    enum leat_err err;
};

/* The largest form of a number, or of the head of anything else. */
#define LEAT_WIRE_HEAD_BYTES_MAX 9

void leat_wire_writer_init(struct leat_wire_writer *writer, struct leat_wire_buffer *out);
/* LEAT_OK, or the first error: LEAT_ERR_LIMIT, LEAT_ERR_INVALID (text that is no UTF-8),
 * LEAT_ERR_MEMORY. */
LEAT_MUST_USE enum leat_err leat_wire_writer_finish(struct leat_wire_writer *writer);

/* Each takes at most `max` bytes or items; more is LEAT_ERR_LIMIT. */
void leat_wire_writer_str(struct leat_wire_writer *writer, struct leat_str text, uint64_t max);
void leat_wire_writer_bin(struct leat_wire_writer *writer, struct leat_bytes bytes, uint64_t max);
/* The head of a list; false when it failed and the items must not be written. */
bool leat_wire_writer_list(struct leat_wire_writer *writer, size_t count, uint64_t max);

/* Appends bytes that are msgpack already. */
void leat_wire_writer_raw(struct leat_wire_writer *writer, const void *data, size_t size);

/* ---- several values behind one look at the room ---- */

uint8_t *leat_wire_writer_more_room(struct leat_wire_writer *writer, size_t bytes);

/* Where the next value goes, with room for so many bytes; NULL when something has failed. */
static inline uint8_t *leat_wire_writer_room(struct leat_wire_writer *writer, size_t bytes)
{
    const struct leat_wire_buffer *out = writer->out;
    return out->capacity - out->size >= bytes && writer->err == LEAT_OK && out->data != NULL
               ? out->data + out->size
               : leat_wire_writer_more_room(writer, bytes);
}

/* `at` is where room() pointed, moved on by what was written. */
static inline void leat_wire_writer_end(struct leat_wire_writer *writer, const uint8_t *at)
{
    writer->out->size = (size_t)(at - writer->out->data);
}

/* How much was written since then. */
static inline size_t leat_wire_writer_ahead(const struct leat_wire_writer *writer,
                                            const uint8_t *at)
{
    return (size_t)(at - writer->out->data) - writer->out->size;
}

/* ---- what values look like: each returns where the next one goes ---- */

/* The head byte and `width` bytes of `value` behind it. */
static inline uint8_t *leat_wire_form_number(uint8_t *at, uint8_t head, uint64_t value,
                                             size_t width)
{
    at[0] = head;
    leat_big_endian_store(at + 1, value << (64 - 8 * width));
    return at + 1 + width;
}

/* `at` has room for LEAT_WIRE_HEAD_BYTES_MAX. */
static inline uint8_t *leat_wire_form_u64(uint8_t *at, uint64_t value)
{
    if (value < 0x80) {
        at[0] = (uint8_t)value;
        return at + 1;
    }
    if (value > UINT32_MAX) {
        return leat_wire_form_number(at, 0xcf, value, 8);
    }
    if (value > UINT16_MAX) {
        return leat_wire_form_number(at, 0xce, value, 4);
    }
    return value > UINT8_MAX ? leat_wire_form_number(at, 0xcd, value, 2)
                             : leat_wire_form_number(at, 0xcc, value, 1);
}

/* The same. */
static inline uint8_t *leat_wire_form_i64(uint8_t *at, int64_t value)
{
    if (value >= 0) {
        return leat_wire_form_u64(at, (uint64_t)value);
    }
    if (value >= -32) {
        at[0] = (uint8_t)value;
        return at + 1;
    }
    if (value < INT32_MIN) {
        return leat_wire_form_number(at, 0xd3, (uint64_t)value, 8);
    }
    if (value < INT16_MIN) {
        return leat_wire_form_number(at, 0xd2, (uint64_t)value, 4);
    }
    return value < INT8_MIN ? leat_wire_form_number(at, 0xd1, (uint64_t)value, 2)
                            : leat_wire_form_number(at, 0xd0, (uint64_t)value, 1);
}

static inline uint8_t *leat_wire_form_id(uint8_t *at, const struct leat_id *id)
{
    at[0] = 0xc4;
    at[1] = LEAT_ID_BYTES;
    memcpy(at + 2, id->bytes, LEAT_ID_BYTES);
    return at + 2 + LEAT_ID_BYTES;
}

/* Room for a head and the text, or the bytes. More than `max`, or text that is no UTF-8: the writer
 * has failed, and nothing is written. */
uint8_t *leat_wire_form_any_str(struct leat_wire_writer *writer, uint8_t *at, struct leat_str text,
                                uint64_t max);
uint8_t *leat_wire_form_bin(struct leat_wire_writer *writer, uint8_t *at, struct leat_bytes bytes,
                            uint64_t max);
/* What comes before so many bytes. */
uint8_t *leat_wire_form_bin_head(uint8_t *at, size_t size);

static inline uint8_t *leat_wire_form_str(struct leat_wire_writer *writer, uint8_t *at,
                                          struct leat_str text, uint64_t max)
{
    if (text.size == 0 ||
        (text.size <= max && leat_ascii_copy_short(at + 1, text.data, text.size))) {
        at[0] = (uint8_t)(0xa0 | text.size);
        return at + 1 + text.size;
    }
    return leat_wire_form_any_str(writer, at, text, max);
}

/* ---- values one by one ---- */

static inline void leat_wire_writer_u64(struct leat_wire_writer *writer, uint64_t value)
{
    uint8_t form[LEAT_WIRE_HEAD_BYTES_MAX];
    leat_wire_writer_raw(writer, form, (size_t)(leat_wire_form_u64(form, value) - form));
}

static inline void leat_wire_writer_i64(struct leat_wire_writer *writer, int64_t value)
{
    uint8_t form[LEAT_WIRE_HEAD_BYTES_MAX];
    leat_wire_writer_raw(writer, form, (size_t)(leat_wire_form_i64(form, value) - form));
}

static inline void leat_wire_writer_bool(struct leat_wire_writer *writer, bool value)
{
    const uint8_t form = value ? 0xc3 : 0xc2;
    leat_wire_writer_raw(writer, &form, 1);
}

static inline uint8_t *leat_wire_form_array(uint8_t *at, size_t count)
{
    if (count < 16) {
        at[0] = (uint8_t)(0x90 | count);
        return at + 1;
    }
    return count > UINT16_MAX ? leat_wire_form_number(at, 0xdd, count, 4)
                              : leat_wire_form_number(at, 0xdc, count, 2);
}

static inline void leat_wire_writer_array(struct leat_wire_writer *writer, size_t count)
{
    uint8_t form[LEAT_WIRE_HEAD_BYTES_MAX];
    leat_wire_writer_raw(writer, form, (size_t)(leat_wire_form_array(form, count) - form));
}

#endif
