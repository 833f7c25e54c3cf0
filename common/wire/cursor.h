/* A bounded reader of msgpack (https://github.com/msgpack/msgpack/blob/master/spec.md) for bytes
 * from outside.
 *
 * It never reads past `end`, never allocates, never recurses. Every declared length or count is
 * compared with the bytes that are left before anything is computed from it: a count that is
 * returned is never larger than the number of bytes that follow it. What is returned borrows from
 * the bytes.
 *
 * All calls: on failure the cursor and the out parameters are as before.
 *   LEAT_ERR_MALFORMED  the bytes end too early, are not msgpack, or hold another type
 *   LEAT_ERR_LIMIT      (skip) nested more than LEAT_NESTING_MAX deep
 */
#ifndef LEAT_WIRE_CURSOR_H
#define LEAT_WIRE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/big_endian.h"
#include "core/err.h"
#include "core/utf8.h"
#include "core/view.h"

struct leat_wire_cursor {
    const uint8_t *at; /* at <= end */
    const uint8_t *end;
};

enum leat_wire_kind {
    LEAT_WIRE_NIL = 1,
    LEAT_WIRE_BOOL,  /* boolean */
    LEAT_WIRE_UINT,  /* uinteger: any integer that is not negative, of any width */
    LEAT_WIRE_INT,   /* integer, below zero */
    LEAT_WIRE_FLOAT, /* real */
    LEAT_WIRE_STR,   /* bytes; not checked to be UTF-8 */
    LEAT_WIRE_BIN,   /* bytes */
    LEAT_WIRE_ARRAY, /* count elements follow */
    LEAT_WIRE_MAP,   /* count pairs follow, so 2 * count elements */
    LEAT_WIRE_EXT,   /* bytes, ext_type */
};

/* One scalar, or the head of an array or map. */
struct leat_wire_token {
    enum leat_wire_kind kind;
    int8_t ext_type;
    union {
        bool boolean;
        uint64_t uinteger;
        int64_t integer;
        double real;
        uint32_t count;
        struct leat_bytes bytes;
    };
};

static inline struct leat_wire_cursor leat_wire_cursor_of(struct leat_bytes bytes)
{
    return (struct leat_wire_cursor){bytes.data,
                                     bytes.size > 0 ? bytes.data + bytes.size : bytes.data};
}

static inline size_t leat_wire_cursor_left(const struct leat_wire_cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

/* Reads one scalar whole, or the head of an array or map. */
LEAT_MUST_USE enum leat_err leat_wire_cursor_next(struct leat_wire_cursor *cursor,
                                                  struct leat_wire_token *ret_token);
/* Passes one element, whatever it holds. */
LEAT_MUST_USE enum leat_err leat_wire_cursor_skip(struct leat_wire_cursor *cursor);

/* One element of the given type. u64 takes integers that are not negative, i64 those up to
 * INT64_MAX, of any width. */
LEAT_MUST_USE enum leat_err leat_wire_cursor_any_u64(struct leat_wire_cursor *cursor,
                                                     uint64_t *ret_value);
LEAT_MUST_USE enum leat_err leat_wire_cursor_any_i64(struct leat_wire_cursor *cursor,
                                                     int64_t *ret_value);
LEAT_MUST_USE enum leat_err leat_wire_cursor_any_bool(struct leat_wire_cursor *cursor,
                                                      bool *ret_value);
/* Checked to be UTF-8. */
LEAT_MUST_USE enum leat_err leat_wire_cursor_str(struct leat_wire_cursor *cursor,
                                                 struct leat_str *ret_text);
LEAT_MUST_USE enum leat_err leat_wire_cursor_any_bin(struct leat_wire_cursor *cursor,
                                                     struct leat_bytes *ret_bytes);
/* The head; *ret_count elements (pairs for map) follow. */
LEAT_MUST_USE enum leat_err leat_wire_cursor_any_array(struct leat_wire_cursor *cursor,
                                                       uint32_t *ret_count);
LEAT_MUST_USE enum leat_err leat_wire_cursor_map(struct leat_wire_cursor *cursor,
                                                 uint32_t *ret_count);

/* ---- the same, for the forms that nearly all elements have: without a call ---- */

/* A small or unsigned integer, with at least nine bytes there to look at. */
static inline bool leat_wire_cursor_quick_uint(struct leat_wire_cursor *cursor, uint64_t *ret_value)
{
    const uint8_t *at = cursor->at;
    if (leat_wire_cursor_left(cursor) < 9) {
        return false;
    }
    if (at[0] < 0x80) {
        *ret_value = at[0];
        cursor->at = at + 1;
        return true;
    }
    unsigned power = at[0] - 0xccu; /* 0xcc to 0xcf: one, two, four, eight bytes */
    if (power > 3) {
        return false;
    }
    *ret_value = leat_big_endian_load(at + 1) >> (64 - (8u << power));
    cursor->at = at + 1 + (1u << power);
    return true;
}

LEAT_MUST_USE static inline enum leat_err leat_wire_cursor_u64(struct leat_wire_cursor *cursor,
                                                               uint64_t *ret_value)
{
    return leat_wire_cursor_quick_uint(cursor, ret_value)
               ? LEAT_OK
               : leat_wire_cursor_any_u64(cursor, ret_value);
}

LEAT_MUST_USE static inline enum leat_err leat_wire_cursor_i64(struct leat_wire_cursor *cursor,
                                                               int64_t *ret_value)
{
    struct leat_wire_cursor ahead = *cursor;
    uint64_t value;
    if (leat_wire_cursor_quick_uint(&ahead, &value) && value <= INT64_MAX) {
        *cursor = ahead;
        *ret_value = (int64_t)value;
        return LEAT_OK;
    }
    return leat_wire_cursor_any_i64(cursor, ret_value);
}

LEAT_MUST_USE static inline enum leat_err leat_wire_cursor_bool(struct leat_wire_cursor *cursor,
                                                                bool *ret_value)
{
    if (leat_wire_cursor_left(cursor) > 0 && (cursor->at[0] & 0xfe) == 0xc2) {
        *ret_value = cursor->at[0] == 0xc3;
        cursor->at++;
        return LEAT_OK;
    }
    return leat_wire_cursor_any_bool(cursor, ret_value);
}

/* Empty text, or a name: plain ASCII of 4 to 31 bytes. */
static inline bool leat_wire_cursor_quick_str(struct leat_wire_cursor *cursor,
                                              struct leat_str *ret_text)
{
    const uint8_t *at = cursor->at;
    size_t left = leat_wire_cursor_left(cursor);
    if (left == 0 || (at[0] & 0xe0) != 0xa0) {
        return false;
    }
    size_t size = at[0] & 0x1f;
    if (size > 0 && (size > left - 1 || !leat_ascii_is_short(at + 1, size))) {
        return false;
    }
    *ret_text = (struct leat_str){(const char *)at + 1, size};
    cursor->at = at + 1 + size;
    return true;
}

/* Up to 255 bytes. */
LEAT_MUST_USE static inline enum leat_err leat_wire_cursor_bin(struct leat_wire_cursor *cursor,
                                                               struct leat_bytes *ret_bytes)
{
    const uint8_t *at = cursor->at;
    size_t left = leat_wire_cursor_left(cursor);
    if (left >= 2 && at[0] == 0xc4 && at[1] <= left - 2) {
        *ret_bytes = (struct leat_bytes){at + 2, at[1]};
        cursor->at = at + 2 + at[1];
        return LEAT_OK;
    }
    return leat_wire_cursor_any_bin(cursor, ret_bytes);
}

/* Up to 65,535 elements. */
LEAT_MUST_USE static inline enum leat_err leat_wire_cursor_array(struct leat_wire_cursor *cursor,
                                                                 uint32_t *ret_count)
{
    size_t left = leat_wire_cursor_left(cursor);
    if (left > 0 && (cursor->at[0] & 0xf0) == 0x90 && (cursor->at[0] & 0x0fu) <= left - 1) {
        *ret_count = cursor->at[0] & 0x0fu;
        cursor->at++;
        return LEAT_OK;
    }
    if (left >= 3 && cursor->at[0] == 0xdc) {
        uint32_t count = (uint32_t)cursor->at[1] << 8 | cursor->at[2];
        if (count <= left - 3) {
            *ret_count = count;
            cursor->at += 3;
            return LEAT_OK;
        }
    }
    return leat_wire_cursor_any_array(cursor, ret_count);
}

/* "nil", "array", ...: what the next element is, for error texts; "nothing" at the end. */
const char *leat_wire_cursor_what(const struct leat_wire_cursor *cursor);

#endif
